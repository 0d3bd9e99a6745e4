//! The account: registering, what is loaded at start, and the daily prekey.

use std::num::NonZeroU32;

use hushwire_e2ee::{DeviceKey, PrekeySecret, RandomError, Zeroizing};
use hushwire_identity::{DeviceKind, DeviceLog, Handle, Prekey, Suites, day_of};
use hushwire_wire::Sealed;
use hushwire_wire::http::{
    AuthAnswer, AuthChallenge, AuthToken, PrekeyBundle, ProblemCode, Register, Registered,
    ServerCard,
};

use super::{Engine, call};
use crate::error::ClientError;
use crate::ports::{Clock, Random};
use crate::record::{Account, OwnPrekey, to_json};
use crate::store::{Batch, Space, Store, StoreError};
use crate::transport::{Method, Transport};

/// A prekey's secret is kept so many days after a newer one came: for epochs that wait.
const SECRET_KEPT_DAYS: u32 = 31;

pub(super) struct Own {
    pub(super) key: DeviceKey,
    pub(super) log: DeviceLog,
    pub(super) secrets: Vec<PrekeySecret>,
    pub(super) prekey: OwnPrekey,
}

pub(super) fn load(store: &mut Store, account: &Account) -> Result<Own, StoreError> {
    let seed = store.get(Space::Own, b"seed")?.ok_or(StoreError::Damaged)?;
    let seed: Zeroizing<[u8; 32]> =
        Zeroizing::new(seed.as_slice().try_into().map_err(|_| StoreError::Damaged)?);
    let log = DeviceLog::verify(account.log.iter().map(Sealed::as_bytes))
        .map_err(|_| StoreError::Damaged)?;
    let secrets = secrets(store)?;
    let prekey = store.record(Space::Own, b"prekey")?.ok_or(StoreError::Damaged)?;
    Ok(Own { key: DeviceKey::from_seed(*seed), log, secrets, prekey })
}

fn secrets(store: &mut Store) -> Result<Vec<PrekeySecret>, StoreError> {
    let rows = store.list(Space::Prekey)?;
    rows.iter()
        .map(|(_, bytes)| PrekeySecret::from_bytes(bytes).map_err(|_| StoreError::Damaged))
        .collect()
}

/// Registers `handle` at a server, with this device as the first. Keys are stored before the
/// server hears of them; what was interrupted goes on with the same keys.
pub(crate) async fn register(
    store: &mut Store,
    transport: &dyn Transport,
    clock: &dyn Clock,
    random: &mut dyn Random,
    server: &str,
    handle: &Handle,
) -> Result<(), ClientError> {
    let begun = store.record::<Account>(Space::Own, b"account")?;
    if begun.as_ref().is_some_and(|account| account.registered) {
        return Err(ClientError::HasAccount);
    }
    let card: ServerCard = call::open(transport, Method::Get, "/v1/server", None).await?;
    let (mut account, goes_on) = match begun {
        Some(account) if account.handle == handle.as_str() && account.domain == card.domain => {
            (account, true)
        }
        _ => (begin(store, clock, random, server, handle, &card)?, false),
    };
    let own = load(store, &account)?;
    let genesis = account.log.first().cloned().ok_or(StoreError::Damaged)?;
    let register = Register { genesis, prekey: bundle(&own.prekey) };
    let body = serde_json::to_vec(&register).map_err(|_| ClientError::Nonsense)?;
    let answer = call::open(transport, Method::Post, "/v1/accounts", Some(body)).await;
    match answer {
        Ok(Registered { user, device }) => {
            if user != account.user || device != account.device {
                return Err(ClientError::Nonsense);
            }
        }
        Err(error) => match error.problem() {
            // An earlier attempt came through, if this key can sign in.
            Some(ProblemCode::HandleTaken | ProblemCode::KeyKnown)
                if goes_on && signs_in(transport, &account, &own.key).await => {}
            Some(ProblemCode::HandleTaken) => return Err(ClientError::HandleTaken),
            _ => return Err(error),
        },
    }
    account.registered = true;
    account.interval_ms = card.message_interval_ms;
    let mut batch = Batch::default();
    batch.put(Space::Own, b"account", to_json(&account));
    batch.put(Space::Own, b"prekey", to_json(&OwnPrekey { published: true, ..own.prekey }));
    store.write(&batch)?;
    Ok(())
}

pub(super) fn begin(
    store: &mut Store,
    clock: &dyn Clock,
    random: &mut dyn Random,
    server: &str,
    handle: &Handle,
    card: &ServerCard,
) -> Result<Account, ClientError> {
    let now = clock.now_ms();
    let mut source = |out: &mut [u8]| random.fill(out);
    let key = DeviceKey::generate(&mut source)?;
    let genesis = key
        .genesis(&card.domain, handle, DeviceKind::TERMINAL, Suites::HERE, now)
        .map_err(|_| ClientError::Nonsense)?;
    let log = DeviceLog::genesis(&genesis).map_err(|_| ClientError::Nonsense)?;
    let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut source)?;
    let prekey = own_prekey(&secret, &key, &log, day_of(now));
    let account = Account {
        server: server.to_owned(),
        domain: card.domain.clone(),
        handle: handle.to_string(),
        user: log.user(),
        device: key.device_id(),
        log: vec![Sealed::new(genesis)],
        registered: false,
        interval_ms: card.message_interval_ms,
    };
    let mut batch = Batch::default();
    batch.put(Space::Own, b"account", to_json(&account));
    batch.put(Space::Own, b"seed", Zeroizing::new(key.to_seed().to_vec()));
    batch.put(Space::Own, b"prekey", to_json(&prekey));
    batch.put(Space::Prekey, &secret.id().to_be_bytes(), secret.to_bytes());
    store.write(&batch)?;
    Ok(account)
}

fn own_prekey(secret: &PrekeySecret, key: &DeviceKey, log: &DeviceLog, day: u32) -> OwnPrekey {
    let prekey = secret.publish(key, log, Suites::HERE, day);
    OwnPrekey {
        id: secret.id(),
        day,
        record: Sealed::new(prekey.record.to_bytes()),
        xwing: prekey.xwing.map(Sealed::new),
        published: false,
    }
}

fn bundle(prekey: &OwnPrekey) -> PrekeyBundle {
    PrekeyBundle { record: prekey.record.clone(), xwing: prekey.xwing.clone() }
}

async fn signs_in(transport: &dyn Transport, account: &Account, key: &DeviceKey) -> bool {
    let path = "/v1/auth/challenge";
    let Ok(challenge) = call::open::<AuthChallenge>(transport, Method::Post, path, None).await
    else {
        return false;
    };
    if challenge.domain != account.domain {
        return false;
    }
    let signature = key.login(&account.domain, &challenge.nonce, &account.user);
    let answer = AuthAnswer {
        user: account.user,
        key_id: account.device,
        nonce: challenge.nonce,
        signature: Sealed::new(signature.to_vec()),
    };
    let Ok(body) = serde_json::to_vec(&answer) else { return false };
    call::open::<AuthToken>(transport, Method::Post, "/v1/auth/token", Some(body)).await.is_ok()
}

impl Engine {
    /// Forgets what is past its day, old prekeys' secrets among it.
    pub(super) fn forget_expired(&mut self) -> Result<(), StoreError> {
        let today = self.today();
        if self.store.expire(today)? > 0 {
            self.secrets = secrets(&mut self.store)?;
        }
        Ok(())
    }

    /// The own prekey as others see it.
    pub(super) fn own_prekey(&self) -> Result<Prekey, StoreError> {
        let xwing = self.prekey.xwing.as_ref().map(Sealed::as_bytes);
        Prekey::parse(self.prekey.record.as_bytes(), xwing).map_err(|_| StoreError::Damaged)
    }

    /// Makes a new prekey if the newest is not today's, and publishes what the server lacks
    /// (CRYPTO 4, "Rotation"). The secret is stored before the server hears of it.
    pub(super) async fn rotate_prekey(&mut self) -> Result<(), ClientError> {
        let today = self.today();
        if self.prekey.day < today {
            let id = NonZeroU32::MIN.saturating_add(self.prekey.id);
            let random = &mut self.random;
            let mut source = |out: &mut [u8]| -> Result<(), RandomError> { random.fill(out) };
            let secret = PrekeySecret::generate(id, &mut source)?;
            let prekey = own_prekey(&secret, &self.key, &self.log, today);
            let mut batch = Batch::default();
            for old in &self.secrets {
                let until = today + SECRET_KEPT_DAYS;
                let (key, bytes) = (old.id().to_be_bytes(), old.to_bytes());
                if old.id() == self.prekey.id {
                    batch.put_until(Space::Prekey, &key, until, bytes.to_vec());
                }
            }
            batch.put(Space::Prekey, &secret.id().to_be_bytes(), secret.to_bytes());
            batch.put(Space::Own, b"prekey", to_json(&prekey));
            self.store.add(&batch)?;
            self.secrets.push(secret);
            self.prekey = prekey;
        }
        if !self.prekey.published {
            self.send_body(Method::Put, "/v1/prekey", &bundle(&self.prekey)).await?;
            self.prekey.published = true;
            let mut batch = Batch::default();
            batch.put(Space::Own, b"prekey", to_json(&self.prekey));
            self.store.add(&batch)?;
        }
        Ok(())
    }
}

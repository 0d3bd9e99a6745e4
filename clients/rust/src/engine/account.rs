//! The account: registering, and what is loaded at start.

use std::net::IpAddr;
use std::num::NonZeroU32;

use hushwire_e2ee::{DeviceKey, PrekeySecret, Zeroizing};
use hushwire_identity::{DeviceKind, DeviceLog, Handle, Suites};
use hushwire_wire::Sealed;
use hushwire_wire::http::{
    AuthAnswer, AuthChallenge, AuthToken, ProblemCode, Register, Registered, ServerCard,
};

use super::call;
use super::prekey::{bundle, own_prekey};
use crate::client::Wishes;
use crate::error::ClientError;
use crate::ports::{Clock, Random};
use crate::record::{Account, OwnPrekey, to_json};
use crate::store::{Batch, Space, Store, StoreError};
use crate::transport::{Method, Transport};

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

pub(super) fn secrets(store: &mut Store) -> Result<Vec<PrekeySecret>, StoreError> {
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
    wishes: Wishes<'_>,
) -> Result<(), ClientError> {
    let begun = store.record::<Account>(Space::Own, b"account")?;
    if begun.as_ref().is_some_and(|account| account.registered) {
        return Err(ClientError::HasAccount);
    }
    let card: ServerCard = call::open(transport, Method::Get, "/v1/server", None).await?;
    if !is_own_domain(server, &card.domain, wishes.domain) {
        return Err(ClientError::ForeignDomain { domain: card.domain });
    }
    let (mut account, goes_on) = match begun {
        Some(account) if account.handle == handle.as_str() && account.domain == card.domain => {
            (account, true)
        }
        _ => (begin(store, clock, random, server, handle, &card, wishes.suites)?, false),
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

/// Whether a server that is reached at `server` may call itself `domain`: the host of its address,
/// with or without its port; anything on this machine's own addresses, where servers are tried
/// out; or what the person `expects`. The domain is signed for ever, so a mistake cannot be undone.
fn is_own_domain(server: &str, domain: &str, expects: Option<&str>) -> bool {
    if let Some(expected) = expects {
        return domain == expected;
    }
    let Ok(url) = reqwest::Url::parse(server) else { return false };
    let Some(host) = url.host_str() else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if is_here || host == "localhost" {
        return true;
    }
    let port = url.port_or_known_default();
    domain == bare || port.is_some_and(|port| domain == format!("{bare}:{port}"))
}

pub(super) fn begin(
    store: &mut Store,
    clock: &dyn Clock,
    random: &mut dyn Random,
    server: &str,
    handle: &Handle,
    card: &ServerCard,
    suites: Suites,
) -> Result<Account, ClientError> {
    let now = clock.now_ms();
    let mut source = |out: &mut [u8]| random.fill(out);
    let key = DeviceKey::generate(&mut source)?;
    let genesis = key
        .genesis(&card.domain, handle, DeviceKind::TERMINAL, suites, now)
        .map_err(|_| ClientError::Nonsense)?;
    let log = DeviceLog::genesis(&genesis).map_err(|_| ClientError::Nonsense)?;
    let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut source)?;
    let prekey = own_prekey(&secret, &key, &log, now);
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

#[cfg(test)]
mod tests {
    use super::is_own_domain;

    #[test]
    fn a_server_is_called_by_its_address_or_by_what_the_person_expects() {
        let plain = |server, domain| is_own_domain(server, domain, None);
        assert!(plain("https://chat.example.org", "chat.example.org"));
        assert!(plain("https://chat.example.org/", "chat.example.org:443"));
        assert!(plain("https://chat.example.org:8443", "chat.example.org:8443"));
        assert!(plain("https://chat.example.org:8443", "chat.example.org"));
        for other in ["example.org", "evil.example", "chat.example.org.evil.example", ""] {
            assert!(!plain("https://chat.example.org", other), "{other}");
        }
        assert!(!plain("https://chat.example.org", "chat.example.org:8443"));
        for here in ["http://localhost:8080", "http://127.0.0.1:1", "http://[::1]:9"] {
            assert!(plain(here, "chat.example.org"), "{here}");
        }
        assert!(!plain("http://127.0.0.1.evil.example", "chat.example.org"));
        assert!(!plain("http://192.0.2.1", "localhost"));
        let expects =
            |domain| is_own_domain("https://node7.internal", domain, Some("chat.example"));
        assert!(expects("chat.example"));
        assert!(!expects("node7.internal"), "not even the address itself");
    }
}

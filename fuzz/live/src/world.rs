//! People with real keys at the server under attack: pairs of contacts, the first of which only
//! talks to each other and must not notice anything, while the others' devices misbehave.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Mutex;

use hushwire_e2ee::{
    DeviceKey, EpochState, History, NewEpoch, Offered, Party, PrekeySecret, Random, RandomError,
};
use hushwire_identity::{
    ContactRequest, DeviceKind, DeviceLog, Handle, Prekey, Reason, Suites, day_of,
};
use hushwire_wire::frame::{ClientFrame, ClientOp, Hello};
use hushwire_wire::http::{
    AuthAnswer, AuthChallenge, AuthToken, ContactAccept, ContactAsk, ContactAsked, PrekeyBundle,
    Register, Registered, ServerCard, Wrap,
};
use hushwire_wire::{EpochId, Nonce, Token, UserId};
use serde_json::{Value, json};

use crate::http::ask;
use crate::run::lock;

/// The routes that are asked: all that `docs/api/openapi.json` names.
pub(crate) const ROUTES: [(&str, &str); 23] = [
    ("GET", "/v1/server"),
    ("POST", "/v1/accounts"),
    ("DELETE", "/v1/account"),
    ("GET", "/v1/account/export"),
    ("POST", "/v1/auth/challenge"),
    ("POST", "/v1/auth/token"),
    ("PUT", "/v1/prekey"),
    ("POST", "/v1/log"),
    ("GET", "/v1/users/{user}/log"),
    ("GET", "/v1/users/{user}/prekeys"),
    ("GET", "/v1/contacts"),
    ("POST", "/v1/contacts/request"),
    ("POST", "/v1/contacts/accept"),
    ("POST", "/v1/contacts/decline"),
    ("POST", "/v1/contacts/remove"),
    ("POST", "/v1/contacts/block"),
    ("POST", "/v1/contacts/unblock"),
    ("POST", "/v1/epochs"),
    ("GET", "/v1/epochs/{epoch}"),
    ("POST", "/v1/epochs/{epoch}/claimed"),
    ("GET", "/v1/state"),
    ("GET", "/v1/sessions"),
    ("DELETE", "/v1/sessions/{device}"),
];
/// Pairs of contacts whose devices misbehave.
const PAIRS: usize = 8;

/// The operating system's randomness.
#[derive(Debug)]
pub(crate) struct Os;

impl Random for Os {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(out).map_err(|_| RandomError)
    }
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut out = [0; N];
    Os.fill(&mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

/// One person with one device.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) key: DeviceKey,
    /// The newest: a device has sixteen at most, and each sign-in takes another.
    token: Mutex<Token>,
    domain: String,
    log: DeviceLog,
    register: Register,
    secret: PrekeySecret,
    prekey: Prekey,
}

/// Two contacts with an epoch.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) people: [Person; 2],
    /// The epoch's keys, of each.
    pub(crate) keys: [EpochState; 2],
    pub(crate) epoch: EpochId,
    /// The place of each in the roster.
    pub(crate) senders: [u8; 2],
    request: Vec<u8>,
    accept: Value,
}

/// Everybody, and the clock at the start.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) now_ms: u64,
    pub(crate) pairs: Vec<Pair>,
}

impl World {
    /// Registers everybody. The bystanders come apart from the world, since they change.
    pub(crate) async fn make(address: SocketAddr) -> Result<(Self, Pair), String> {
        let card: ServerCard = ask(address, "GET", "server", None, &json!(null)).await?;
        let mut pairs = Vec::new();
        for number in 0..=PAIRS {
            pairs.push(Pair::make(address, &card, number).await?);
        }
        let bystanders = pairs.remove(0);
        Ok((Self { address, now_ms: card.server_time, pairs }, bystanders))
    }

    /// The device of this number, and its pair.
    pub(crate) fn person(&self, number: usize) -> (&Pair, usize) {
        (&self.pairs[(number / 2) % self.pairs.len()], number % 2)
    }
}

impl Person {
    async fn register(address: SocketAddr, card: &ServerCard, name: &str) -> Result<Self, String> {
        let say = |error: &dyn std::error::Error| error.to_string();
        let now_ms = card.server_time;
        let handle = Handle::parse(name).map_err(|e| say(&e))?;
        let key = DeviceKey::generate(&mut Os).map_err(|e| say(&e))?;
        let kind = DeviceKind::TERMINAL;
        let genesis =
            key.genesis(&card.domain, &handle, kind, Suites::HERE, now_ms).map_err(|e| say(&e))?;
        let log = DeviceLog::genesis(&genesis).map_err(|e| say(&e))?;
        let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut Os).map_err(|e| say(&e))?;
        let prekey = secret.publish(&key, &log, Suites::HERE, day_of(now_ms));
        let bundle = PrekeyBundle {
            record: prekey.record.to_bytes().into(),
            xwing: prekey.xwing.clone().map(Into::into),
        };
        let register = Register { genesis: genesis.into(), prekey: bundle };
        let _: Registered = ask(address, "POST", "accounts", None, &register).await?;
        let challenge: AuthChallenge =
            ask(address, "POST", "auth/challenge", None, &json!({})).await?;
        let domain = card.domain.clone();
        let token = Mutex::new(Token([0; 32]));
        let person = Self { key, token, domain, log, register, secret, prekey };
        let answer = person.answer(challenge.nonce);
        let token: AuthToken = ask(address, "POST", "auth/token", None, &answer).await?;
        person.renew(token.token);
        Ok(person)
    }

    pub(crate) fn token(&self) -> Token {
        lock(&self.token).clone()
    }

    /// A sign-in brought another token.
    pub(crate) fn renew(&self, token: Token) {
        *lock(&self.token) = token;
    }

    pub(crate) fn user(&self) -> UserId {
        self.log.user()
    }

    /// The first frame of a connection that was challenged with `nonce`.
    pub(crate) fn hello(&self, nonce: &Nonce) -> ClientFrame {
        let signature = self.key.login(&self.domain, nonce, &self.user());
        let hello = Hello {
            user: self.user(),
            device: self.key.device_id(),
            signature: signature.to_vec().into(),
            r#gen: None,
            client: "hushwire-fuzz-live".to_owned(),
            features: Vec::new(),
        };
        ClientFrame { id: Some(1), op: ClientOp::Hello(hello) }
    }

    fn answer(&self, nonce: Nonce) -> AuthAnswer {
        let signature = self.key.login(&self.domain, &nonce, &self.user());
        AuthAnswer {
            user: self.user(),
            key_id: self.key.device_id(),
            nonce,
            signature: signature.to_vec().into(),
        }
    }

    fn party(&self) -> Party<'_> {
        Party { log: &self.log, prekeys: std::slice::from_ref(&self.prekey) }
    }
}

impl Pair {
    /// The first asks, the second accepts and makes the epoch.
    async fn make(address: SocketAddr, card: &ServerCard, number: usize) -> Result<Self, String> {
        let one = Person::register(address, card, &format!("live_{number}_a")).await?;
        let two = Person::register(address, card, &format!("live_{number}_b")).await?;
        let now_ms = card.server_time;
        let request = ContactRequest {
            from: one.log.point(),
            to: Some(two.user()),
            handle: two.log.handle().clone(),
            nonce: random()?,
            time_ms: now_ms,
        };
        let bytes = request.to_bytes();
        let body = ContactAsk { request: bytes.clone().into() };
        let token = &one.token();
        let _: ContactAsked = ask(address, "POST", "contacts/request", Some(token), &body).await?;
        let new = NewEpoch {
            me: &two.key,
            prekey: &two.secret,
            mine: two.party(),
            peer: Some(one.party()),
            n: 0,
            prev: request.id().0,
            reason: Reason::First,
            created_ms: now_ms,
        };
        let created = hushwire_e2ee::create(&new, &mut Os).map_err(|error| error.to_string())?;
        let wraps = created
            .wraps
            .iter()
            .map(|(device, wrap)| Wrap { device: *device, wrap: wrap.clone().into() });
        let accept = ContactAccept {
            request_id: request.id(),
            epoch: hushwire_wire::http::NewEpoch {
                header: created.header.clone().into(),
                wraps: wraps.collect(),
            },
        };
        let token = &two.token();
        let _: Value = ask(address, "POST", "contacts/accept", Some(token), &accept).await?;
        let wrap = created.wraps.iter().find(|(device, _)| *device == one.key.device_id());
        let offered = Offered {
            header: &created.header,
            wrap: wrap.map(|(_, wrap)| wrap.as_slice()).unwrap_or_default(),
            me: &one.key,
            secrets: std::slice::from_ref(&one.secret),
            mine: one.party(),
            peer: Some(two.party()),
            history: History { request: Some(request.id()), known: &[] },
            now_ms,
        };
        let opened = hushwire_e2ee::open(&offered).map_err(|error| error.to_string())?;
        let header = created.state.header();
        let sender = |person: &Person| header.index_of(&person.key.device_id()).unwrap_or(0);
        let senders = [sender(&one), sender(&two)];
        Ok(Self {
            epoch: created.id,
            senders,
            keys: [opened.state, created.state],
            request: bytes,
            accept: serde_json::to_value(&accept).map_err(|error| error.to_string())?,
            people: [one, two],
        })
    }

    /// What one of the pair could ask of a route: its path, and its body if it has one. It takes
    /// nothing away that others of the run need: it leaves nobody, and ends no session.
    pub(crate) fn asks(&self, who: usize, method: &str, route: &str) -> (String, Value) {
        let (me, other) = (&self.people[who], &self.people[1 - who]);
        let (user, epoch) = (other.user().to_base64url(), self.epoch.to_base64url());
        let path = route
            .replace("{user}", &user)
            .replace("{epoch}", &epoch)
            .replace("{device}", &other.key.device_id().to_base64url());
        let stranger = json!({ "peer": UserId([9; 32]).to_base64url() });
        let body = match (method, route) {
            ("POST", "/v1/accounts") => json!(me.register),
            ("POST", "/v1/auth/token") | ("DELETE", "/v1/account") => {
                json!(me.answer(Nonce([7; 32])))
            }
            ("PUT", "/v1/prekey") => json!(me.register.prekey),
            ("POST", "/v1/contacts/request") => {
                json!(ContactAsk { request: self.request.clone().into() })
            }
            ("POST", "/v1/contacts/accept") => self.accept.clone(),
            ("POST", "/v1/contacts/decline") => {
                json!({ "request_id": self.accept["request_id"] })
            }
            ("POST", "/v1/contacts/remove" | "/v1/contacts/block" | "/v1/contacts/unblock") => {
                stranger
            }
            ("POST", "/v1/epochs") => json!({ "peer": user, "epoch": self.accept["epoch"] }),
            ("POST", "/v1/log") => json!({ "entry": me.register.genesis }),
            ("POST", _) => json!({}),
            _ => Value::Null,
        };
        (path, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_interface_is_asked() {
        let text = include_str!("../../../docs/api/openapi.json");
        let interface: Value = serde_json::from_str(text).expect("the description is JSON");
        let paths = interface["paths"].as_object().expect("it has paths");
        let mut named: Vec<_> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().expect("a path has methods");
                methods.keys().map(move |method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        let mut asked: Vec<_> = ROUTES
            .iter()
            .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        named.sort();
        asked.sort();
        assert_eq!(asked, named);
    }
}

//! A person of the generator: real keys, real log, real prekey, and what the HTTP interface needs
//! to make an account and a contact of them.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use hushwire_e2ee::{Body, Content, ContentId, Created, DeviceKey, EpochState, NewEpoch, Party};
use hushwire_e2ee::{PrekeySecret, Random, RandomError};
use hushwire_identity::{
    ContactRequest, DeviceKind, DeviceLog, Handle, Prekey, Reason, Suites, day_of,
};
use hushwire_wire::http::{
    AuthAnswer, AuthChallenge, AuthToken, ContactAccept, ContactAsk, ContactAsked, PrekeyBundle,
    Register, ServerCard, Wrap,
};
use hushwire_wire::message::{Class, LANE_DURABLE};
use hushwire_wire::{RequestId, Token, UserId};
use reqwest::Client;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The operating system's randomness.
#[derive(Debug)]
pub(crate) struct Os;

impl Random for Os {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(out).map_err(|_| RandomError)
    }
}

/// Bytes of the operating system's randomness.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut out = [0; N];
    Os.fill(&mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

/// One person with one device.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) key: DeviceKey,
    log: DeviceLog,
    genesis: Vec<u8>,
    secret: PrekeySecret,
    prekey: Prekey,
}

impl Person {
    /// Makes keys, a genesis entry and a prekey.
    pub(crate) fn new(domain: &str, number: usize, now_ms: u64) -> Result<Self, String> {
        let say = |error: &dyn std::error::Error| error.to_string();
        let handle = Handle::parse(&format!("bench_{number}")).map_err(|e| say(&e))?;
        let key = DeviceKey::generate(&mut Os).map_err(|e| say(&e))?;
        let genesis = key
            .genesis(domain, &handle, DeviceKind::TERMINAL, Suites::HERE, now_ms)
            .map_err(|e| say(&e))?;
        let log = DeviceLog::genesis(&genesis).map_err(|e| say(&e))?;
        let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut Os).map_err(|e| say(&e))?;
        let prekey = secret.publish(&key, &log, Suites::HERE, day_of(now_ms));
        Ok(Self { key, log, genesis, secret, prekey })
    }

    /// The user id.
    pub(crate) fn user(&self) -> UserId {
        self.log.user()
    }

    /// Epoch 0 with `asker`, whose request this person accepts.
    pub(crate) fn first_epoch(
        &self,
        asker: &Self,
        request: RequestId,
        now_ms: u64,
    ) -> Result<Created, String> {
        let new = NewEpoch {
            me: &self.key,
            prekey: &self.secret,
            mine: self.party(),
            peer: Some(asker.party()),
            n: 0,
            prev: request.0,
            reason: Reason::First,
            created_ms: now_ms,
        };
        hushwire_e2ee::create(&new, &mut Os).map_err(|error| error.to_string())
    }

    fn party(&self) -> Party<'_> {
        Party { log: &self.log, prekeys: std::slice::from_ref(&self.prekey) }
    }
}

/// The server's HTTP interface.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
    base: String,
}

impl Api {
    pub(crate) fn new(address: SocketAddr) -> Result<Self, String> {
        let client = Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        Ok(Self { client, base: format!("http://{address}/v1") })
    }

    /// Domain, clock and rules of the server.
    pub(crate) async fn card(&self) -> Result<ServerCard, String> {
        let answer = self.client.get(format!("{}/server", self.base)).send().await;
        read("server", answer).await
    }

    /// Makes an account.
    pub(crate) async fn register(&self, person: &Person) -> Result<(), String> {
        let body = Register {
            genesis: person.genesis.clone().into(),
            prekey: PrekeyBundle {
                record: person.prekey.record.to_bytes().into(),
                xwing: person.prekey.xwing.clone().map(Into::into),
            },
        };
        let registered: hushwire_wire::http::Registered =
            self.post("accounts", None, &body).await?;
        if registered.user == person.user() { Ok(()) } else { Err("another user id".to_owned()) }
    }

    /// A session token.
    async fn token(&self, person: &Person) -> Result<Token, String> {
        let challenge: AuthChallenge = self.post("auth/challenge", None, &Empty {}).await?;
        let answer = AuthAnswer {
            user: person.user(),
            key_id: person.key.device_id(),
            nonce: challenge.nonce,
            signature: person
                .key
                .login(&challenge.domain, &challenge.nonce, &person.user())
                .to_vec()
                .into(),
        };
        let token: AuthToken = self.post("auth/token", None, &answer).await?;
        Ok(token.token)
    }

    /// Makes a contact of both: `one` asks, `other` accepts and makes epoch 0. Gives the keys of
    /// `other`, who can then write to `one`.
    pub(crate) async fn befriend(
        &self,
        one: &Person,
        other: &Person,
        now_ms: u64,
    ) -> Result<EpochState, String> {
        let request = ContactRequest {
            from: one.log.point(),
            to: Some(other.user()),
            handle: other.log.handle().clone(),
            nonce: random()?,
            time_ms: now_ms,
        };
        let ask = ContactAsk { request: request.to_bytes().into() };
        let token = self.token(one).await?;
        let asked: ContactAsked = self.post("contacts/request", Some(&token), &ask).await?;
        if asked.request_id != request.id() {
            return Err("another request id".to_owned());
        }
        let created = other.first_epoch(one, request.id(), now_ms)?;
        let wraps = created.wraps.into_iter();
        let accept = ContactAccept {
            request_id: request.id(),
            epoch: hushwire_wire::http::NewEpoch {
                header: created.header.into(),
                wraps: wraps.map(|(device, wrap)| Wrap { device, wrap: wrap.into() }).collect(),
            },
        };
        let token = self.token(other).await?;
        let answer = self.request("contacts/accept", Some(&token), &accept).send().await;
        succeeded("contacts/accept", answer).await?;
        Ok(created.state)
    }

    async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&Token>,
        body: &B,
    ) -> Result<T, String> {
        read(path, self.request(path, token, body).send().await).await
    }

    fn request<B: Serialize>(
        &self,
        path: &str,
        token: Option<&Token>,
        body: &B,
    ) -> reqwest::RequestBuilder {
        let request = self.client.post(format!("{}/{path}", self.base)).json(body);
        match token {
            Some(token) => request.bearer_auth(token.to_base64url()),
            None => request,
        }
    }
}

#[derive(Serialize)]
struct Empty {}

async fn succeeded(
    path: &str,
    answer: reqwest::Result<reqwest::Response>,
) -> Result<reqwest::Response, String> {
    let answer = answer.map_err(|error| format!("{path}: {error}"))?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let problem = answer.text().await.unwrap_or_default();
    Err(format!("{path}: {status}: {problem}"))
}

async fn read<T: DeserializeOwned>(
    path: &str,
    answer: reqwest::Result<reqwest::Response>,
) -> Result<T, String> {
    let answer = succeeded(path, answer).await?;
    answer.json().await.map_err(|error| format!("{path}: {error}"))
}

/// Seals a text whose padded content has 256 bytes.
pub(crate) fn seal_text(state: &mut EpochState, now_ms: u64) -> Result<Vec<u8>, String> {
    let content = Content {
        id: ContentId(random()?),
        sent_ms: now_ms,
        prev_sent: 0,
        seen: state.seen(),
        body: Body::Text { reply_to: None, text: "x".repeat(160) },
    };
    let sealed = state
        .seal(Class::Text, LANE_DURABLE, &content, random()?)
        .map_err(|error| error.to_string())?;
    Ok(sealed.upload)
}

//! Somebody with a device, by hand: real keys and real `hw1`, but every frame is the test's.

use std::num::NonZeroU32;
use std::time::{SystemTime, UNIX_EPOCH};

use hushwire_e2ee::content::ReceiptKind;
use hushwire_e2ee::{
    Body, Content, ContentId, Created, DeviceKey, EpochState, History, NewEpoch, Offered, Party,
    PrekeySecret, RandomError, Received,
};
use hushwire_identity::{
    ContactRequest, DeviceKind, DeviceLog, Handle, Prekey, Reason, Suite, Suites, day_of,
};
use hushwire_wire::frame::{ClientOp, Hello, Message, Send, ServerOp, Welcome};
use hushwire_wire::http::{
    AuthAnswer, AuthChallenge, AuthToken, ContactAccept, ContactAsk, ContactAsked, Contacts,
    EpochBundle, LogEntries, PrekeyBundle, Prekeys, Register, Registered, ServerCard, Wrap,
};
use hushwire_wire::message::Class;
use hushwire_wire::{DeviceId, Encoding, EpochId, Gen, Nonce, Sealed, Token, UserId};

use super::http::{Http, Reply};
use super::socket::Socket;

/// Random bytes of the operating system.
pub fn random(out: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(out).map_err(|_| RandomError)
}

pub fn random_array<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    random(&mut out).unwrap();
    out
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a client outside the server has its own clock")]
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// A user with one device.
#[derive(Debug)]
pub struct Person {
    pub http: Http,
    pub handle: Handle,
    pub domain: String,
    pub key: DeviceKey,
    pub log: DeviceLog,
    pub prekey: Prekey,
    pub secret: PrekeySecret,
    pub suites: Suites,
    pub token: Option<Token>,
}

/// The suites 1 and 3.
pub fn both_suites() -> Suites {
    Suites::from_bits(0b101).unwrap()
}

impl Person {
    /// Keys and a genesis entry, nothing sent yet.
    pub async fn prepare(http: &Http, name: &str, suites: Suites) -> Self {
        let card: ServerCard = http.get("/v1/server", None).await.ok();
        let key = DeviceKey::generate(&mut random).unwrap();
        let handle = Handle::parse(name).unwrap();
        let kind = DeviceKind::from_number(1).unwrap();
        let genesis = key.genesis(&card.domain, &handle, kind, suites, now_ms()).unwrap();
        let log = DeviceLog::genesis(&genesis).unwrap();
        let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut random).unwrap();
        let prekey = secret.publish(&key, &log, suites, day_of(now_ms()));
        Self {
            http: http.clone(),
            handle,
            domain: card.domain,
            key,
            log,
            prekey,
            secret,
            suites,
            token: None,
        }
    }

    /// Registered and signed in over HTTP.
    pub async fn register(http: &Http, name: &str) -> Self {
        Self::register_with(http, name, both_suites()).await
    }

    pub async fn register_with(http: &Http, name: &str, suites: Suites) -> Self {
        let mut person = Self::prepare(http, name, suites).await;
        let registered: Registered = person.post_account().await.ok();
        assert_eq!(registered.user, person.user());
        assert_eq!(registered.device, person.device());
        let challenge: AuthChallenge =
            http.post("/v1/auth/challenge", None, &serde_json::json!({})).await.ok();
        let token: AuthToken =
            http.post("/v1/auth/token", None, &person.auth_answer(challenge.nonce)).await.ok();
        person.token = Some(token.token);
        person
    }

    /// The body of a registration.
    pub fn account(&self) -> Register {
        let genesis = self.key.genesis(
            &self.domain,
            &self.handle,
            DeviceKind::from_number(1).unwrap(),
            self.suites,
            self.log.time_ms(),
        );
        Register { genesis: Sealed::from(genesis.unwrap()), prekey: bundle(&self.prekey) }
    }

    pub async fn post_account(&self) -> Reply {
        self.http.post("/v1/accounts", None, &self.account()).await
    }

    pub fn auth_answer(&self, nonce: Nonce) -> AuthAnswer {
        let signature = self.key.login(&self.domain, &nonce, &self.user());
        AuthAnswer {
            user: self.user(),
            key_id: self.device(),
            nonce,
            signature: Sealed::new(signature.to_vec()),
        }
    }

    pub fn user(&self) -> UserId {
        self.log.user()
    }

    pub fn device(&self) -> DeviceId {
        self.key.device_id()
    }

    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    pub fn hello(&self, nonce: &Nonce, r#gen: Option<Gen>) -> Hello {
        let signature = self.key.login(&self.domain, nonce, &self.user());
        Hello {
            user: self.user(),
            device: self.device(),
            signature: Sealed::new(signature.to_vec()),
            r#gen,
            client: "test/1".to_owned(),
            features: Vec::new(),
        }
    }

    /// A signed-in connection.
    pub async fn connect(&self, encoding: Encoding) -> (Socket, Welcome) {
        self.connect_with(encoding, None).await
    }

    pub async fn connect_with(&self, encoding: Encoding, r#gen: Option<Gen>) -> (Socket, Welcome) {
        let mut socket = Socket::connect(&self.http.url, encoding).await;
        let ServerOp::Challenge(challenge) = socket.next().await.op else {
            panic!("the server speaks first");
        };
        assert_eq!(challenge.domain, self.domain);
        match socket.ask(ClientOp::Hello(self.hello(&challenge.nonce, r#gen))).await {
            ServerOp::Welcome(welcome) => (socket, welcome),
            other => panic!("no welcome: {other:?}"),
        }
    }

    /// The bytes of a contact request for `name`.
    pub fn request(&self, name: &str) -> ContactRequest {
        ContactRequest {
            from: self.log.point(),
            to: None,
            handle: Handle::parse(name).unwrap(),
            nonce: random_array(),
            time_ms: now_ms(),
        }
    }

    pub async fn ask(&self, request: &ContactRequest) -> Reply {
        let body = ContactAsk { request: Sealed::from(request.to_bytes()) };
        self.http.post("/v1/contacts/request", self.token(), &body).await
    }

    pub async fn contacts(&self) -> Contacts {
        self.http.get("/v1/contacts", self.token()).await.ok()
    }

    /// Another user's log, verified, and prekeys.
    pub async fn look_up(&self, user: &UserId) -> (DeviceLog, Vec<Prekey>) {
        let path = format!("/v1/users/{}", user.to_base64url());
        let entries: LogEntries = self.http.get(&format!("{path}/log"), self.token()).await.ok();
        let entries: Vec<_> = entries.entries.iter().map(|e| e.as_bytes().to_vec()).collect();
        let log = DeviceLog::verify(&entries).unwrap();
        let prekeys: Prekeys = self.http.get(&format!("{path}/prekeys"), self.token()).await.ok();
        let prekeys = prekeys.prekeys.iter().map(|p| parse_bundle(p, &log)).collect();
        (log, prekeys)
    }

    /// Makes an epoch with `peer`.
    pub async fn new_epoch(&self, peer: &UserId, n: u32, prev: [u8; 32]) -> Created {
        let (log, prekeys) = self.look_up(peer).await;
        let mine = [self.prekey.clone()];
        hushwire_e2ee::create(
            &NewEpoch {
                me: &self.key,
                prekey: &self.secret,
                mine: Party { log: &self.log, prekeys: &mine },
                peer: Some(Party { log: &log, prekeys: &prekeys }),
                n,
                prev,
                reason: if n == 0 { Reason::First } else { Reason::Heal },
                created_ms: now_ms(),
            },
            &mut random,
        )
        .unwrap()
    }

    /// Opens this device's wrap of an epoch.
    pub async fn open_epoch(
        &self,
        peer: &UserId,
        epoch: &EpochId,
        history: History<'_>,
    ) -> EpochState {
        let path = format!("/v1/epochs/{}", epoch.to_base64url());
        let bundle: EpochBundle = self.http.get(&path, self.token()).await.ok();
        let (log, prekeys) = self.look_up(peer).await;
        let mine = [self.prekey.clone()];
        let secrets = [self.secret.clone()];
        let accepted = hushwire_e2ee::open(&Offered {
            header: bundle.header.as_bytes(),
            wrap: bundle.wrap.expect("a wrap").as_bytes(),
            me: &self.key,
            secrets: &secrets,
            mine: Party { log: &self.log, prekeys: &mine },
            peer: Some(Party { log: &log, prekeys: &prekeys }),
            history,
            now_ms: now_ms(),
        })
        .unwrap();
        let claimed = self.http.post(&format!("{path}/claimed"), self.token(), &()).await;
        assert!(claimed.status.is_success(), "{}", claimed.text());
        accepted.state
    }

    /// A `send` of a sealed text.
    pub fn send(to: &UserId, sn: u64, upload: Vec<u8>) -> ClientOp {
        ClientOp::Send(Send {
            to: *to,
            sn,
            upload: Sealed::from(upload),
            withdraw: Vec::new(),
            re: None,
        })
    }
}

/// Two contacts and both their states of epoch 0.
#[derive(Debug)]
pub struct Pair {
    pub alice: Person,
    pub bob: Person,
    pub alice_state: EpochState,
    pub bob_state: EpochState,
}

impl Pair {
    /// Alice asks, Bob accepts.
    pub async fn meet(http: &Http, alice: &str, bob: &str) -> Self {
        Self::meet_with(http, alice, bob, both_suites()).await
    }

    pub async fn meet_with(http: &Http, alice: &str, bob: &str, suites: Suites) -> Self {
        let alice = Person::register_with(http, alice, suites).await;
        let bob = Person::register_with(http, bob, suites).await;
        let request = alice.request(bob.handle.as_str());
        let asked: ContactAsked = alice.ask(&request).await.ok();
        assert_eq!(asked.request_id, request.id());
        let made = bob.new_epoch(&alice.user(), 0, *request.id().as_bytes()).await;
        let body = ContactAccept { request_id: request.id(), epoch: post(&made) };
        let reply = bob.http.post("/v1/contacts/accept", bob.token(), &body).await;
        assert!(reply.status.is_success(), "{}", reply.text());
        let history = History { request: Some(request.id()), known: &[] };
        let alice_state = alice.open_epoch(&bob.user(), &made.id, history).await;
        Self { alice, bob, alice_state, bob_state: made.state }
    }
}

/// The body that posts an epoch.
pub fn post(made: &Created) -> hushwire_wire::http::NewEpoch {
    let wraps = made.wraps.iter();
    let wraps = wraps.map(|(device, wrap)| Wrap { device: *device, wrap: wrap.clone().into() });
    hushwire_wire::http::NewEpoch {
        header: Sealed::from(made.header.clone()),
        wraps: wraps.collect(),
    }
}

/// A text content in this state.
pub fn text(state: &EpochState, words: &str) -> Content {
    Content {
        id: ContentId(random_array()),
        sent_ms: now_ms(),
        prev_sent: 0,
        seen: state.seen(),
        body: Body::Text { reply_to: None, text: words.to_owned() },
    }
}

/// Seals a text.
pub fn seal_text(state: &mut EpochState, words: &str) -> Vec<u8> {
    let content = text(state, words);
    state.seal(Class::Text, 0, &content, random_array()).unwrap().upload
}

/// Seals a receipt, which the 10-second rule does not count.
pub fn seal_receipt(state: &mut EpochState, of: ContentId) -> Vec<u8> {
    let body = Body::Receipt { kind: ReceiptKind::Delivered, of: vec![of] };
    let content = Content { body, ..text(state, "") };
    state.seal(Class::Control, 0, &content, random_array()).unwrap().upload
}

/// Opens a message and gives its text.
pub fn open_text(state: &mut EpochState, message: &Message) -> String {
    let opened = state.open(message.msg.as_bytes(), now_ms()).unwrap();
    assert_eq!(opened.user, message.from_user);
    assert_eq!(opened.device, message.from_device);
    match opened.content {
        Received::Content(Content { body: Body::Text { text, .. }, .. }) => text,
        _ => panic!("no text"),
    }
}

pub fn bundle(prekey: &Prekey) -> PrekeyBundle {
    PrekeyBundle {
        record: Sealed::from(prekey.record.to_bytes()),
        xwing: prekey.xwing.clone().map(Sealed::from),
    }
}

fn parse_bundle(bundle: &PrekeyBundle, log: &DeviceLog) -> Prekey {
    let xwing = bundle.xwing.as_ref().map(Sealed::as_bytes);
    Prekey::verified(bundle.record.as_bytes(), xwing, log).unwrap()
}

/// Suite 1 alone.
pub fn plain_suite() -> Suites {
    Suites::from_bits(1 << (Suite::NaCl.number() - 1)).unwrap()
}

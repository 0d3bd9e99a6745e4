//! The other side of a conversation with real keys, and a board on which a test puts what the
//! server shows.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use hushwire_e2ee::{Body, Content, ContentId, Created, NewEpoch, Party};
use hushwire_identity::{
    ContactRequest, DeviceKind, Draft, Handle, Payload, Prekey, Reason, Suites, day_of,
};
use hushwire_wire::frame::Message as Arrived;
use hushwire_wire::http::{
    Contact, ContactAsk, ContactAsked, ContactState, Contacts, EpochBundle, EpochPost, EpochRef,
    LogEntries, PrekeyBundle, PrekeyPut, Prekeys,
};
use hushwire_wire::message::Upload;
use hushwire_wire::{EpochId, RequestId, Sealed, UserId};

use super::hostile::{World, reply};
use super::*;
use crate::record::Standing;
use crate::transport::Method;

/// The request of every contact here.
pub(super) const REQUEST: RequestId = RequestId([7; 32]);

/// A world with a friend who is a contact under the epoch 0 that the friend made.
pub(super) async fn contact() -> (World, Board, Friend, Created) {
    let mut world = World::new();
    let board = Board::of(&world);
    let bob = Friend::new(&world, "bob");
    bob.known_to(&mut world, Standing::Active);
    bob.shown_on(&board);
    let first = bob.makes(&world, 0, REQUEST.0);
    bob.posts(&world, &board, &first);
    world.engine.sync_contacts().await.unwrap();
    assert!(world.engine.peers[&bob.user()].knows(&first.id));
    let _ = world.goes_up();
    (world, board, bob, first)
}

/// A request of the friend to the world's user, the only one of theirs on the board.
pub(super) fn asks(friend: &Friend, board: &Board, nonce: u8) -> ContactRequest {
    friend.shown_on(board);
    let request = ContactRequest {
        from: friend.log.point(),
        to: None,
        handle: Handle::parse("alice").unwrap(),
        nonce: [nonce; 16],
        time_ms: 1,
    };
    let contact = Contact {
        peer: friend.user(),
        state: ContactState::Requested,
        request: Sealed::new(request.to_bytes()),
        newest: None,
    };
    board.set(|shown| {
        shown.contacts.retain(|contact| contact.peer != friend.user());
        shown.contacts.push(contact);
    });
    request
}

/// What the server shows, and what was posted to it.
#[derive(Clone, Default)]
pub(super) struct Board(Arc<Mutex<Shown>>);

#[derive(Default)]
pub(super) struct Shown {
    pub(super) epochs: HashMap<String, EpochBundle>,
    pub(super) logs: HashMap<String, Vec<Sealed>>,
    pub(super) prekeys: HashMap<String, Vec<PrekeyBundle>>,
    pub(super) contacts: Vec<Contact>,
    pub(super) posted: Vec<EpochPost>,
    /// How the next posts of epochs are answered; 201 if nothing is said.
    pub(super) refuse: Vec<Reply>,
    /// How the next acceptances are answered; 201 if nothing is said.
    pub(super) refuse_accept: Vec<Reply>,
    pub(super) claimed: Vec<String>,
    /// With which request the next ones that are made here cross.
    pub(super) crossed: Option<RequestId>,
}

impl Board {
    /// A board that the world's engine sees as its server.
    pub(super) fn of(world: &World) -> Self {
        let board = Self::default();
        let shown = board.clone();
        world.script(move |call| Some(shown.answer(call)));
        board
    }

    pub(super) fn set<T>(&self, change: impl FnOnce(&mut Shown) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    pub(super) fn answer(&self, call: &Call) -> Reply {
        let mut shown = self.0.lock().unwrap();
        let parts: Vec<&str> = call.path.trim_start_matches("/v1/").split('/').collect();
        let nothing = || prekeys::problem(hushwire_wire::http::ProblemCode::NotFound);
        match (call.method, parts.as_slice()) {
            (Method::Put, ["prekey"]) => {
                reply(200, &PrekeyPut { unclaimed: Vec::new(), more: false })
            }
            (Method::Get, ["contacts"]) => {
                reply(200, &Contacts { v: 1, contacts: shown.contacts.clone() })
            }
            (Method::Get, ["users", user, "log"]) => match shown.logs.get(*user) {
                Some(entries) => reply(200, &LogEntries { entries: entries.clone() }),
                None => nothing(),
            },
            (Method::Get, ["users", user, "prekeys"]) => match shown.prekeys.get(*user) {
                Some(prekeys) => reply(200, &Prekeys { prekeys: prekeys.clone() }),
                None => nothing(),
            },
            (Method::Get, ["epochs", epoch]) => match shown.epochs.get(*epoch) {
                Some(bundle) => reply(200, bundle),
                None => nothing(),
            },
            (Method::Post, ["epochs", epoch, "claimed"]) => {
                shown.claimed.push((*epoch).to_owned());
                reply(204, &())
            }
            (Method::Post, ["contacts", "request"]) if shown.crossed.is_some() => {
                let ask: ContactAsk = serde_json::from_slice(call.body.as_ref().unwrap()).unwrap();
                let request = ContactRequest::parse(ask.request.as_bytes()).unwrap();
                let crossed = shown.crossed;
                reply(202, &ContactAsked { request_id: request.id(), crossed })
            }
            (Method::Post, ["contacts", "accept"]) => {
                if let Some(refusal) = shown.refuse_accept.pop() {
                    return refusal;
                }
                reply(201, &EpochRef { n: 0, epoch: EpochId([0; 32]) })
            }
            (Method::Post, ["epochs"]) => {
                if let Some(refusal) = shown.refuse.pop() {
                    return refusal;
                }
                let post: EpochPost = serde_json::from_slice(call.body.as_ref().unwrap()).unwrap();
                shown.posted.push(post);
                reply(201, &EpochRef { n: 0, epoch: EpochId([0; 32]) })
            }
            _ => nothing(),
        }
    }

    /// The reasons of the epochs that were posted, and what they follow.
    pub(super) fn posted(&self) -> Vec<(u32, Reason, [u8; 32])> {
        let header = |post: &EpochPost| {
            let bytes = post.epoch.header.as_bytes();
            let header = hushwire_identity::EpochHeader::parse(bytes).unwrap();
            (header.n, header.reason, header.prev)
        };
        self.set(|shown| shown.posted.iter().map(header).collect())
    }
}

/// Somebody else with one device.
pub(super) struct Friend {
    pub(super) key: DeviceKey,
    pub(super) log: DeviceLog,
    pub(super) entries: Vec<Sealed>,
    secret: PrekeySecret,
    pub(super) prekey: Prekey,
}

impl Friend {
    pub(super) fn new(world: &World, name: &str) -> Self {
        let mut random = |out: &mut [u8]| SystemRandom.fill(out);
        let key = DeviceKey::generate(&mut random).unwrap();
        let handle = Handle::parse(name).unwrap();
        let (kind, suites) = (DeviceKind::TERMINAL, Suites::HERE);
        let wire = key.genesis("example.org", &handle, kind, suites, world.now()).unwrap();
        let log = DeviceLog::genesis(&wire).unwrap();
        let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut random).unwrap();
        let prekey = secret.publish(&key, &log, suites, day_of(world.now()));
        Self { key, log, entries: vec![Sealed::new(wire)], secret, prekey }
    }

    pub(super) fn user(&self) -> UserId {
        self.log.user()
    }

    /// What is known of the friend, as an earlier look left it.
    pub(super) fn known_to(&self, world: &mut World, standing: Standing) {
        let peer = Peer {
            handle: self.log.handle().to_string(),
            log: self.entries.clone(),
            ..Peer::new(self.user(), standing, REQUEST)
        };
        world.engine.put_peer(peer).unwrap();
    }

    /// Log and prekey as they are now, on the board.
    pub(super) fn shown_on(&self, board: &Board) {
        let user = self.user().to_base64url();
        let bundle = PrekeyBundle {
            record: Sealed::new(self.prekey.record.to_bytes()),
            xwing: self.prekey.xwing.clone().map(Sealed::new),
        };
        board.set(|shown| {
            shown.logs.insert(user.clone(), self.entries.clone());
            shown.prekeys.insert(user, vec![bundle]);
        });
    }

    /// A second device is added to the log, which does not come to life.
    pub(super) fn add_device(&mut self) -> DeviceKey {
        let other = DeviceKey::generate(&mut |out: &mut [u8]| SystemRandom.fill(out)).unwrap();
        let (kind, suites) = (DeviceKind::PHONE, Suites::HERE);
        let claim = other.claim(&self.user(), kind, suites);
        let payload = Payload::Add { ik: *other.public(), kind, suites };
        let wire = self.key.sign_entry(&self.draft(payload, &self.key), Some(&claim));
        self.extend(wire);
        other
    }

    /// `by` takes this friend's first device out of the log.
    pub(super) fn revoke_first(&mut self, by: &DeviceKey) {
        let payload = Payload::Revoke { devices: vec![self.key.device_id()], reason: 0 };
        let wire = by.sign_entry(&self.draft(payload, by), None);
        self.extend(wire);
    }

    fn draft(&self, payload: Payload, by: &DeviceKey) -> Draft {
        Draft {
            seq: self.log.seq() + 1,
            log: self.user(),
            prev: self.log.head().0,
            time_ms: self.log.time_ms(),
            signer: by.device_id(),
            payload,
        }
    }

    fn extend(&mut self, wire: Vec<u8>) {
        self.log.extend(&wire).unwrap();
        self.entries.push(Sealed::new(wire));
    }

    /// The next prekey, made on a day so many days from now.
    pub(super) fn renew_prekey(&mut self, world: &World, days: i64) {
        let id = NonZeroU32::new(self.prekey.record.id + 1).unwrap();
        self.secret =
            PrekeySecret::generate(id, &mut |out: &mut [u8]| SystemRandom.fill(out)).unwrap();
        let day = i64::from(day_of(world.now())) + days;
        let day = u32::try_from(day).unwrap();
        self.prekey = self.secret.publish(&self.key, &self.log, Suites::HERE, day);
    }

    /// An epoch that the friend makes with the world's user.
    pub(super) fn makes(&self, world: &World, n: u32, prev: [u8; 32]) -> Created {
        let own = [self.prekey.clone()];
        let theirs = [world.engine.own_prekey().unwrap()];
        let new = NewEpoch {
            me: &self.key,
            prekey: &self.secret,
            mine: Party { log: &self.log, prekeys: &own },
            peer: Some(Party { log: &world.engine.log, prekeys: &theirs }),
            n,
            prev,
            reason: if n == 0 { Reason::First } else { Reason::Heal },
            created_ms: world.now(),
        };
        hushwire_e2ee::create(&new, &mut |out: &mut [u8]| SystemRandom.fill(out)).unwrap()
    }

    /// As the world's device gets it.
    pub(super) fn bundle(&self, world: &World, created: &Created) -> EpochBundle {
        let me = world.engine.key.device_id();
        let wrap = created.wraps.iter().find(|(device, _)| *device == me);
        let own = prekey::bundle(&world.engine.prekey);
        let theirs = PrekeyBundle {
            record: Sealed::new(self.prekey.record.to_bytes()),
            xwing: self.prekey.xwing.clone().map(Sealed::new),
        };
        EpochBundle {
            header: Sealed::new(created.header.clone()),
            wrap: wrap.map(|(_, wrap)| Sealed::new(wrap.clone())),
            prekeys: vec![own, theirs],
        }
    }

    /// Puts an epoch on the board, as the pair's newest.
    pub(super) fn posts(&self, world: &World, board: &Board, created: &Created) {
        let bundle = self.bundle(world, created);
        let n = created.state.header().n;
        let contact = Contact {
            peer: self.user(),
            state: ContactState::Active,
            request: Sealed::new(Vec::new()),
            newest: Some(EpochRef { n, epoch: created.id }),
        };
        board.set(|shown| {
            shown.epochs.insert(created.id.to_base64url(), bundle);
            shown.contacts.retain(|contact| contact.peer != self.user());
            shown.contacts.push(contact);
        });
    }

    /// A text under an epoch, as it arrives.
    pub(super) fn says(
        &self,
        state: &mut EpochState,
        text: &str,
        prev_sent: u32,
        now: u64,
    ) -> Arrived {
        let mut id = [0; 16];
        SystemRandom.fill(&mut id).unwrap();
        let body = Body::Text { reply_to: None, text: text.to_owned() };
        let (class, lane) = body.class_and_lane();
        let content =
            Content { id: ContentId(id), sent_ms: now, prev_sent, seen: state.seen(), body };
        let sealed = state.seal(class, lane, &content, id).unwrap();
        let upload = Upload::parse(&Sealed::new(sealed.upload.clone())).unwrap();
        // One other device: the tag is the last 16 bytes, and one byte counts the tags.
        let end = sealed.upload.len() - 17;
        let msg = [&sealed.upload[..end], &upload.tag(0).unwrap()].concat();
        Arrived {
            n: 1,
            at: now,
            peer: self.user(),
            from_user: self.user(),
            from_device: self.key.device_id(),
            msg: Sealed::new(msg),
        }
    }
}

impl World {
    /// What was told, after the turn is written.
    pub(super) fn tells(&mut self) -> Vec<Event> {
        self.engine.settle().unwrap();
        self.engine.tell_unshown();
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }

    /// A connection on which nothing answers: enough for what is done only while there is one.
    pub(super) fn goes_up(&mut self) -> mpsc::Receiver<Vec<u8>> {
        let (out, sent) = mpsc::channel(64);
        let (_, arrivals) = mpsc::channel(1);
        let (link, numbers) = (Link { out, arrivals }, Numbers::default());
        let heard_at = self.now();
        self.engine.phase = Phase::Up(Up { link, numbers, heard_at, heartbeat_ms: 0 });
        sent
    }
}

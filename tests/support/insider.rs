//! A contact with real keys who breaks the rules, and the history of her devices as she would have
//! it shown.

use hushwire_client::Event;
use hushwire_e2ee::{Body, Content, ContentId, DeviceKey, Party};
use hushwire_identity::hash::{Label, hash};
use hushwire_identity::{
    ContactRequest, DeviceKind, DeviceLog, Draft, EpochHeader, Head, LogPoint, Payload, Prekey,
};
use hushwire_wire::frame::Message;
use hushwire_wire::http::{ContactAccept, EpochBundle, EpochRef, LogEntries, NewEpoch, Wrap};
use hushwire_wire::{DeviceId, Sealed, UserId};

use super::Server;
use super::forge::{Epoch, Letter, Parts, open_wrap};
use super::person::{Person, both_suites, now_ms, random_array};
use super::victim::Victim;

/// A log as its entries, so that any number of devices and any fork can be shown to anybody.
#[derive(Clone, Debug)]
pub struct History {
    pub wires: Vec<Vec<u8>>,
    pub log: DeviceLog,
}

impl History {
    /// What the server has of a person.
    pub fn of(person: &Person) -> Self {
        let genesis = person.account().genesis.as_bytes().to_vec();
        Self { wires: vec![genesis], log: person.log.clone() }
    }

    /// The next entry's content, signed by nobody yet.
    pub fn draft(&self, signer: &DeviceKey, payload: Payload) -> Draft {
        Draft {
            seq: self.log.seq() + 1,
            log: self.log.user(),
            prev: self.log.head().0,
            time_ms: self.log.time_ms(),
            signer: signer.device_id(),
            payload,
        }
    }

    /// The entry that adds a device.
    pub fn add(&self, signer: &DeviceKey, new: &DeviceKey) -> Vec<u8> {
        let (kind, suites) = (DeviceKind::PHONE, both_suites());
        let payload = Payload::Add { ik: *new.public(), kind, suites };
        let claim = new.claim(&self.log.user(), kind, suites);
        signer.sign_entry(&self.draft(signer, payload), Some(&claim))
    }

    /// The entry that takes a device out.
    pub fn revoke(&self, signer: &DeviceKey, device: DeviceId) -> Vec<u8> {
        let payload = Payload::Revoke { devices: vec![device], reason: 0 };
        signer.sign_entry(&self.draft(signer, payload), None)
    }

    /// With one more entry, valid.
    pub fn and(&self, wire: Vec<u8>) -> Self {
        let mut more = self.clone();
        more.log.extend(&wire).unwrap();
        more.wires.push(wire);
        more
    }

    /// As it is fetched.
    pub fn entries(&self) -> LogEntries {
        LogEntries { entries: self.wires.iter().cloned().map(Sealed::new).collect() }
    }

    /// As it is fetched, with one more entry that is not valid; and the point that it would be.
    pub fn broken(&self, wire: Vec<u8>) -> (LogEntries, LogPoint) {
        let head = Head(hash(Label::Entry, &[&wire]));
        let mut entries = self.entries();
        entries.entries.push(Sealed::new(wire));
        (entries, LogPoint { user: self.log.user(), seq: self.log.seq() + 1, head })
    }

    /// The path that it is fetched from.
    pub fn path(&self) -> String {
        format!("/v1/users/{}/log", self.log.user().to_base64url())
    }
}

/// A contact of somebody with the SDK: she accepted with an epoch whose key she chose.
pub struct Insider {
    pub person: Person,
    pub epoch: Epoch,
    /// Her victim: log and prekey.
    pub log: DeviceLog,
    pub prekey: Prekey,
}

impl Insider {
    /// Somebody asks; she accepts.
    pub async fn befriend(server: &Server, name: &str, victim: &mut Victim) -> Self {
        let person = Person::register(&server.http(), name).await;
        victim.client.contacts_add(name).await.unwrap();
        Self::answer(person, victim).await
    }

    /// She was asked; she accepts.
    pub async fn answer(person: Person, victim: &mut Victim) -> Self {
        let contacts = person.contacts().await.contacts;
        let asked = contacts.iter().find(|contact| contact.peer == victim.user).unwrap();
        let request = ContactRequest::parse(asked.request.as_bytes()).unwrap();
        let (log, mut prekeys) = person.look_up(&victim.user).await;
        let prekey = prekeys.remove(0);
        let insider =
            Self { epoch: first(&person, &log, &prekey, request.id().0), person, log, prekey };
        let epoch = insider.posted(&insider.epoch, &insider.wrap(&insider.epoch));
        let accept = ContactAccept { request_id: request.id(), epoch };
        let reply =
            insider.person.http.post("/v1/contacts/accept", insider.person.token(), &accept).await;
        assert!(reply.status.is_success(), "{}", reply.text());
        let accepted = |event: &Event| matches!(event, Event::ContactAccepted { .. }).then_some(());
        victim.until(accepted).await;
        insider
    }

    /// Looks at her victim's log and prekey again.
    pub async fn look(&mut self) {
        let (log, mut prekeys) = self.person.look_up(&self.prekey.record.user).await;
        (self.log, self.prekey) = (log, prekeys.remove(0));
    }

    /// The next epoch as she would make it in good faith.
    pub fn next(&self, n: u32, prev: &Epoch) -> Epoch {
        let own = [self.person.prekey.clone()];
        self.next_of(&Party { log: &self.person.log, prekeys: &own }, n, prev)
    }

    /// The next epoch after the one that stands.
    pub fn after(&self, newest: &EpochRef) -> Epoch {
        let epoch = self.next(newest.n + 1, &self.epoch);
        epoch.with(|header| header.prev = newest.epoch.0)
    }

    /// The next epoch with another log and other prekeys of hers.
    pub fn next_of(&self, mine: &Party<'_>, n: u32, prev: &Epoch) -> Epoch {
        let theirs = [self.prekey.clone()];
        let peer = Party { log: &self.log, prekeys: &theirs };
        Epoch::honest(&self.person.key, mine, &peer, n, prev.header.id().0)
    }

    /// Her honest wrap for her victim.
    pub fn wrap(&self, epoch: &Epoch) -> Vec<u8> {
        epoch.wrap(&self.person.key, &self.prekey)
    }

    /// An epoch as she posts it.
    pub fn posted(&self, epoch: &Epoch, wrap: &[u8]) -> NewEpoch {
        let wrap = Wrap { device: self.prekey.record.device, wrap: Sealed::new(wrap.to_vec()) };
        NewEpoch { header: Sealed::new(epoch.header.to_bytes()), wraps: vec![wrap] }
    }

    /// An epoch as her victim fetches it, with the prekeys of both.
    pub fn bundle(&self, epoch: &Epoch, wrap: Vec<u8>) -> EpochBundle {
        epoch.bundle(wrap, &[&self.person.prekey, &self.prekey])
    }

    /// An epoch that her victim made, by its header and her wrap of it.
    pub fn opens(&self, header: &[u8], wrap: &[u8]) -> Epoch {
        let mut epoch = Epoch { header: EpochHeader::parse(header).unwrap(), key: [0; 32] };
        let Person { secret, prekey, .. } = &self.person;
        let creator = self.log.devices().next().unwrap();
        epoch.key = open_wrap(&epoch, secret, prekey, creator, wrap).unwrap().try_into().unwrap();
        epoch
    }

    pub fn user(&self) -> UserId {
        self.person.user()
    }

    /// Her text in an epoch at a counter, before it is sealed.
    pub fn letter(&self, epoch: &Epoch, counter: u32, words: &str) -> Letter {
        let sender = epoch.header.index_of(&self.person.device()).unwrap();
        let padded = content(words).to_padded().unwrap().to_vec();
        Letter { class: 1, sender, lane: 0, counter, salt: None, padded }
    }

    /// A sealed letter as her victim gets it, with her authentic tag.
    pub fn deliver(&self, epoch: &Epoch, parts: &Parts) -> Message {
        self.message(parts.delivered(&epoch.tag_key(&self.person.key, &self.prekey.record)))
    }

    /// Bytes as her victim gets them.
    pub fn message(&self, bytes: Vec<u8>) -> Message {
        Message {
            n: 0,
            at: now_ms(),
            peer: self.user(),
            from_user: self.user(),
            from_device: self.person.device(),
            msg: Sealed::new(bytes),
        }
    }

    /// An honest text.
    pub fn text(&self, epoch: &Epoch, counter: u32, words: &str) -> Message {
        self.deliver(epoch, &epoch.seal(&self.letter(epoch, counter, words)))
    }
}

fn first(person: &Person, log: &DeviceLog, prekey: &Prekey, request: [u8; 32]) -> Epoch {
    let (own, theirs) = ([person.prekey.clone()], [prekey.clone()]);
    let mine = Party { log: &person.log, prekeys: &own };
    Epoch::honest(&person.key, &mine, &Party { log, prekeys: &theirs }, 0, request)
}

/// A text with a fresh id.
pub fn content(words: &str) -> Content {
    Content {
        id: ContentId(random_array()),
        sent_ms: now_ms(),
        prev_sent: 0,
        seen: Vec::new(),
        body: Body::Text { reply_to: None, text: words.to_owned() },
    }
}

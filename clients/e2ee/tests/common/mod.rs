//! Two users with real keys, logs and prekeys, and the server's part of carrying a message.
#![allow(dead_code, unreachable_pub)]

use std::num::NonZeroU32;

use hushwire_e2ee::{
    AcceptError, Accepted, Body, Content, ContentId, Created, DeviceKey, EpochState, History,
    NewEpoch, Offered, Party, PrekeySecret, RandomError, SealedMessage, create, open,
};
use hushwire_identity::hash::{Label, hash};
use hushwire_identity::{
    DeviceKind, DeviceLog, Draft, Handle, Payload, Prekey, Reason, Suites, day_of,
};
use hushwire_wire::message::Upload;
use hushwire_wire::{DeviceId, RequestId};

pub const NOW: u64 = 20_000 * 86_400_000;
pub const REQUEST: RequestId = RequestId([0x7e; 32]);

/// Random bytes that are the same in every run.
pub fn random(seed: u64) -> impl FnMut(&mut [u8]) -> Result<(), RandomError> {
    let mut count = 0_u64;
    move |out: &mut [u8]| {
        for chunk in out.chunks_mut(32) {
            count += 1;
            let block = hash(Label::Recovery, &[&seed.to_be_bytes(), &count.to_be_bytes()]);
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

pub struct Device {
    pub key: DeviceKey,
    pub secret: PrekeySecret,
}

/// A user with its devices, in the order in which they were added.
pub struct User {
    pub devices: Vec<Device>,
    pub log: DeviceLog,
    pub prekeys: Vec<Prekey>,
    pub suites: Suites,
}

pub fn user(handle: &str, seed: u8, devices: usize, suites: Suites) -> User {
    let mut random = random(u64::from(seed));
    let mut make = |i: usize| Device {
        key: DeviceKey::from_seed([seed + u8::try_from(i).unwrap(); 32]),
        secret: PrekeySecret::generate(NonZeroU32::MIN, &mut random).unwrap(),
    };
    let first = make(0);
    let kind = DeviceKind::TERMINAL;
    let handle = Handle::parse(handle).unwrap();
    let genesis = first.key.genesis("example.org", &handle, kind, suites, 1_000).unwrap();
    let log = DeviceLog::genesis(&genesis).unwrap();
    let mut user = User { devices: vec![first], log, prekeys: Vec::new(), suites };
    for i in 1..devices {
        user.add(make(i));
    }
    user.republish(day_of(NOW));
    user
}

impl User {
    pub fn add(&mut self, device: Device) {
        let key = &device.key;
        let kind = DeviceKind::PHONE;
        let payload = Payload::Add { ik: *key.public(), kind, suites: self.suites };
        let claim = key.claim(&self.log.user(), kind, self.suites);
        let wire = self.devices[0].key.sign_entry(&self.draft(payload), Some(&claim));
        self.log.extend(&wire).unwrap();
        self.devices.push(device);
    }

    pub fn revoke(&mut self, i: usize) {
        let payload = Payload::Revoke { devices: vec![self.devices[i].key.device_id()], reason: 0 };
        let by = if i == 0 { 1 } else { 0 };
        let mut draft = self.draft(payload);
        draft.signer = self.devices[by].key.device_id();
        let wire = self.devices[by].key.sign_entry(&draft, None);
        self.log.extend(&wire).unwrap();
    }

    fn draft(&self, payload: Payload) -> Draft {
        Draft {
            seq: self.log.seq() + 1,
            log: self.log.user(),
            prev: self.log.head().0,
            time_ms: self.log.time_ms(),
            signer: self.devices[0].key.device_id(),
            payload,
        }
    }

    /// Every device publishes the prekey it holds, with the newest head.
    pub fn republish(&mut self, day: u32) {
        let publish = |d: &Device| d.secret.publish(&d.key, &self.log, self.suites, day);
        self.prekeys = self.devices.iter().map(publish).collect();
    }

    pub fn party(&self) -> Party<'_> {
        Party { log: &self.log, prekeys: &self.prekeys }
    }
}

/// The first epoch, made by `creator` for the pair.
pub fn first<'a>(creator: &'a Device, mine: &'a User, peer: Option<&'a User>) -> NewEpoch<'a> {
    NewEpoch {
        me: &creator.key,
        prekey: &creator.secret,
        mine: mine.party(),
        peer: peer.map(User::party),
        n: 0,
        prev: if peer.is_some() { REQUEST.0 } else { [0; 32] },
        reason: Reason::First,
        created_ms: NOW,
    }
}

pub fn made(creator: &Device, mine: &User, peer: Option<&User>) -> Created {
    create(&first(creator, mine, peer), &mut random(77)).unwrap()
}

pub fn wrap_of(created: &Created, device: DeviceId) -> &[u8] {
    &created.wraps.iter().find(|(to, _)| *to == device).unwrap().1
}

/// What `device` is offered of a created epoch.
pub fn offered<'a>(
    created: &'a Created,
    device: &'a Device,
    mine: &'a User,
    peer: Option<&'a User>,
) -> Offered<'a> {
    Offered {
        header: &created.header,
        wrap: wrap_of(created, device.key.device_id()),
        me: &device.key,
        secrets: std::slice::from_ref(&device.secret),
        mine: mine.party(),
        peer: peer.map(User::party),
        history: History { request: peer.map(|_| REQUEST), known: &[] },
        now_ms: NOW,
    }
}

pub fn refused(offered: &Offered<'_>, error: AcceptError) {
    assert_eq!(open(offered).map(|_| ()).unwrap_err(), error);
}

pub fn accepted(offered: &Offered<'_>) -> Accepted {
    let accepted = open(offered).unwrap();
    assert!(!accepted.gap && !accepted.fork && !accepted.stale);
    accepted
}

/// The states of all devices of a pair, creator first, then in the order of the users' devices.
pub fn states(mine: &User, peer: Option<&User>) -> Vec<EpochState> {
    let created = made(&mine.devices[0], mine, peer);
    let mut out = vec![created.state.clone()];
    for device in &mine.devices[1..] {
        out.push(accepted(&offered(&created, device, mine, peer)).state);
    }
    for device in peer.map(|peer| peer.devices.as_slice()).unwrap_or_default() {
        out.push(accepted(&offered(&created, device, peer.unwrap(), Some(mine))).state);
    }
    out
}

pub fn text(words: &str) -> Content {
    Content {
        id: ContentId([0x1d; 16]),
        sent_ms: NOW,
        prev_sent: 0,
        seen: Vec::new(),
        body: Body::Text { reply_to: None, text: words.to_owned() },
    }
}

pub fn seal_text(state: &mut EpochState, words: &str) -> SealedMessage {
    let random = [state.sent().to_be_bytes()[3]; 16];
    state.seal(hushwire_wire::message::Class::Text, 0, &text(words), random).unwrap()
}

/// What the server hands to `to` of an upload by the device of `from`.
pub fn deliver(from: &EpochState, sealed: &SealedMessage, to: &EpochState) -> Vec<u8> {
    let upload = Upload::parse(&sealed.upload.clone().into()).unwrap();
    let me = to.header().roster[usize::from(to.me())].device;
    let k = from.targets().iter().position(|device| *device == me).unwrap();
    assert_eq!(upload.tag_count(), from.targets().len());
    let mut out = upload.shared.as_bytes().to_vec();
    out.extend_from_slice(&upload.tag(k).unwrap());
    out
}

//! The seeds: small inputs made from real structures, from which fuzzing starts. Each is accepted
//! by its target.

use hushwire_e2ee::content::{Call, CallKind, FileContent, Item, SyncKind};
use hushwire_e2ee::file::FileKey;
use hushwire_e2ee::{Body, Content, ContentId, ReceiptKind, RecoveryWords};
use hushwire_identity::report::{Delivery, envelope};
use hushwire_identity::{ContactRequest, Handle, QrPayload, contact_link};
use hushwire_wire::frame::{
    self, Accepted, Ack, CallAct, Challenge, ClientFrame, ClientOp, Ephemeral, Event, EventKind,
    Failed, Hello, Message, News, Notice, Presence, Resync, Resynced, Send, SendCall,
    SendEphemeral, ServerFrame, ServerOp, ShowPresence, SkipReason, Skipped, Welcome, Window,
};
use hushwire_wire::message::{Delivered, HEADER_LEN};
use hushwire_wire::{
    CallId, Close, Conn, DeviceId, Encoding, EpochId, Gen, Mid, Nonce, Reject, RequestId, Rule,
    Sealed, Token, UserId, http,
};
use serde::Serialize;

use crate::fixture::{K_SRV, NOW, World, world};

/// An input and the target that it is for.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The target's name.
    pub target: &'static str,
    /// The file's name, after `seed-`.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Seeds(Vec<Seed>);

impl Seeds {
    fn add(&mut self, target: &'static str, name: &str, bytes: impl AsRef<[u8]>) {
        self.0.push(Seed { target, name: name.to_owned(), bytes: bytes.as_ref().to_vec() });
    }

    /// Under the names 0, 1 and so on.
    fn numbered<B: AsRef<[u8]>>(&mut self, target: &'static str, all: impl IntoIterator<Item = B>) {
        for (i, bytes) in all.into_iter().enumerate() {
            self.add(target, &i.to_string(), bytes);
        }
    }
}

/// All seeds, the same in every run.
#[must_use]
pub fn all() -> Vec<Seed> {
    let mut seeds = Seeds::default();
    let world = world();
    layouts(&mut seeds, world);
    records(&mut seeds, world);
    scripts(&mut seeds);
    frames(&mut seeds, world);
    bodies(&mut seeds, world);
    texts(&mut seeds, world);
    seeds.0
}

fn layouts(seeds: &mut Seeds, world: &World) {
    seeds.numbered("entry", &world.alice.wires);
    for target in ["prekey", "signed_prekey"] {
        seeds.numbered(target, world.alice.prekeys.iter().take(1).map(|p| p.record.to_bytes()));
    }
    seeds.add("epoch_header", "first", &world.created.header);
    if let Ok(handle) = Handle::parse("bob") {
        let from = world.alice.log.point();
        for (name, to) in [("name", None), ("link", Some(world.bob.log.user()))] {
            let handle = handle.clone();
            let request = ContactRequest { from, to, handle, nonce: [5; 16], time_ms: NOW };
            seeds.add("contact_request", name, request.to_bytes());
        }
    }
    seeds.numbered("upload", world.uploads.iter().take(2));
    seeds.numbered("delivered", world.delivered.iter().take(2));
    seeds.add("qr", "newest", QrPayload::of(&world.alice.log, &world.bob.log).to_bytes());
    if let Some(evidence) = evidence(world) {
        seeds.add("evidence", "text", evidence);
    }
    seeds.numbered("message_header", world.uploads.iter().take(1).map(|u| &u[..HEADER_LEN]));
}

/// What Bob shows the server of Alice's first message, as the server stamped it.
fn evidence(world: &World) -> Option<Vec<u8>> {
    let message = &world.delivered[0];
    let parsed = Delivered::parse(message).ok()?;
    let envelope = envelope(&parsed.header.to_bytes(), parsed.commit, parsed.ct);
    let delivery = Delivery {
        from_user: world.alice.log.user(),
        from_device: world.alice.keys[0].device_id(),
        to_user: world.bob.log.user(),
        time_ms: NOW,
    };
    let stamp = delivery.stamp(&K_SRV, &envelope);
    let evidence = world.bob_state.evidence(message, stamp, NOW).ok()?;
    Some(evidence.to_bytes().to_vec())
}

fn records(seeds: &mut Seeds, world: &World) {
    for (i, content) in contents().iter().enumerate() {
        let (class, lane) = content.body.class_and_lane();
        let Ok(padded) = content.to_padded() else { continue };
        let used = padded.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        let bytes = [&[class as u8, lane], &padded[..used]].concat();
        seeds.add("content", &i.to_string(), bytes);
    }
    seeds.add("epoch_state", "creator", world.created.state.to_bytes());
    let mut skipped = world.bob_state.clone();
    for i in [2, 5] {
        if skipped.open(&world.delivered[i], NOW).is_ok() {
            seeds.add("epoch_state", &format!("skipped-{i}"), skipped.to_bytes());
        }
    }
    seeds.add("prekey_secret", "first", world.bob.secrets[0].to_bytes());
}

fn contents() -> Vec<Content> {
    let reply = Body::Text { reply_to: Some(ContentId([1; 16])), text: "yes".to_owned() };
    let of = vec![ContentId([1; 16]), ContentId([2; 16])];
    let receipt = Body::Receipt { kind: ReceiptKind::Read, of };
    let with = |body| Content { body, ..crate::fixture::text(0) };
    let target = ContentId([3; 16]);
    let reaction = Body::Reaction { target, symbol: "+".to_owned() };
    let item = Item { id: ContentId([4; 16]), body: reaction.clone() };
    let file = FileContent {
        mime: "text/plain".to_owned(),
        name: "a.txt".to_owned(),
        size: 9,
        blob: [1; 16],
        key: FileKey::new([2; 32], [3; 24], [4; 32]),
        thumbnail: vec![5; 8],
    };
    let (kind, payload) = (CallKind::Offer, b"v=0".to_vec());
    let call = Call { call_id: [1; 16], kind, expires_ms: NOW + 60_000, payload };
    let later = [
        Body::Edit { target, rev: 1, text: "better".to_owned() },
        Body::Remove { target },
        Body::File(Box::new(file)),
        Body::Call(call),
        Body::SelfSync { kind: SyncKind::Pins, payload: vec![1, 2, 3] },
        Body::Typing { on: true },
        reaction,
        Body::Timer { seconds: 60 },
        Body::Batch(vec![item]),
        Body::Profile { name: "Alice".to_owned() },
    ];
    let mut all = vec![crate::fixture::text(0), with(reply), with(receipt)];
    all.extend(later.map(with));
    all
}

fn scripts(seeds: &mut Seeds) {
    // Each act: signer, kind, new key, what the kind takes, time, tampering.
    let add = |by, new| [by, 0, new, 0, 1, 1, 0];
    let life = [
        &add(0, 1)[..],
        &[0, 3, 2, 1, 0],
        &add(2, 3),
        &[2, 2, 0, 0, 0, 9, 1, 0],
        &[2, 3, 4, 1, 0],
        &[4, 4, 2, 1, 0],
    ];
    seeds.add("device_log", "life", life.concat());
    seeds.add("device_log", "full", (1..10).flat_map(|new| add(0, new)).collect::<Vec<_>>());
    let tampered = (1..=7).flat_map(|how| [0, 0, 1, 0, 1, 1, how, 1, 0, 3, 1]);
    seeds.add("device_log", "tampered", [&add(0, 1)[..], &tampered.collect::<Vec<_>>()].concat());
    seeds.add("chain", "in-order", (0..16).collect::<Vec<u8>>());
    seeds.add("chain", "reordered", [3, 1, 0xf0, 9, 2, 0, 9, 0xf1, 8, 15, 4]);
    seeds.add("chain", "damaged", [0x81, 1, 0, 9, 1, 0x82, 0x10, 7, 0x83, 0x08, 3]);
    seeds.add("epoch_open", "untouched", [0, 0]);
    for size in [1, 4, 6, 8] {
        seeds.add("file", &format!("size-{size}"), [size, 0, 0, 0, 0, 0, 9, 9]);
    }
    seeds.add("file", "one-piece", [2]);
}

fn client_ops() -> Vec<ClientOp> {
    vec![
        ClientOp::Hello(Hello {
            user: UserId([1; 32]),
            device: DeviceId([2; 16]),
            signature: Sealed::new(vec![3; 64]),
            r#gen: Some(Gen([4; 16])),
            client: "hush 0.1".to_owned(),
            features: vec!["calls".to_owned()],
        }),
        ClientOp::Send(Send {
            to: UserId([1; 32]),
            sn: 300,
            upload: Sealed::new(vec![9; 40]),
            withdraw: vec![Mid([6; 16])],
            re: Some(Gen([4; 16])),
        }),
        ClientOp::Ephemeral(SendEphemeral {
            to: UserId([1; 32]),
            upload: Sealed::new(vec![9; 40]),
        }),
        ClientOp::Call(SendCall {
            to: UserId([1; 32]),
            call_id: CallId([7; 16]),
            act: CallAct::Ring,
            upload: Some(Sealed::new(vec![9; 40])),
        }),
        ClientOp::Presence(ShowPresence { on: true, to: vec![UserId([1; 32])] }),
        ClientOp::Ack(Ack { n: 70_000, failed: vec![Failed { n: 1, code: "BAD_TAG".to_owned() }] }),
        ClientOp::Resynced(Resynced { r#gen: Gen([5; 16]) }),
        ClientOp::Sync {},
        ClientOp::Ping {},
    ]
}

fn server_ops(world: &World) -> Vec<ServerOp> {
    let accepted = Accepted {
        sn: 3,
        mid: Mid([6; 16]),
        delivered: vec![DeviceId([2; 16])],
        skipped: vec![Skipped { device: DeviceId([3; 16]), why: SkipReason::Stale }],
    };
    let (mid, device) = (Mid([6; 16]), DeviceId([2; 16]));
    let code = "BAD_AEAD".to_owned();
    vec![
        ServerOp::Challenge(Challenge {
            nonce: Nonce([7; 32]),
            domain: "example.org".to_owned(),
            frame_max: 98_304,
            server_time: NOW,
        }),
        ServerOp::Welcome(Welcome {
            conn: Conn([1; 16]),
            r#gen: Gen([2; 16]),
            v: 1,
            heartbeat_ms: 25_000,
            window: Window { messages: 32, bytes: 262_144 },
            token: Token([8; 32]),
            token_until: NOW,
        }),
        ServerOp::Accepted(accepted.clone()),
        ServerOp::Reject(Reject::RateLimited {
            retry_after_ms: 9_000,
            rule: Rule::MessageInterval,
            limit: 1,
            window_ms: 10_000,
        }),
        ServerOp::Reject(Reject::StaleSn { last_sn: 3, mid, answer: Some(accepted) }),
        ServerOp::Ok {},
        ServerOp::Pong {},
        ServerOp::Message(Message {
            n: 1,
            at: NOW,
            peer: world.alice.log.user(),
            from_user: world.alice.log.user(),
            from_device: device,
            msg: Sealed::new(world.delivered[0].clone()),
        }),
        ServerOp::Notice(Notice { n: 2, what: News::Delivered { mid, device } }),
        ServerOp::Notice(Notice { n: 3, what: News::Undecryptable { mid, device, code } }),
        ServerOp::Notice(Notice { n: 4, what: News::Gap { contact: UserId([1; 32]), count: 3 } }),
        ServerOp::Ephemeral(Ephemeral {
            from_user: UserId([1; 32]),
            from_device: device,
            msg: Sealed::new(vec![9; 40]),
        }),
        ServerOp::Call(frame::Call {
            from_user: UserId([1; 32]),
            from_device: device,
            call_id: CallId([7; 16]),
            act: CallAct::Elsewhere,
            msg: None,
        }),
        ServerOp::Presence(Presence { user: UserId([1; 32]), on: true }),
        ServerOp::Event(Event { v: 9, kind: EventKind::Epoch, peer: Some(UserId([1; 32])) }),
        ServerOp::Resync(Resync { r#gen: Gen([2; 16]) }),
    ]
}

fn frames(seeds: &mut Seeds, world: &World) {
    for (i, op) in client_ops().into_iter().enumerate() {
        let frame = ClientFrame { id: (i % 2 == 0).then_some(17), op };
        seeds.add("client_json", &i.to_string(), Encoding::Json.encode_client(&frame));
        seeds.add("client_cbor", &i.to_string(), Encoding::Cbor.encode_client(&frame));
    }
    for (i, op) in server_ops(world).into_iter().enumerate() {
        let frame = ServerFrame { id: (i % 2 == 0).then_some(17), op };
        seeds.add("server_json", &i.to_string(), Encoding::Json.encode_server(&frame));
        seeds.add("server_cbor", &i.to_string(), Encoding::Cbor.encode_server(&frame));
    }
}

fn bodies(seeds: &mut Seeds, world: &World) {
    let mut add = |which: u8, name: &str, json: Vec<u8>| {
        seeds.add("http_body", name, [&[which], &json[..]].concat());
    };
    let sealed = |bytes: &[u8]| Sealed::new(bytes.to_vec());
    let added = sealed(&world.alice.wires[0]);
    let prekey = http::PrekeyBundle {
        record: sealed(&world.alice.prekeys[0].record.to_bytes()),
        xwing: Some(sealed(&[7; 8])),
    };
    let register =
        http::Register { genesis: sealed(&world.alice.wires[0]), prekey: prekey.clone() };
    add(1, "register", json(&register));
    add(7, "log", json(&http::LogEntries { entries: vec![sealed(&world.alice.wires[0])] }));
    let wraps = vec![http::Wrap { device: DeviceId([2; 16]), wrap: sealed(world.wrap()) }];
    let epoch = http::NewEpoch { header: sealed(&world.created.header), wraps };
    let request_id = RequestId([1; 32]);
    add(11, "accept", json(&http::ContactAccept { request_id, epoch }));
    let header = sealed(&world.created.header);
    let bundle =
        http::EpochBundle { header, wrap: Some(sealed(world.wrap())), prekeys: vec![prekey] };
    add(15, "epoch", json(&bundle));
    let entry = http::LogAppend { entry: added, prekey: bundle.prekeys.first().cloned() };
    add(23, "append", json(&entry));
    let contact = http::Contact {
        peer: UserId([1; 32]),
        state: http::ContactState::Active,
        request: sealed(&[1; 8]),
        newest: Some(http::EpochRef { n: 3, epoch: EpochId([2; 32]) }),
    };
    let contacts = vec![contact];
    add(16, "contacts", json(&http::Contacts { v: 5, contacts: contacts.clone() }));
    let peer = UserId([1; 32]);
    let (kind, at) = (EventKind::Removed, NOW);
    let changes = vec![http::Change { v: 5, kind, peer: Some(peer), at }];
    let list = http::Changes { v: 5, changes: changes.clone(), more: true, complete: true };
    add(27, "state", json(&list));
    let device = DeviceId([2; 16]);
    let session = http::Session { device, kind: 3, since: NOW, live: true, current: false };
    add(29, "sessions", json(&http::Sessions { sessions: vec![session] }));
    let header = sealed(&world.created.header);
    let export = http::AccountExport {
        user: UserId([3; 32]),
        handle: "alice".to_owned(),
        since: NOW,
        v: 5,
        log: vec![sealed(&world.alice.wires[0])],
        devices: vec![http::ExportedDevice { device, since: NOW, revoked: Some(2), unclaimed: 1 }],
        prekeys: bundle.prekeys,
        contacts,
        ended: vec![http::ExportedEnd { peer, request: sealed(&[1; 8]), n: 4, at }],
        asked: vec![http::ExportedRequest { request: sealed(&[2; 8]), at }],
        asked_that_day: 1,
        changes,
        epochs: vec![http::ExportedEpoch { header, at }],
    };
    add(31, "export", json(&export));
    let unclaimed = vec![http::Unclaimed { epoch: EpochId([2; 32]), prekey: 7 }];
    add(21, "unclaimed", json(&http::PrekeyPut { unclaimed, more: true }));
    add(6, "token", json(&http::AuthToken { token: Token([1; 32]), until: NOW }));
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn texts(seeds: &mut Seeds, world: &World) {
    let user = world.alice.log.user();
    seeds.add("ids", "user", user.to_base64url());
    seeds.add("ids", "device", DeviceId([0xfb; 16]).to_base64url());
    seeds.add("names", "handle", "alice_2.b");
    seeds.add("names", "domain", "chat.example.org:8443");
    seeds.add("contact_link", "name", "alice");
    let link = contact_link("alice", "example.org", &user);
    seeds.add("contact_link", "link", link);
    seeds.add("typed", "code", "34631 43713-69726 52268 20369 32495");
    seeds.add("typed", "words", RecoveryWords::from_entropy([0x7f; 32]).to_words().as_bytes());
    let print = vec!["0F"; 32].join(":");
    seeds.add("sdp", "offer", format!("v=0\r\na=fingerprint:sha-256 {print}\r\nm=audio 9\r\n"));
    for close in [Close::Restarting, Close::Slow] {
        let reason = close.reason(Some(1_500));
        let bytes = [&close.code().to_be_bytes()[..], reason.as_bytes()].concat();
        seeds.add("close", &close.to_string(), bytes);
    }
}

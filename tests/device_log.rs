//! The own log over HTTP (CRYPTO 3): devices come and go, recovery keys too, and nothing that the
//! rules do not allow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write as _;
use std::net::TcpStream;

use hushwire_e2ee::{DeviceKey, RecoveryWords};
use hushwire_identity::{Draft, Payload};
use hushwire_wire::close::Close;
use hushwire_wire::frame::{Ack, ClientOp, EventKind, ServerOp};
use hushwire_wire::http::{EpochPost, LogAppend, LogHead, ProblemCode};
use hushwire_wire::{Encoding, EntryHash, Reject, Sealed, UserId};
use support::devices::{Newcomer, add_device, append, follow, proof};
use support::insider::History;
use support::person::{bundle, now_ms, post, random, seal_text};
use support::{Pair, Person, Server, Socket};

async fn log_event(socket: &mut Socket) -> UserId {
    let log = |op| match op {
        ServerOp::Event(event) if event.kind == EventKind::Log => Some(event.peer.unwrap()),
        _ => None,
    };
    socket.event(log).await
}

fn head(history: &History) -> LogHead {
    LogHead { seq: history.log.seq(), head: EntryHash(history.log.head().0) }
}

#[tokio::test]
async fn a_device_comes_and_all_are_told() {
    let server = Server::start();
    let Pair { alice, bob, bob_state, .. } = Pair::meet(&server.http(), "alice", "bob").await;
    let made = bob.new_epoch(&alice.user(), 1, bob_state.id().0).await;
    let early = EpochPost { peer: alice.user(), epoch: post(&made) };
    let (mut alice_socket, _) = alice.connect(Encoding::Json).await;
    let (mut bob_socket, _) = bob.connect(Encoding::Cbor).await;
    let history = History::of(&alice);
    let phone = Newcomer::prepare(&alice, &history);
    let history = history.and(phone.entry.clone());
    let appended = append(&alice, &phone.entry, Some(phone.bundle())).await;
    assert_eq!(appended.ok::<LogHead>(), head(&history));
    assert_eq!(log_event(&mut alice_socket).await, alice.user());
    assert_eq!(log_event(&mut bob_socket).await, alice.user());
    let v = bob.contacts().await.v;
    // A repeat is answered as the first was, and done once.
    let again = append(&alice, &phone.entry, Some(phone.bundle())).await;
    assert_eq!(again.ok::<LogHead>(), head(&history));
    assert_eq!(bob.contacts().await.v, v);

    let (log, prekeys) = bob.look_up(&alice.user()).await;
    assert_eq!(log, history.log);
    assert_eq!(prekeys.len(), 2);
    let (_, welcome) = phone.device.connect(Encoding::Cbor).await;
    assert_eq!(welcome.v, alice.contacts().await.v);
    // What was made before the entry is stale now.
    let stale = bob.http.post("/v1/epochs", bob.token(), &early).await;
    assert_eq!(stale.problem().code, ProblemCode::EpochStale);
}

#[tokio::test]
async fn a_device_without_a_prekey_puts_it_itself() {
    let server = Server::start();
    let alice = Person::register(&server.http(), "alice").await;
    let history = History::of(&alice);
    let Newcomer { mut device, entry } = Newcomer::prepare(&alice, &history);
    assert!(append(&alice, &entry, None).await.status.is_success());
    assert_eq!(alice.look_up(&alice.user()).await.1.len(), 1);
    device.token = Some(support::devices::sign_in(&device).await);
    let put = device.http.put("/v1/prekey", device.token(), &bundle(&device.prekey)).await;
    assert!(put.status.is_success(), "{}", put.text());
    assert_eq!(alice.look_up(&alice.user()).await.1.len(), 2);
}

#[tokio::test]
async fn entries_of_one_log_are_bounded_and_a_repeat_is_free() {
    let server = Server::start_with(&[("limits.log_entries_per_hour", "1")]);
    let alice = Person::register(&server.http(), "alice").await;
    let history = History::of(&alice);
    let Newcomer { device, entry } = Newcomer::prepare(&alice, &history);
    assert!(append(&alice, &entry, None).await.status.is_success());
    assert!(append(&alice, &entry, None).await.status.is_success(), "a repeat");
    let history = history.and(entry);
    let one_more = history.revoke(&alice.key, device.device());
    let refused = append(&alice, &one_more, None).await.problem();
    assert_eq!(refused.code, ProblemCode::RateLimited);
    assert_eq!(refused.rule.as_deref(), Some("limits.log_entries_per_hour"));
    assert!(refused.retry_after_ms.is_some_and(|ms| ms > 0));
}

#[tokio::test]
async fn a_revoked_device_is_cut_and_nothing_of_it_is_left() {
    let server = Server::start();
    let http = server.http();
    let Pair { mut alice, bob, bob_state, .. } = Pair::meet(&http, "alice", "bob").await;
    let mut history = History::of(&alice);
    let phone = add_device(&mut alice, &mut history).await;
    let made = bob.new_epoch(&alice.user(), 1, bob_state.id().0).await;
    let body = EpochPost { peer: alice.user(), epoch: post(&made) };
    assert!(bob.http.post("/v1/epochs", bob.token(), &body).await.status.is_success());
    let still = bob.new_epoch(&alice.user(), 2, made.id.0).await;
    let still = EpochPost { peer: alice.user(), epoch: post(&still) };
    let (mut socket, _) = phone.connect(Encoding::Json).await;

    let entry = history.revoke(&alice.key, phone.device());
    let reply = append(&alice, &entry, None).await;
    history = history.and(entry.clone());
    assert_eq!(reply.ok::<LogHead>(), head(&history));
    assert_eq!(socket.closed().await, Some(Close::Revoked));
    let refused = phone.http.get("/v1/contacts", phone.token()).await;
    assert_eq!(refused.problem().code, ProblemCode::Unauthenticated, "its token");
    let refused = http.post("/v1/auth/token", None, &proof(&phone).await).await;
    assert_eq!(refused.problem().code, ProblemCode::Unauthenticated, "and its key");
    assert_eq!(bob.look_up(&alice.user()).await.1.len(), 1, "and its prekey");
    let again = append(&alice, &entry, None).await;
    assert_eq!(again.ok::<LogHead>(), head(&history), "a repeat");
    // An epoch that still names it is refused, and one over the newest logs is not.
    let reply = bob.http.post("/v1/epochs", bob.token(), &still).await;
    assert_eq!(reply.problem().code, ProblemCode::EpochStale);
    let next = bob.new_epoch(&alice.user(), 2, made.id.0).await;
    let body = EpochPost { peer: alice.user(), epoch: post(&next) };
    let reply = bob.http.post("/v1/epochs", bob.token(), &body).await;
    assert!(reply.status.is_success(), "{}", reply.text());
}

#[tokio::test]
async fn recovery_keys_come_and_go() {
    let server = Server::start();
    let alice = Person::register(&server.http(), "alice").await;
    let history = History::of(&alice);
    let words = RecoveryWords::generate(&mut random).unwrap();
    let recovery = words.key();
    let payload = Payload::RecoveryAdd { rk: *recovery.public() };
    let draft = history.draft(&alice.key, payload);
    let entry = alice.key.sign_entry(&draft, Some(&recovery.claim(&alice.user())));
    assert!(append(&alice, &entry, None).await.status.is_success());
    let history = history.and(entry);

    // Only a recovery key takes a recovery key out.
    let payload = Payload::RecoveryDel { recovery: recovery.id() };
    let draft = history.draft(&alice.key, payload);
    let by_device = alice.key.sign_entry(&draft, None);
    let problem = append(&alice, &by_device, None).await.problem();
    assert_eq!(problem.code, ProblemCode::BadRequest);
    let draft = Draft { signer: recovery.id(), ..draft };
    let by_recovery = recovery.sign_entry(&draft, None);
    assert!(append(&alice, &by_recovery, None).await.status.is_success());
}

#[tokio::test]
async fn an_entry_that_does_not_follow_is_told_where_the_log_stands() {
    let server = Server::start();
    let mut alice = Person::register(&server.http(), "alice").await;
    let old = History::of(&alice);
    let mut history = old.clone();
    add_device(&mut alice, &mut history).await;
    let late = Newcomer::prepare(&alice, &old);
    let problem = append(&alice, &late.entry, Some(late.bundle())).await.problem();
    assert_eq!(problem.code, ProblemCode::LogConflict);
    assert_eq!(problem.log, Some(head(&history)));
    let ahead = old.and(late.entry.clone());
    let ahead = Newcomer::prepare(&alice, &ahead);
    let problem = append(&alice, &ahead.entry, None).await.problem();
    assert_eq!((problem.code, problem.log), (ProblemCode::LogConflict, Some(head(&history))));
}

#[tokio::test]
async fn what_the_rules_do_not_allow_is_refused() {
    let server = Server::start();
    let http = server.http();
    let alice = Person::register(&http, "alice").await;
    let bob = Person::register(&http, "bob").await;
    let history = History::of(&alice);
    let good = Newcomer::prepare(&alice, &history);
    let refused = async |who: &Person, entry: &[u8], prekey| {
        let problem = append(who, entry, prekey).await.problem();
        (problem.code, problem.field.unwrap_or_default())
    };
    let entry = (ProblemCode::BadRequest, "entry".to_owned());
    assert_eq!(refused(&bob, &good.entry, None).await, entry, "another's log");
    assert_eq!(refused(&alice, &[1, 2, 3], None).await, entry, "no entry");
    assert_eq!(refused(&alice, &[0; 600], None).await, entry, "too long");
    let genesis = alice.account().genesis;
    let no_log = append(&alice, genesis.as_bytes(), None).await.problem();
    assert_eq!(no_log.code, ProblemCode::BadRequest, "a genesis entry");
    for at in [good.entry.len() - 1, good.entry.len() - 65] {
        let mut broken = good.entry.clone();
        broken[at] ^= 1;
        assert_eq!(refused(&alice, &broken, None).await, entry, "signature or claim");
    }
    let mallory = DeviceKey::generate(&mut random).unwrap();
    let foreign = history.add(&mallory, &DeviceKey::generate(&mut random).unwrap());
    assert_eq!(refused(&alice, &foreign, None).await, entry, "signed by a stranger");
    let nobody_left = history.revoke(&alice.key, alice.device());
    assert_eq!(refused(&alice, &nobody_left, None).await, entry, "nobody would be left");
    let payload = Payload::Revoke { devices: vec![bob.device()], reason: 0 };
    let draft = history.draft(&alice.key, payload);
    let others = alice.key.sign_entry(&draft, None);
    assert_eq!(refused(&alice, &others, None).await, entry, "another's device");
    let late = Draft { time_ms: now_ms() + 2 * 86_400_000, ..draft.clone() };
    assert_eq!(refused(&alice, &alice.key.sign_entry(&late, None), None).await, entry, "ahead");
    let early = Draft { time_ms: draft.time_ms - 1, ..draft };
    assert_eq!(refused(&alice, &alice.key.sign_entry(&early, None), None).await, entry, "back");

    let known = history.add(&alice.key, &DeviceKey::from_seed(*bob.key.to_seed()));
    let problem = append(&alice, &known, None).await.problem();
    assert_eq!(problem.code, ProblemCode::KeyKnown, "another log's key");

    let (code, field) = refused(&alice, &good.entry, Some(bundle(&alice.prekey))).await;
    assert_eq!((code, field.as_str()), (ProblemCode::BadRequest, "prekey.record"), "not its own");
    let (code, field) = refused(&alice, &good.entry, Some(bundle(&bob.prekey))).await;
    assert_eq!((code, field.as_str()), (ProblemCode::BadRequest, "prekey"), "another's");

    let reply = http.post("/v1/log", None, &serde_json::json!({ "entry": "" })).await;
    assert_eq!(reply.problem().code, ProblemCode::Unauthenticated);
    assert_eq!(alice.look_up(&alice.user()).await.0, history.log, "nothing was appended");
    assert!(append(&alice, &good.entry, Some(good.bundle())).await.status.is_success());
    let mut alice = alice;
    let history = history.and(good.entry.clone());
    follow(&mut alice, &history.log);
    let payload = history.revoke(&alice.key, good.device.device());
    let (code, field) = refused(&alice, &payload, Some(good.bundle())).await;
    assert_eq!((code, field.as_str()), (ProblemCode::BadRequest, "prekey"), "nothing is added");
}

#[tokio::test]
async fn devices_are_bounded_by_the_settings() {
    let server = Server::start_with(&[("limits.devices", "2")]);
    let mut alice = Person::register(&server.http(), "alice").await;
    let mut history = History::of(&alice);
    let phone = add_device(&mut alice, &mut history).await;
    let third = Newcomer::prepare(&alice, &history);
    let problem = append(&alice, &third.entry, None).await.problem();
    assert_eq!(problem.code, ProblemCode::LimitReached);
    assert_eq!(problem.rule.as_deref(), Some("limits.devices"));
    assert_eq!((problem.limit, problem.used), (Some(2), Some(2)));
    let entry = history.revoke(&alice.key, phone.device());
    assert!(append(&alice, &entry, None).await.status.is_success());
    history = history.and(entry);
    add_device(&mut alice, &mut history).await;
}

#[tokio::test]
async fn a_revoked_device_never_comes_back_and_its_queue_is_gone() {
    let server = Server::start_with(&[
        ("limits.message_interval_ms", "0"),
        ("limits.store_messages", "100"),
        // A busy machine is no reason to queue what is on its way to somebody who is there.
        ("limits.custody_after_ms", "9000"),
    ]);
    let http = server.http();
    let Pair { mut alice, bob, bob_state, .. } = Pair::meet(&http, "alice", "bob").await;
    let mut history = History::of(&alice);
    let phone = add_device(&mut alice, &mut history).await;
    let mut made = bob.new_epoch(&alice.user(), 1, bob_state.id().0).await;
    let body = EpochPost { peer: alice.user(), epoch: post(&made) };
    assert!(bob.http.post("/v1/epochs", bob.token(), &body).await.status.is_success());
    // Two devices that are away: 85 percent of the store are 85 copies.
    let (mut socket, _) = bob.connect(Encoding::Json).await;
    let mut skipped = Vec::new();
    for sn in 1..=43 {
        let upload = seal_text(&mut made.state, "to both");
        let answer = socket.ask(Person::send(&alice.user(), sn, upload)).await;
        let ServerOp::Accepted(accepted) = answer else { panic!("{sn}: {answer:?}") };
        skipped.extend(accepted.skipped.into_iter().map(|one| (sn, one.device)));
    }
    assert!(matches!(skipped[..], [(43, _)]), "the last copy: {skipped:?}");
    let kept = if skipped[0].1 == alice.device() { 42 } else { 43 };
    let upload = seal_text(&mut made.state, "no room");
    let answer = socket.ask(Person::send(&alice.user(), 44, upload)).await;
    assert_eq!(answer, ServerOp::Reject(Reject::StoreFull {}));

    // One connection is there already, and another one has not said hello.
    let (mut live, _) = phone.connect(Encoding::Cbor).await;
    let mut greeted = Socket::connect(&http.url, Encoding::Json).await;
    let ServerOp::Challenge(challenge) = greeted.next().await.op else { panic!("a challenge") };
    let entry = history.revoke(&alice.key, phone.device());
    assert!(append(&alice, &entry, None).await.status.is_success());
    history = history.and(entry);
    follow(&mut alice, &history.log);
    assert_eq!(live.closed().await, Some(Close::Revoked));
    greeted.send(ClientOp::Hello(phone.hello(&challenge.nonce, None))).await;
    assert_eq!(greeted.closed().await, Some(Close::NotAuthenticated));
    let mut again = Socket::connect(&http.url, Encoding::Cbor).await;
    let ServerOp::Challenge(challenge) = again.next().await.op else { panic!("a challenge") };
    again.send(ClientOp::Hello(phone.hello(&challenge.nonce, None))).await;
    assert_eq!(again.closed().await, Some(Close::NotAuthenticated));

    // The room of what waited for it is free, and the other device has all that was for it.
    let mut next = bob.new_epoch(&alice.user(), 2, made.id.0).await;
    let body = EpochPost { peer: alice.user(), epoch: post(&next) };
    assert!(bob.http.post("/v1/epochs", bob.token(), &body).await.status.is_success());
    for sn in 45..=86 {
        let upload = seal_text(&mut next.state, "room again");
        let answer = socket.ask(Person::send(&alice.user(), sn, upload)).await;
        let ServerOp::Accepted(accepted) = answer else { panic!("{sn}: {answer:?}") };
        assert_eq!(accepted.skipped, [], "{sn}");
    }
    let (mut desk, _) = alice.connect(Encoding::Json).await;
    let mut messages = 0;
    while messages < kept + 42 {
        let n = match desk.next().await.op {
            ServerOp::Message(message) => {
                messages += 1;
                message.n
            }
            ServerOp::Notice(notice) => notice.n,
            _ => continue,
        };
        desk.send(ClientOp::Ack(Ack { n, failed: vec![] })).await;
    }
    assert_eq!(desk.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
}

#[tokio::test]
async fn a_revocation_is_finished_though_nobody_waits_for_its_answer() {
    let server = Server::start();
    let http = server.http();
    let mut alice = Person::register(&http, "alice").await;
    let mut history = History::of(&alice);
    let phone = add_device(&mut alice, &mut history).await;
    let (mut live, _) = phone.connect(Encoding::Json).await;
    let entry = history.revoke(&alice.key, phone.device());
    let body = LogAppend { entry: Sealed::new(entry), prekey: None };
    let body = serde_json::to_string(&body).unwrap();
    let token = alice.token().unwrap().to_base64url();
    let request = format!(
        "POST /v1/log HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = TcpStream::connect(http.url.trim_start_matches("http://")).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    drop(client);
    assert_eq!(live.closed().await, Some(Close::Revoked));
    let refused = phone.http.get("/v1/contacts", phone.token()).await;
    assert_eq!(refused.problem().code, ProblemCode::Unauthenticated);
}

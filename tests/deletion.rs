//! The end of an account, and the export of all that the server holds of one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire_identity::{DeviceKind, DeviceLog, Handle, day_of};
use hushwire_wire::close::Close;
use hushwire_wire::frame::{EventKind, ServerOp};
use hushwire_wire::http::{
    AccountExport, Changes, ContactAsked, ContactState, ProblemCode, Register, Sessions,
};
use hushwire_wire::{Encoding, Sealed};
use reqwest::StatusCode;
use support::devices::{add_device, delete, part, proof};
use support::insider::History;
use support::person::{both_suites, bundle, now_ms};
use support::{Pair, Person, Server};

const PATH: &str = "/v1/account";

#[tokio::test]
async fn an_account_ends_for_good_and_contacts_are_told() {
    let mut server = Server::start();
    let http = server.http();
    let Pair { mut alice, bob, .. } = Pair::meet(&http, "alice", "bob").await;
    let mut history = History::of(&alice);
    let phone = add_device(&mut alice, &mut history).await;
    let carol = Person::register(&http, "carol").await;
    assert!(alice.ask(&alice.request("carol")).await.status.is_success());
    let (mut alice_socket, _) = alice.connect(Encoding::Json).await;
    let (mut phone_socket, _) = phone.connect(Encoding::Cbor).await;
    let (mut bob_socket, welcome) = bob.connect(Encoding::Cbor).await;

    let proof_of = proof(&alice).await;
    let reply = delete(&http, PATH, alice.token(), Some(&proof_of)).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
    for socket in [&mut alice_socket, &mut phone_socket] {
        assert_eq!(socket.closed().await, Some(Close::Revoked));
    }
    let removed = |op| match op {
        ServerOp::Event(event) if event.kind == EventKind::Removed => Some(event.peer),
        _ => None,
    };
    assert_eq!(bob_socket.event(removed).await, Some(alice.user()));
    let path = format!("/v1/state?after={}", welcome.v);
    let changes: Changes = bob.http.get(&path, bob.token()).await.ok();
    let last = changes.changes.last().unwrap();
    assert_eq!((last.kind, last.peer), (EventKind::Removed, Some(alice.user())));
    assert_eq!(bob.contacts().await.contacts, []);
    assert_eq!(carol.contacts().await.contacts, [], "what it asked is gone");
    for device in [&alice, &phone] {
        let reply = device.http.get("/v1/contacts", device.token()).await;
        assert_eq!(reply.problem().code, ProblemCode::Unauthenticated);
    }
    server.restart();
    let http = server.http();
    alice.http = http.clone();
    let (phone, bob) =
        (Person { http: http.clone(), ..phone }, Person { http: http.clone(), ..bob });
    // Neither the name nor a key comes again; the same genesis entry least of all.
    assert_eq!(alice.post_account().await.problem().code, ProblemCode::HandleTaken);
    let thief = Person::prepare(&http, "alice", both_suites()).await;
    assert_eq!(thief.post_account().await.problem().code, ProblemCode::HandleTaken);
    let (kind, suites) = (DeviceKind::PHONE, both_suites());
    let alicia = Handle::parse("alicia").unwrap();
    let genesis = alice.key.genesis(&alice.domain, &alicia, kind, suites, now_ms()).unwrap();
    let log = DeviceLog::genesis(&genesis).unwrap();
    let prekey = bundle(&alice.secret.publish(&alice.key, &log, suites, day_of(now_ms())));
    let renamed = Register { genesis: Sealed::from(genesis), prekey };
    let refused = http.post("/v1/accounts", None, &renamed).await;
    assert_eq!(refused.problem().code, ProblemCode::KeyKnown);
    let refused = http.post("/v1/auth/token", None, &proof(&phone).await).await;
    assert_eq!(refused.problem().code, ProblemCode::Unauthenticated);
    let bob = Person { token: Some(support::devices::sign_in(&bob).await), ..bob };
    let gone = bob.ask(&bob.request("alice")).await;
    let unknown = bob.ask(&bob.request("nobody")).await;
    assert_eq!((gone.status, gone.body.len()), (unknown.status, unknown.body.len()));
}

#[tokio::test]
async fn a_token_alone_deletes_nothing() {
    let server = Server::start();
    let http = server.http();
    let mut alice = Person::register(&http, "alice").await;
    let mut history = History::of(&alice);
    let phone = add_device(&mut alice, &mut history).await;
    let bob = Person::register(&http, "bob").await;
    let refused = async |body| delete(&http, PATH, alice.token(), body).await.problem().code;
    assert_eq!(refused(None).await, ProblemCode::BadRequest, "no proof");
    let others = proof(&bob).await;
    assert_eq!(refused(Some(&others)).await, ProblemCode::Unauthenticated, "another's");
    let sibling = proof(&phone).await;
    assert_eq!(refused(Some(&sibling)).await, ProblemCode::Unauthenticated, "another device's");
    let mut forged = proof(&alice).await;
    forged.signature = Sealed::new(vec![1; 64]);
    assert_eq!(refused(Some(&forged)).await, ProblemCode::Unauthenticated, "not signed");
    let used = proof(&alice).await;
    assert!(http.post("/v1/auth/token", None, &used).await.status.is_success());
    assert_eq!(refused(Some(&used)).await, ProblemCode::Unauthenticated, "used before");
    let good = proof(&alice).await;
    let reply = delete(&http, PATH, None, Some(&good)).await;
    assert_eq!(reply.problem().code, ProblemCode::Unauthenticated, "no token");
    let reply = http.get(PATH, alice.token()).await;
    assert_eq!(reply.problem().code, ProblemCode::MethodNotAllowed);
    let sessions: Sessions = http.get("/v1/sessions", alice.token()).await.ok();
    assert_eq!(sessions.sessions.len(), 2, "everything is there");
}

#[tokio::test]
async fn an_export_has_everything_of_its_owner() {
    let server = Server::start_with(&[("limits.exports_per_hour", "2")]);
    let http = server.http();
    let Pair { mut alice, bob, bob_state, .. } = Pair::meet(&http, "alice", "bob").await;
    let mut history = History::of(&alice);
    let phone = add_device(&mut alice, &mut history).await;
    let carol = Person::register(&http, "carol").await;
    let dave = Person::register(&http, "dave").await;
    let _: ContactAsked = carol.ask(&carol.request("alice")).await.ok();
    let _: ContactAsked = dave.ask(&dave.request("alice")).await.ok();
    assert!(part(&alice, "block", &dave.user()).await.status.is_success());
    let asked = alice.request("erin");
    let _: ContactAsked = alice.ask(&asked).await.ok();

    let path = "/v1/account/export";
    let export: AccountExport = http.get(path, alice.token()).await.ok();
    assert_eq!((export.user, export.handle.as_str()), (alice.user(), "alice"));
    assert_eq!(export.v, alice.contacts().await.v);
    let log: Vec<_> = export.log.iter().map(|entry| entry.as_bytes().to_vec()).collect();
    assert_eq!(log, history.wires);
    let devices: Vec<_> = export.devices.iter().map(|one| (one.device, one.revoked)).collect();
    let mut both = [(alice.device(), None), (phone.device(), None)];
    both.sort();
    assert_eq!(devices, both);
    assert_eq!(export.prekeys.len(), 2);
    let states: Vec<_> = export.contacts.iter().map(|one| (one.peer, one.state)).collect();
    let expected = [
        (bob.user(), ContactState::Active),
        (dave.user(), ContactState::Blocked),
        (carol.user(), ContactState::Requested),
    ];
    assert_eq!(states, expected);
    assert_eq!(export.asked.len(), 1, "the accepted one is in the contact");
    assert_eq!(export.asked[0].request.as_bytes(), asked.to_bytes());
    assert_eq!(export.asked_that_day, 2);
    assert_eq!(export.changes.last().unwrap().v, export.v);
    let headers: Vec<_> = export.epochs.iter().map(|one| one.header.as_bytes()).collect();
    assert_eq!(headers.len(), 1);
    let id = hushwire_identity::EpochHeader::parse(headers[0]).unwrap().id();
    assert_eq!(id, bob_state.id());

    assert!(part(&alice, "remove", &bob.user()).await.status.is_success());
    let export: AccountExport = http.get(path, alice.token()).await.ok();
    assert_eq!((export.epochs.len(), export.ended.len()), (0, 1));
    assert_eq!((export.ended[0].peer, export.ended[0].n), (bob.user(), 0));

    let problem = http.get(path, alice.token()).await.problem();
    assert_eq!(problem.code, ProblemCode::RateLimited);
    assert_eq!(problem.rule.as_deref(), Some("limits.exports_per_hour"));
    assert_eq!((problem.limit, problem.used), (Some(2), Some(2)));
    assert_eq!(http.get(path, None).await.problem().code, ProblemCode::Unauthenticated);
}

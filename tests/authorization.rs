//! Who may do what: every route and every operation, with no token, a wrong one, one that has
//! ended, a stranger's and the owner's. The lists come from the server and the protocol
//! themselves; a row without an expectation fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire::routes::{self, Route, Who};
use hushwire_e2ee::content::{Call as Signal, CallKind};
use hushwire_e2ee::{Body, Content, EpochState};
use hushwire_wire::close::Close;
use hushwire_wire::frame::{
    Ack, CallAct, ClientFrame, ClientOp, Resynced, SendCall, SendEphemeral, ServerOp, ShowPresence,
};
use hushwire_wire::http::{ContactAccept, ProblemCode};
use hushwire_wire::message::Class;
use hushwire_wire::{CallId, Encoding, Gen, Nonce, Reject, Sealed, Token, UserId, to_base64url};
use reqwest::Method;
use support::devices::{add_device, append, delete, part};
use support::insider::History;
use support::person::{now_ms, post, random_array, seal_text, text};
use support::{Http, Pair, Person, Server, Socket};

/// What a route answers to an empty JSON object: without a token, to a stranger (signed in, and
/// nobody's contact), and to whoever the thing belongs to. 400 is past the door.
const EXPECTED: &[(&str, u16, u16, u16)] = &[
    ("GET /v1/server", 200, 200, 200),
    ("POST /v1/accounts", 400, 400, 400),
    ("POST /v1/auth/challenge", 200, 200, 200),
    ("POST /v1/auth/token", 400, 400, 400),
    ("GET /v1/users/{user}/log", 401, 404, 200),
    ("GET /v1/users/{user}/prekeys", 401, 404, 200),
    ("PUT /v1/prekey", 401, 400, 400),
    ("GET /v1/contacts", 401, 200, 200),
    ("POST /v1/contacts/request", 401, 400, 400),
    ("POST /v1/contacts/accept", 401, 400, 400),
    ("POST /v1/contacts/decline", 401, 400, 400),
    ("POST /v1/contacts/remove", 401, 400, 400),
    ("POST /v1/contacts/block", 401, 400, 400),
    ("POST /v1/contacts/unblock", 401, 400, 400),
    ("GET /v1/state", 401, 400, 400),
    ("GET /v1/sessions", 401, 200, 200),
    ("DELETE /v1/sessions/{device}", 401, 404, 204),
    ("POST /v1/log", 401, 400, 400),
    ("DELETE /v1/account", 401, 400, 400),
    ("GET /v1/account/export", 401, 200, 200),
    ("POST /v1/epochs", 401, 400, 400),
    ("GET /v1/epochs/{epoch}", 401, 404, 200),
    ("POST /v1/epochs/{epoch}/claimed", 401, 404, 204),
    ("GET /v1/ws", 426, 426, 426),
];

/// The path of a row, with what belongs to the owner filled in.
fn filled(row: &Route, owner: &Person, epoch: &str) -> String {
    let path = row.path.replace("{user}", &owner.user().to_base64url()).replace("{epoch}", epoch);
    let path = path.replace("{device}", &owner.device().to_base64url());
    assert!(!path.contains('{'), "{path}: fill it in here");
    path
}

async fn ask(http: &Http, row: &Route, path: &str, authorization: Option<&str>) -> (u16, String) {
    let method = Method::from_bytes(row.method.as_bytes()).unwrap();
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.map(|value| ("authorization", value)));
    let reply = http.with_headers(method, path, &headers, Some(b"{}".to_vec())).await;
    (reply.status.as_u16(), reply.text())
}

#[tokio::test]
async fn every_route_has_its_door() {
    let mut server = Server::start();
    let http = server.http();
    let alice = Person::register(&http, "alice").await;
    let bob = Person::register(&http, "bob").await;
    let carol = Person::register(&http, "carol").await;
    let request = alice.request("bob");
    assert!(alice.ask(&request).await.status.is_success());
    let made = bob.new_epoch(&alice.user(), 0, *request.id().as_bytes()).await;
    let body = ContactAccept { request_id: request.id(), epoch: post(&made) };
    assert!(http.post("/v1/contacts/accept", bob.token(), &body).await.status.is_success());
    let epoch = made.id.to_base64url();

    let bearer = |token: &Token| format!("Bearer {}", token.to_base64url());
    let owner = bearer(alice.token().unwrap());
    let stranger = bearer(carol.token().unwrap());
    let wrong = [
        bearer(&Token(random_array())),
        "Bearer hunter2".to_owned(),
        "Bearer ".to_owned(),
        format!("Basic {}", to_base64url(b"alice:hunter2")),
        owner.replacen("Bearer", "Token", 1),
        format!("{owner}A"),
    ];
    let mut doors = Vec::new();
    // Signing the owner out comes last.
    let (last, first): (Vec<&Route>, Vec<&Route>) =
        routes::PUBLIC.iter().partition(|row| row.path.contains("{device}"));
    for row in first.into_iter().chain(last) {
        let name = format!("{} {}", row.method, row.path);
        let expected = EXPECTED.iter().find(|(known, ..)| *known == name);
        let (_, nobody, strange, own) = *expected.unwrap_or_else(|| panic!("{name}: expect what?"));
        assert_eq!(row.who == Who::Device, nobody == 401, "{name}: the table and this one differ");
        let path = filled(row, &alice, &epoch);
        let (status, said) = ask(&http, row, &path, None).await;
        assert_eq!(status, nobody, "{name} without a token: {said}");
        for authorization in &wrong {
            let (status, said) = ask(&http, row, &path, Some(authorization)).await;
            assert_eq!(status, nobody, "{name} with {authorization}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
        let (status, said) = ask(&http, row, &path, Some(&stranger)).await;
        assert_eq!(status, strange, "{name} for a stranger: {said}");
        let (status, said) = ask(&http, row, &path, Some(&owner)).await;
        assert_eq!(status, own, "{name} for its owner: {said}");
        if row.who == Who::Device {
            doors.push((row, path));
        }
    }
    for (known, ..) in EXPECTED {
        let exists = |row: &Route| *known == format!("{} {}", row.method, row.path);
        assert!(routes::PUBLIC.iter().any(exists), "{known} is no route any more");
    }
    // What the owner sees and a stranger does not, nobody can tell from what does not exist.
    let nothing = format!("/v1/epochs/{}", to_base64url(&[7; 32]));
    let hidden = http.get(&format!("/v1/epochs/{epoch}"), carol.token()).await.problem();
    assert_eq!(hidden, http.get(&nothing, carol.token()).await.problem());
    assert_eq!(hidden.code, ProblemCode::NotFound);

    // Tokens end with the process that gave them.
    server.restart();
    for (row, path) in doors {
        let (status, _) = ask(&server.http(), row, &path, Some(&owner)).await;
        assert_eq!(status, 401, "{} {} with a token that has ended", row.method, row.path);
    }
}

#[tokio::test]
async fn no_door_is_open_for_who_was_removed_revoked_or_signed_out() {
    let server = Server::start();
    let http = server.http();
    let Pair { mut alice, bob, alice_state, .. } = Pair::meet(&http, "alice", "bob").await;
    let mut history = History::of(&alice);
    let phone = add_device(&mut alice, &mut history).await;
    let tablet = add_device(&mut alice, &mut history).await;
    let bearer = |person: &Person| format!("Bearer {}", person.token().unwrap().to_base64url());

    assert!(part(&alice, "remove", &bob.user()).await.status.is_success());
    let entry = history.revoke(&alice.key, phone.device());
    assert!(append(&alice, &entry, None).await.status.is_success());
    let session = format!("/v1/sessions/{}", tablet.device().to_base64url());
    assert!(delete(&http, &session, alice.token(), None).await.status.is_success());

    let epoch = alice_state.id().to_base64url();
    for row in routes::PUBLIC.iter().filter(|row| row.who == Who::Device) {
        let name = format!("{} {}", row.method, row.path);
        let expected = EXPECTED.iter().find(|(known, ..)| *known == name);
        let (_, nobody, strange, _) = *expected.unwrap_or_else(|| panic!("{name}: expect what?"));
        let path = filled(row, &alice, &epoch);
        let (status, said) = ask(&http, row, &path, Some(&bearer(&bob))).await;
        assert_eq!(status, strange, "{name} for a contact that was removed: {said}");
        for (whose, device) in [("revoked", &phone), ("signed out", &tablet)] {
            let (status, said) = ask(&http, row, &path, Some(&bearer(device))).await;
            assert_eq!(status, nobody, "{name} for a device that was {whose}: {said}");
        }
    }
    // Nobody signed her out, or ended anything of hers.
    assert!(http.get("/v1/sessions", alice.token()).await.status.is_success());
}

#[tokio::test]
async fn the_admin_interface_is_no_part_of_the_public_one() {
    let server = Server::start();
    for row in routes::ADMIN {
        assert_eq!(ask(&server.admin(), row, row.path, None).await.0, 200, "{}", row.path);
        assert_eq!(ask(&server.http(), row, row.path, None).await.0, 404, "{}", row.path);
    }
    for row in routes::PUBLIC {
        assert_eq!(ask(&server.admin(), row, row.path, None).await.0, 404, "{}", row.path);
    }
}

/// Uploads that are right in themselves, of somebody else.
struct Uploads {
    text: Vec<u8>,
    typing: Sealed,
    signal: Sealed,
}

impl Uploads {
    fn of(state: &mut EpochState) -> Self {
        let call_id = [7; 16];
        let expires_ms = now_ms() + 10_000;
        let signal = Signal { call_id, kind: CallKind::Ice, expires_ms, payload: vec![1] };
        let mut seal = |class, body| {
            let content = Content { body, ..text(state, "") };
            Sealed::from(state.seal(class, 1, &content, random_array()).unwrap().upload)
        };
        let typing = seal(Class::Control, Body::Typing { on: true });
        let signal = seal(Class::Call, Body::Call(signal));
        Self { text: seal_text(state, "not hers"), typing, signal }
    }
}

/// An operation that is right in itself, aimed at `to`.
fn sample(name: &str, to: UserId, person: &Person, uploads: &Uploads) -> ClientOp {
    match name {
        "hello" => ClientOp::Hello(person.hello(&Nonce([7; 32]), None)),
        "send" => Person::send(&to, 1, uploads.text.clone()),
        "ack" => ClientOp::Ack(Ack { n: 0, failed: Vec::new() }),
        "resynced" => ClientOp::Resynced(Resynced { r#gen: Gen([7; 16]) }),
        "ephemeral" => ClientOp::Ephemeral(SendEphemeral { to, upload: uploads.typing.clone() }),
        "call" => ClientOp::Call(SendCall {
            to,
            call_id: CallId([7; 16]),
            act: CallAct::Ring,
            upload: Some(uploads.signal.clone()),
        }),
        "presence" => ClientOp::Presence(ShowPresence { on: true, to: vec![to] }),
        "sync" => ClientOp::Sync {},
        "ping" => ClientOp::Ping {},
        other => panic!("{other}: make one here, and expect something of it below"),
    }
}

/// What a signed-in stranger is answered, if anything.
fn is_expected(name: &str, answer: Option<&ServerOp>) -> bool {
    let reject = match answer {
        Some(ServerOp::Reject(reject)) => Some(reject),
        _ => None,
    };
    match name {
        "hello" | "resynced" => matches!(reject, Some(Reject::BadRequest { .. })),
        "send" | "ephemeral" | "call" => matches!(reject, Some(Reject::NotContact {})),
        // Strangers are passed over in silence.
        "presence" => matches!(answer, Some(ServerOp::Ok {})),
        "ack" => answer.is_none(),
        "sync" => matches!(answer, Some(ServerOp::Ok {})),
        "ping" => matches!(answer, Some(ServerOp::Pong {})),
        other => panic!("{other}: expect what?"),
    }
}

#[tokio::test]
async fn every_operation_has_its_door() {
    let server = Server::start_with(&[("limits.message_interval_ms", "0")]);
    let http = server.http();
    let mut pair = Pair::meet(&http, "alice", "bob").await;
    let carol = Person::register(&http, "carol").await;
    let uploads = Uploads::of(&mut pair.alice_state);
    let (mut alice, _) = pair.alice.connect(Encoding::Json).await;
    // She names her, too: still they are no contacts.
    let show = ShowPresence { on: true, to: vec![carol.user()] };
    assert_eq!(alice.ask(ClientOp::Presence(show)).await, ServerOp::Ok {});
    for encoding in Encoding::ALL {
        for name in ClientOp::NAMES {
            let op = || sample(name, pair.alice.user(), &carol, &uploads);
            assert_eq!(op().name(), *name);
            let json = Encoding::Json.encode_client(&ClientFrame { id: Some(1), op: op() });
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert!(json["op"].get(name).is_some(), "{name} has another name on the wire: {json}");

            // Before the sign-in, everything ends the connection; so does a wrong signature.
            let mut socket = Socket::connect(&http.url, encoding).await;
            assert!(matches!(socket.next().await.op, ServerOp::Challenge(_)));
            socket.send(op()).await;
            assert_eq!(socket.closed().await, Some(Close::NotAuthenticated), "{name} at the door");

            // After it, a stranger reaches nobody.
            let (mut socket, _) = carol.connect(encoding).await;
            let id = socket.send(op()).await;
            let ping = socket.send(ClientOp::Ping {}).await;
            let mut answer = None;
            loop {
                let frame = socket.next().await;
                if frame.id == Some(ping) {
                    break;
                }
                if frame.id == Some(id) {
                    answer = Some(frame.op);
                }
            }
            assert!(is_expected(name, answer.as_ref()), "{name}: {answer:?}");
        }
    }
    // Nothing of it all reached her.
    alice.send(ClientOp::Ping {}).await;
    assert_eq!(alice.next().await.op, ServerOp::Pong {});
}

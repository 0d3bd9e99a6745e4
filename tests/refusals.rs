//! Bad input: each has its reject or close code, changes nothing, and others notice nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hushwire_e2ee::History;
use hushwire_wire::close::Close;
use hushwire_wire::frame::{Ack, ClientOp, Message, ServerOp};
use hushwire_wire::http::{EpochPost, ProblemCode};
use hushwire_wire::limits::FRAME_MAX;
use hushwire_wire::message::{HEADER_LEN, TAG_LEN, Upload};
use hushwire_wire::{Encoding, Reject, Sealed, UserId};
use support::person::{open_text, post, seal_text};
use support::{Pair, Person, Server, Socket};

/// Sends `op`, and expects the reject `name`; then the connection must still live.
async fn refuse(socket: &mut Socket, op: ClientOp) -> Reject {
    let answer = socket.ask(op).await;
    let ServerOp::Reject(reject) = answer else { panic!("not refused: {answer:?}") };
    assert_eq!(socket.ask(ClientOp::Ping {}).await, ServerOp::Pong {}, "the connection lives");
    reject
}

fn bad_field(reject: &Reject) -> &str {
    match reject {
        Reject::BadRequest { field, .. } => field,
        other => panic!("not bad_request: {other:?}"),
    }
}

/// One pair on a server without the 10-second rule, both online.
struct Scene {
    server: Server,
    pair: Pair,
    alice: Socket,
    bob: Socket,
}

impl Scene {
    async fn new(encoding: Encoding) -> Self {
        let server = Server::start_with(&[("limits.message_interval_ms", "0")]);
        let pair = Pair::meet(&server.http(), "alice", "bob").await;
        let (alice, _) = pair.alice.connect(encoding).await;
        let (bob, _) = pair.bob.connect(encoding).await;
        Self { server, pair, alice, bob }
    }

    fn upload(&mut self) -> Vec<u8> {
        seal_text(&mut self.pair.alice_state, "fine")
    }

    fn to_bob(&self, sn: u64, upload: Vec<u8>) -> ClientOp {
        Person::send(&self.pair.bob.user(), sn, upload)
    }

    /// After all refusals a good message still gets through, and it is the first that bob sees.
    async fn still_works(&mut self, sn: u64) {
        let upload = self.upload();
        let id = self.alice.send(self.to_bob(sn, upload)).await;
        let got: Message = self
            .bob
            .event(|op| match op {
                ServerOp::Message(message) => Some(message),
                _ => None,
            })
            .await;
        assert_eq!(got.n, 1, "nothing that was refused reached bob");
        assert_eq!(open_text(&mut self.pair.bob_state, &got), "fine");
        self.bob.send(ClientOp::Ack(Ack { n: 1, failed: vec![] })).await;
        assert!(matches!(self.alice.answer(id).await, ServerOp::Accepted(_)));
    }
}

#[tokio::test]
async fn wrong_sizes_and_shapes() {
    for encoding in Encoding::ALL {
        let mut scene = Scene::new(encoding).await;
        let good = scene.upload();
        let mut cases: Vec<(&str, Vec<u8>)> = vec![
            ("upload.ver", vec![]),
            ("upload.ver", {
                let mut u = good.clone();
                u[0] = 9;
                u
            }),
            ("upload.class", {
                let mut u = good.clone();
                u[1] = 99;
                u
            }),
            ("upload.class", {
                let mut u = good.clone();
                u[3] = 1;
                u
            }),
            ("upload.tags", good[..good.len() - 1].to_vec()),
            ("upload", [&good[..], &[0]].concat()),
        ];
        let mut longer_ct = good.clone();
        longer_ct[91] = longer_ct[91].wrapping_add(1);
        cases.push(("upload.ct", longer_ct));
        for (field, upload) in cases {
            let op = scene.to_bob(1, upload);
            assert_eq!(bad_field(&refuse(&mut scene.alice, op).await), field);
        }
        let op = scene.to_bob(1 << 53, good.clone());
        assert_eq!(bad_field(&refuse(&mut scene.alice, op).await), "op.send.sn");
        scene.still_works(1).await;
    }
}

#[tokio::test]
async fn wrong_tag_counts_and_sender_index() {
    let mut scene = Scene::new(Encoding::Cbor).await;
    let good = scene.upload();
    let count = good.len() - TAG_LEN - 1;
    let mut none = good[..=count].to_vec();
    none[count] = 0;
    let mut two = good.clone();
    two[count] = 2;
    two.extend_from_slice(&[7; TAG_LEN]);
    for upload in [none, two] {
        let op = scene.to_bob(1, upload);
        assert_eq!(bad_field(&refuse(&mut scene.alice, op).await), "upload.m");
    }
    for index in [1 - good[2], 9] {
        let mut other = good.clone();
        other[2] = index;
        let op = scene.to_bob(1, other);
        assert_eq!(refuse(&mut scene.alice, op).await, Reject::Forbidden {});
    }
    scene.still_works(1).await;
}

#[tokio::test]
async fn strangers_and_nobody_are_answered_alike() {
    let mut scene = Scene::new(Encoding::Json).await;
    let stranger = Person::register(&scene.server.http(), "carol").await;
    let upload = scene.upload();
    for to in [stranger.user(), UserId([0x5a; 32])] {
        let op = Person::send(&to, 1, upload.clone());
        assert_eq!(refuse(&mut scene.alice, op).await, Reject::NotContact {});
    }
    scene.still_works(1).await;
}

#[tokio::test]
async fn a_counter_that_does_not_rise() {
    let mut scene = Scene::new(Encoding::Cbor).await;
    let first = scene.upload();
    scene.still_works(1).await;
    let reused = {
        let mut upload = first;
        upload[4..8].copy_from_slice(&1u32.to_be_bytes());
        upload[HEADER_LEN - 16..HEADER_LEN].fill(0xee);
        upload
    };
    let op = scene.to_bob(2, reused);
    assert_eq!(refuse(&mut scene.alice, op).await, Reject::CounterReuse {});
}

#[tokio::test]
async fn a_stale_and_an_unknown_epoch() {
    let mut scene = Scene::new(Encoding::Cbor).await;
    let under_old = scene.upload();
    let (alice, bob) = (scene.pair.alice.user(), scene.pair.bob.user());
    let old = scene.pair.bob_state.id();
    let made = scene.pair.bob.new_epoch(&alice, 1, *old.as_bytes()).await;
    let body = EpochPost { peer: alice, epoch: post(&made) };
    let reply = scene.pair.bob.http.post("/v1/epochs", scene.pair.bob.token(), &body).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    let op = scene.to_bob(1, under_old.clone());
    assert_eq!(refuse(&mut scene.alice, op).await, Reject::EpochStale {});
    let mut unknown = under_old;
    unknown[8..40].fill(0x11);
    let op = scene.to_bob(1, unknown);
    assert_eq!(refuse(&mut scene.alice, op).await, Reject::EpochStale {});
    // Under the new epoch it goes through.
    let newest = Some(hushwire_e2ee::Previous {
        n: 0,
        id: old,
        created_ms: scene.pair.bob_state.header().created_ms,
    });
    let history = History { request: None, known: newest.as_slice() };
    scene.pair.alice_state = scene.pair.alice.open_epoch(&bob, &made.id, history).await;
    scene.pair.bob_state = made.state;
    scene.still_works(1).await;
}

#[tokio::test]
async fn unknown_operations_and_fields() {
    let mut scene = Scene::new(Encoding::Json).await;
    let cases = [
        (r#"{"id":900,"op":{"dance":{}}}"#, "op"),
        (r#"{"id":900,"op":{"ping":{}},"extra":1}"#, "extra"),
        (r#"{"id":900,"op":{"ack":{"n":1,"more":true}}}"#, "op.ack.more"),
        (r#"{"id":900,"op":{"send":{"to":"AAAA","sn":1,"upload":""}}}"#, "op.send.to"),
        (r#"{"id":900}"#, "frame"),
    ];
    for (json, field) in cases {
        scene.alice.send_bytes(json.as_bytes().to_vec()).await;
        let ServerOp::Reject(reject) = scene.alice.answer(900).await else { panic!("{json}") };
        assert_eq!(bad_field(&reject), field);
    }
    scene.still_works(1).await;
}

#[tokio::test]
async fn garbage_ends_the_connection_that_sent_it() {
    for encoding in Encoding::ALL {
        let mut scene = Scene::new(encoding).await;
        let garbage: Vec<u8> = match encoding {
            Encoding::Json => b"{\"op\":".to_vec(),
            Encoding::Cbor => vec![0xff, 0x00, 0x13],
        };
        let carol = Person::register(&scene.server.http(), "carol").await;
        let (mut socket, _) = carol.connect(encoding).await;
        socket.send_bytes(garbage).await;
        assert_eq!(socket.closed().await, Some(Close::Invalid));
        scene.still_works(1).await;
    }
}

#[tokio::test]
async fn an_acknowledgement_of_what_was_never_sent() {
    let mut scene = Scene::new(Encoding::Cbor).await;
    let id = scene.alice.send(ClientOp::Ack(Ack { n: 5, failed: vec![] })).await;
    let ServerOp::Reject(reject) = scene.alice.answer(id).await else { panic!() };
    assert_eq!(bad_field(&reject), "op.ack.n");
    scene.still_works(1).await;
}

#[tokio::test]
async fn a_lower_or_reused_sn() {
    let mut scene = Scene::new(Encoding::Cbor).await;
    scene.still_works(5).await;
    let upload = scene.upload();
    for sn in [5, 4] {
        let op = scene.to_bob(sn, upload.clone());
        let reject = refuse(&mut scene.alice, op).await;
        let Reject::StaleSn { last_sn, answer, .. } = reject else { panic!("{reject:?}") };
        assert_eq!(last_sn, 5);
        assert_eq!(answer.expect("what was answered then").sn, 5);
    }
}

#[tokio::test]
async fn an_oversize_frame_is_judged_by_its_declared_length() {
    let scene = Scene::new(Encoding::Cbor).await;
    let before = support::socket::RawSocket::upgrade(&scene.server.url, "hushwire.v1.cbor").await;
    // Before sign-in 4 KiB are the limit, whatever is said to follow.
    before.expect_close_after_header(8 * 1024, Close::TooLarge).await;
    let huge = support::socket::RawSocket::upgrade(&scene.server.url, "hushwire.v1.cbor").await;
    huge.expect_close_after_header(u64::MAX >> 1, Close::TooLarge).await;
    let over = FRAME_MAX as u64 + 1;
    let mut alice = scene.alice;
    let id = alice.send(ClientOp::Ping {}).await;
    assert_eq!(alice.answer(id).await, ServerOp::Pong {});
    alice.send_bytes(vec![0; over as usize]).await;
    assert_eq!(alice.closed().await, Some(Close::TooLarge));
}

#[tokio::test]
async fn an_unmasked_frame() {
    let server = Server::start();
    let raw = support::socket::RawSocket::upgrade(&server.url, "hushwire.v1.cbor").await;
    raw.expect_close_after(&[0x82, 0x01, 0x00], Close::Protocol).await;
}

#[test]
fn uploads_of_the_tests_are_well_formed() {
    // The refusals above change one thing each; this is what they start from.
    let header = [&[1u8, 1, 0, 0][..], &[0; 52]].concat();
    let ct = [&272u32.to_be_bytes()[..], &[0; 272]].concat();
    let upload = [&header[..], &[0; 32], &ct, &[1], &[0; 16]].concat();
    assert!(Upload::parse(&Sealed::from(upload)).is_ok());
}

#[tokio::test]
async fn requests_of_one_user_are_bounded() {
    let server = Server::start_with(&[("limits.http_requests_per_minute", "4")]);
    let http = server.http();
    let alice = Person::register(&http, "alice").await;
    let bob = Person::register(&http, "bob").await;
    for _ in 0..4 {
        assert!(http.get("/v1/contacts", alice.token()).await.status.is_success());
    }
    let reply = http.get("/v1/contacts", alice.token()).await;
    let problem = reply.problem();
    assert_eq!(problem.code, ProblemCode::RateLimited);
    assert_eq!(problem.rule.as_deref(), Some("limits.http_requests_per_minute"));
    assert_eq!((problem.limit, problem.used), (Some(4), Some(4)));
    assert!((1..=15_000).contains(&problem.retry_after_ms.unwrap()));
    assert!(reply.headers.contains_key("retry-after"));
    assert!(http.get("/v1/contacts", bob.token()).await.status.is_success());
}

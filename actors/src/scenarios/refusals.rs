//! Bad input: each has its exact reject or close, and nobody else notices.

use hushwire_wire::limits::FRAME_MAX;

use super::*;

/// Alice misbehaves as `act` does; Bob and Carol notice nothing.
async fn alone<F: Future>(world: &World, act: F) -> F::Output {
    let mut bob = world.json(2, 0).await;
    let mut carol = world.json(3, 0).await;
    assert_eq!(carol.ask(ClientOp::Sync {}).await, ServerOp::Ok {});
    let output = act.await;
    // Bob is second in the roster of the pair (2, 3), counted from its first device.
    let id = bob.op(ClientOp::Send(text(0, 3, 1, 1))).await;
    assert_eq!(carol.message().await.n, 1, "the first and only frame");
    carol.ack(1).await;
    assert!(matches!(bob.answer(id).await, ServerOp::Accepted(_)));
    output
}

fn world() -> World {
    World::new([1, 1, 1, 0], unpaced())
}

#[actix::test]
async fn before_hello_nothing_else_is_possible() {
    let world = world();
    let mut wrong_signature = Client::hello(1, 0, None);
    if let ClientOp::Hello(hello) = &mut wrong_signature {
        hello.signature = Sealed::new(vec![2; 64]);
    }
    let unknown_device = Client::hello(1, 7, None);
    for op in [ClientOp::Ping {}, ClientOp::Send(text(0, 2, 1, 1)), wrong_signature, unknown_device]
    {
        for encoding in Encoding::ALL {
            let mut client = world.connect(encoding);
            client.op(op.clone()).await;
            assert_eq!(client.closed().await, Close::NotAuthenticated);
        }
    }
    let mut garbage = world.connect(Encoding::Json);
    garbage.text("{").await;
    assert_eq!(garbage.closed().await, Close::NotAuthenticated);
    let mut large = world.connect(Encoding::Json);
    // A header that declares 5,000 bytes, and not one of them.
    large.raw(&[0x81, 0xfe, 0x13, 0x88]).await;
    assert_eq!(large.closed().await, Close::TooLarge);
    assert_eq!(world.engine.counts().devices, 0);
}

#[actix::test]
async fn pings_before_hello_cost_no_memory() {
    let world = World::new([1, 0, 0, 0], unpaced());
    // A pipe of 4 KiB each way: what does not fit in it waits in the session, or is not read.
    let (near, far) = tokio::io::duplex(4 * 1024);
    let mut client = world.connect_over(near, far, Encoding::Json);
    let mut ping = BytesMut::new();
    Parser::write_message(&mut ping, [0u8; 120].as_slice(), OpCode::Ping, true, true);
    // None of the answers is read; all pings are taken, and few are answered.
    for _ in 0..1_000 {
        timeout(PATIENCE, client.raw(&ping)).await.expect("it is read or dropped");
    }
    assert_eq!(client.closed().await, Close::Flooding);
}

#[actix::test]
async fn broken_framing_ends_the_connection_and_nobody_elses() {
    let long = (FRAME_MAX as u64 + 1).to_be_bytes();
    let mut oversize = vec![0x81, 0xff];
    oversize.extend_from_slice(&long);
    let cases: [(&[u8], Close); 9] = [
        (&oversize, Close::TooLarge),
        (&[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Close::Protocol),
        (&[0x81, 0x02, b'{', b'}'], Close::Protocol),
        (&[0x83, 0x80, 0, 0, 0, 0], Close::Protocol),
        (&[0xc1, 0x80, 0, 0, 0, 0], Close::Protocol),
        (&[0x80, 0x80, 0, 0, 0, 0], Close::Protocol),
        (&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe], Close::Invalid),
        (&[0x82, 0x82, 0, 0, 0, 0, b'{', b'}'], Close::Invalid),
        (&[0x81, 0x81, 0, 0, 0, 0, b'{'], Close::Invalid),
    ];
    tokio::time::pause();
    for (bytes, close) in cases {
        let world = World::one_more([1, 1, 1, 0], unpaced());
        let mut alice = world.json(1, 0).await;
        let closed = alone(&world, async {
            alice.raw(bytes).await;
            alice.closed().await
        });
        assert_eq!(closed.await, close, "{bytes:02x?}");
    }
}

#[actix::test]
async fn fragments_join_and_are_bounded() {
    let world = world();
    let mut alice = world.json(1, 0).await;
    alice.ws(OpCode::Text, false, br#"{"id":9,"#).await;
    alice.ws(OpCode::Ping, true, b"between").await;
    alice.ws(OpCode::Continue, true, br#""op":{"ping":{}}}"#).await;
    assert_eq!(alice.answer(9).await, ServerOp::Pong {});
    alice.ws(OpCode::Text, false, b"x").await;
    for _ in 0..16 {
        alice.ws(OpCode::Continue, false, b"x").await;
    }
    assert_eq!(alice.closed().await, Close::TooLarge);
}

#[actix::test]
async fn one_byte_at_a_time_is_as_good_as_all_at_once() {
    let world = world();
    let mut alice = world.json(1, 0).await;
    let mut frame = BytesMut::new();
    Parser::write_message(&mut frame, br#"{"id":9,"op":{"ping":{}}}"#, OpCode::Text, true, true);
    for byte in frame {
        alice.raw(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(alice.answer(9).await, ServerOp::Pong {});
}

#[actix::test]
async fn frames_that_are_no_operation_are_refused_by_field_with_their_id() {
    let world = world();
    let mut alice = world.json(1, 0).await;
    let refusals = alone(&world, async {
        let mut fields = Vec::new();
        for frame in [
            r#"{"id":1,"op":{"dance":{}}}"#,
            r#"{"id":2,"op":{"ack":{"n":1,"more":2}}}"#,
            r#"{"id":3,"op":{"ack":{"n":-1}}}"#,
            r#"{"id":4,"op":{"send":{"to":"AQ","sn":1,"upload":""}}}"#,
            r#"{"id":5,"op":{"ack":{"n":99}}}"#,
            r#"{"id":6}"#,
        ] {
            alice.text(frame).await;
            let frame = alice.next().await;
            let ServerOp::Reject(Reject::BadRequest { field, .. }) = frame.op else {
                panic!("{frame:?}")
            };
            fields.push((frame.id, field));
        }
        fields
    })
    .await;
    let expected = ["op", "op.ack.more", "op.ack.n", "op.send.to", "op.ack.n", "frame"];
    let expected = (1..).map(Some).zip(expected.map(str::to_owned));
    assert_eq!(refusals, expected.collect::<Vec<_>>());
    let hello = alice.ask(Client::hello(1, 0, None)).await;
    assert!(
        matches!(hello, ServerOp::Reject(Reject::BadRequest { field, .. }) if field == "op.hello")
    );
}

#[actix::test]
async fn each_refused_send_has_its_reject() {
    let world = world();
    let mut alice = world.json(1, 0).await;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut send = text(0, 2, 1, 1);
        let mut upload = send.upload.as_bytes().to_vec();
        change(&mut upload);
        send.upload = upload.into();
        send
    };
    let bad = |field: &str| format!("bad_request {field}");
    let cases = [
        (Send { sn: 1 << 53, ..text(0, 2, 1, 1) }, bad("op.send.sn")),
        (with(&|u| u.truncate(20)), bad("upload.epoch")),
        (with(&|u| u[0] = 2), bad("upload.ver")),
        (with(&|u| u[1] = 99), bad("upload.class")),
        (with(&|u| u.push(0)), bad("upload")),
        (with(&|u| (u[1], u[3]) = (17, 1)), bad("upload.lane")),
        (text(0, 4, 1, 1), "not_contact".to_owned()),
        (with(&|u| u[8] ^= 1), "epoch_stale".to_owned()),
        (text(1, 2, 1, 1), "forbidden".to_owned()),
        (text(9, 2, 1, 1), "forbidden".to_owned()),
        (text(0, 2, 1, 2), bad("upload.m")),
        (text(0, 2, 1, 0), bad("upload.m")),
    ];
    let seen = alone(&world, async {
        let mut seen = Vec::new();
        for (send, _) in &cases {
            seen.push(match alice.send(send.clone()).await {
                Err(Reject::BadRequest { field, .. }) => bad(&field),
                Err(reject) => reject.name().to_owned(),
                Ok(_) => "accepted".to_owned(),
            });
        }
        seen
    })
    .await;
    assert_eq!(seen, cases.iter().map(|(_, reject)| reject.clone()).collect::<Vec<_>>());
    let mut large = send_of(Class::Reaction, 0, 2, 1, 1);
    let header = Header::parse(&large.upload.as_bytes()[..56]).unwrap();
    large.upload = write_upload(&header, &[0; 32], &[0; 1_040], &[[0; 16]]).into();
    assert_eq!(alice.send(large).await, Err(Reject::TooLarge { limit: 528 }));
    assert_eq!(world.engine.counts().queued_messages, 0);
}

#[actix::test]
async fn a_counter_that_does_not_rise_is_refused() {
    let world = world();
    let mut alice = world.json(1, 0).await;
    alice.send(text(0, 2, 5, 1)).await.unwrap();
    let mut reused = text(0, 2, 6, 1);
    let mut upload = reused.upload.as_bytes().to_vec();
    upload[4..8].copy_from_slice(&5u32.to_be_bytes());
    reused.upload = upload.into();
    assert_eq!(alice.send(reused).await, Err(Reject::CounterReuse {}));
    let lower = alice.send(text(0, 2, 4, 1)).await;
    assert!(matches!(lower, Err(Reject::StaleSn { last_sn: 5, answer: Some(_), .. })));
}

#[actix::test]
async fn a_flood_of_refused_frames_ends_the_connection() {
    let world = World::new([1, 1, 1, 0], Limits { refused_per_minute: 10, ..unpaced() });
    let mut alice = world.json(1, 0).await;
    let closed = alone(&world, async {
        for _ in 0..11 {
            alice.text(r#"{"op":{"dance":{}}}"#).await;
        }
        alice.closed().await
    });
    assert_eq!(closed.await, Close::Flooding);
}

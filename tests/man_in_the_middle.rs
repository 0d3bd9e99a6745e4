//! Somebody stands between the real SDK and a real server: drops, repeats and replaces what
//! passes. Nothing false is shown, nothing is shown twice, and what went wrong has a name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::{Arc, Mutex};

use hushwire_client::{ClientError, Code, Event, Standing};
use hushwire_wire::Sealed;
use hushwire_wire::frame::{ClientFrame, ClientOp, ServerOp};
use hushwire_wire::http::{EpochBundle, LogEntries, Prekeys};
use support::victim::{Victim, asked, contacts, server};

fn without_acks(frame: ClientFrame) -> Vec<ClientFrame> {
    if matches!(frame.op, ClientOp::Ack(_)) { Vec::new() } else { vec![frame] }
}

fn flip(sealed: &mut Sealed, at_end: usize) {
    let mut bytes = sealed.as_bytes().to_vec();
    let at = bytes.len() - 1 - at_end;
    bytes[at] ^= 1;
    *sealed = Sealed::new(bytes);
}

#[tokio::test]
async fn a_crash_between_persist_and_ack_shows_once() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server).await;
    bob.evil.rule(|rules| rules.to_server = Box::new(without_acks));
    let id = alice.client.send_text("bob", "once").await.unwrap();
    assert_eq!(bob.message().await.text, "once");
    bob.crash().await;
    // The server gives it again; it is acknowledged now, and not told again.
    alice.until(|event| matches!(event, Event::Delivered(i) if *i == id).then_some(())).await;
    alice.client.send_text("bob", "twice").await.unwrap();
    assert_eq!(bob.texts_until("twice").await, ["twice"]);
    let history = bob.client.history("alice", 10).await.unwrap();
    assert_eq!(history.iter().map(|m| m.text.as_str()).collect::<Vec<_>>(), ["once", "twice"]);
}

#[tokio::test]
async fn an_unshown_message_is_told_again_after_a_crash() {
    let server = server();
    let (alice, mut bob) = contacts(&server).await;
    alice.client.send_text("bob", "look").await.unwrap();
    // Told, and the program dies before it says that it was shown.
    bob.until(|event| matches!(event, Event::MessageReceived(_)).then_some(())).await;
    bob.crash().await;
    assert_eq!(bob.message().await.text, "look");
}

#[tokio::test]
async fn nothing_is_signed_for_another_domain() {
    let server = server();
    let mut bob = Victim::register(&server, "bob").await;
    bob.close().await;
    let hellos = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&hellos);
    bob.evil.rule(|rules| {
        rules.to_client = Box::new(|mut frame| {
            if let ServerOp::Challenge(challenge) = &mut frame.op {
                challenge.domain = "evil.example".to_owned();
            }
            vec![frame]
        });
        rules.to_server = Box::new(move |frame| {
            *seen.lock().unwrap() += 1;
            vec![frame]
        });
    });
    bob.start();
    let (why, retry) = bob.disconnected().await;
    assert!(why.contains("another domain"), "{why}");
    assert_eq!(retry, None, "and it stays away");
    assert_eq!(*hellos.lock().unwrap(), 0);
}

#[tokio::test]
async fn a_repeated_number_ends_the_connection_and_shows_once() {
    let server = server();
    let (alice, mut bob) = contacts(&server).await;
    bob.evil.rule(|rules| {
        rules.mends = false;
        rules.to_client = Box::new(|frame| {
            let twice = matches!(frame.op, ServerOp::Message(_));
            if twice { vec![frame.clone(), frame] } else { vec![frame] }
        });
    });
    alice.client.send_text("bob", "one").await.unwrap();
    assert_eq!(bob.message().await.text, "one");
    let (why, retry) = bob.disconnected().await;
    assert!(why.contains("skipped or repeated"), "{why}");
    assert!(retry.is_some());
    bob.evil.rest();
    alice.client.send_text("bob", "two").await.unwrap();
    assert_eq!(bob.texts_until("two").await, ["two"]);
}

#[tokio::test]
async fn a_replay_under_a_new_number_is_dropped() {
    let server = server();
    let (alice, mut bob) = contacts(&server).await;
    bob.evil.rule(|rules| {
        rules.to_client = Box::new(|frame| {
            let twice = matches!(frame.op, ServerOp::Message(_));
            if twice { vec![frame.clone(), frame] } else { vec![frame] }
        });
    });
    alice.client.send_text("bob", "one").await.unwrap();
    alice.client.send_text("bob", "two").await.unwrap();
    assert_eq!(bob.texts_until("two").await, ["one", "two"]);
    let history = bob.client.history("alice", 10).await.unwrap();
    assert_eq!(history.len(), 2);
}

#[tokio::test]
async fn a_changed_message_is_not_shown_and_its_sender_learns_why() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server).await;
    bob.evil.rule(|rules| {
        rules.to_client = Box::new(|mut frame| {
            if let ServerOp::Message(message) = &mut frame.op {
                flip(&mut message.msg, 40);
            }
            vec![frame]
        });
    });
    let id = alice.client.send_text("bob", "never seen").await.unwrap();
    let code = alice
        .until(|event| match event {
            Event::Unreadable { id: i, code } if *i == id => Some(code.clone()),
            _ => None,
        })
        .await;
    assert_eq!(code, Code::BadTag.as_str());
    bob.evil.rest();
    // The chain did not move: what follows is read, after the gap was asked about.
    alice.client.send_text("bob", "seen").await.unwrap();
    assert_eq!(bob.texts_until("seen").await, ["seen"]);
}

#[tokio::test]
async fn another_log_in_the_place_of_a_contact_s_is_refused() {
    let server = server();
    let alice = Victim::register(&server, "alice").await;
    let mallory = Victim::register(&server, "mallory").await;
    let bob = Victim::register(&server, "bob").await;
    let path = format!("/v1/users/{}/log", mallory.user.to_base64url());
    let log: Arc<Mutex<Option<LogEntries>>> = Arc::default();
    // Mallory's log, as carol learns it from an ordinary request.
    let mut carol = Victim::register(&server, "carol").await;
    let keep = Arc::clone(&log);
    carol.evil.rule(|rules| {
        rules.reply = Box::new(move |call, reply| {
            if call.path == path {
                *keep.lock().unwrap() = serde_json::from_slice(&reply.body).ok();
            }
            Ok(reply)
        });
    });
    mallory.client.contacts_add("carol").await.unwrap();
    carol.until(|event| matches!(event, Event::ContactRequest { .. }).then_some(())).await;
    let evil = log.lock().unwrap().clone().unwrap();
    bob.evil.replace::<LogEntries>("/log", move |entries| *entries = evil.clone());
    alice.client.contacts_add("bob").await.unwrap();
    assert_eq!(bob.client.contacts().await.unwrap(), [], "nothing false is listed");
    bob.evil.rest();
    let cards = bob.client.contacts().await.unwrap();
    assert_eq!((cards.len(), cards[0].standing), (1, Standing::AsksMe));
}

#[tokio::test]
async fn a_changed_prekey_is_refused_before_a_key_is_made_for_it() {
    let server = server();
    let (_alice, bob) = asked(&server).await;
    for at_end in [0, 100, 180] {
        bob.evil.replace::<Prekeys>("/prekeys", move |prekeys| {
            flip(&mut prekeys.prekeys[0].record, at_end);
        });
        let refused = bob.client.contacts_accept("alice").await;
        assert!(matches!(refused, Err(ClientError::Unverified(_))), "{refused:?}");
    }
    bob.evil.rest();
    bob.client.contacts_accept("alice").await.unwrap();
}

#[tokio::test]
async fn a_changed_wrap_or_header_makes_no_contact() {
    let server = server();
    let (alice, bob) = asked(&server).await;
    for part in 0..2 {
        alice.evil.replace_where::<EpochBundle>(
            |path| path.starts_with("/v1/epochs/") && !path.ends_with("/claimed"),
            move |bundle| match part {
                0 => flip(bundle.wrap.as_mut().unwrap(), 10),
                _ => flip(&mut bundle.header, 10),
            },
        );
        if part == 0 {
            bob.client.contacts_accept("alice").await.unwrap();
        }
        let cards = alice.client.contacts().await.unwrap();
        assert!(cards.iter().all(|card| card.standing != Standing::Active), "{cards:?}");
        let refused = alice.client.send_text("bob", "to whom?").await;
        assert!(matches!(refused, Err(ClientError::NotAccepted)), "{refused:?}");
    }
    alice.evil.rest();
    let cards = alice.client.contacts().await.unwrap();
    assert!(cards.iter().any(|card| card.standing == Standing::Active), "{cards:?}");
    assert!(alice.client.send_text("bob", "you").await.is_ok());
}

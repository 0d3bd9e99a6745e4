//! Messages that were changed on their way, said twice, or made by a contact who breaks the rules.

use hushwire_client::{Code, Event};
use hushwire_e2ee::{Body, Content};
use hushwire_wire::Sealed;
use hushwire_wire::frame::{Message, ServerOp};

use crate::support::Server;
use crate::support::forge::{Letter, Parts};
use crate::support::insider::{Insider, content};
use crate::support::person::random_array;
use crate::support::victim::{Victim, contacts, server};

async fn scene() -> (Server, Victim, Insider) {
    let server = server();
    let mut bob = Victim::register(&server, "bob").await;
    let mallory = Insider::befriend(&server, "mallory", &mut bob).await;
    (server, bob, mallory)
}

fn flipped(message: &Message, byte: usize, bit: usize) -> Message {
    let mut bytes = message.msg.as_bytes().to_vec();
    bytes[byte] ^= 1 << bit;
    Message { n: 0, msg: Sealed::new(bytes), ..message.clone() }
}

/// 15: a real message between two real clients, and every bit of its header, commitment and tag,
/// and some of its ciphertext. A flipped epoch id is a message of an epoch that nobody has: see
/// `a_message_of_no_epoch_is_held`.
#[tokio::test]
async fn no_bit_of_a_message_can_be_flipped() {
    let server = server();
    let (alice, mut bob) = contacts(&server).await;
    bob.evil.rule(|rules| rules.catches = true);
    alice.client.send_text("bob", "whole").await.unwrap();
    let honest = bob.evil.caught().await;
    let tag = honest.msg.len() - 16;
    let ct = 56 + 32 + 4;
    let bytes = (0..8).chain(40..88).chain((ct..tag).step_by(16)).chain(tag..tag + 16);
    let mut codes = Vec::new();
    bob.told().await;
    let before = bob.state("alice").await;
    for byte in bytes {
        for bit in 0..8 {
            let code = bob.evil.deliver(flipped(&honest, byte, bit)).await.unwrap_err();
            codes.push((byte, code));
        }
    }
    for (byte, code) in codes {
        match byte {
            // Version, class and lane are looked at before the tag: some values do not exist.
            0 => assert_eq!(code, "BAD_CONTENT"),
            1 | 3 => assert!(code == "BAD_CONTENT" || code == "BAD_TAG", "{byte}: {code}"),
            _ => assert_eq!(code, "BAD_TAG", "byte {byte}"),
        }
    }
    // The length of the ciphertext, and lengths that are not there.
    for byte in 88..92 {
        for bit in 0..8 {
            let verdict = bob.evil.deliver(flipped(&honest, byte, bit)).await;
            assert_eq!(verdict, Err("BAD_CONTENT".to_owned()));
        }
    }
    for len in [0, 1, 55, 56, 92, tag, tag + 15] {
        let short = Sealed::new(honest.msg.as_bytes()[..len].to_vec());
        let verdict = bob.evil.deliver(Message { n: 0, msg: short, ..honest.clone() }).await;
        assert_eq!(verdict, Err("BAD_CONTENT".to_owned()));
    }
    assert_eq!(bob.told().await, []);
    assert!(bob.state("alice").await == before);
    bob.shows(honest, "whole").await;
}

/// 15, from inside: what stands under an authentic tag is still checked.
#[tokio::test]
async fn commitment_ciphertext_and_content_are_checked_behind_the_tag() {
    let (_server, mut bob, mallory) = scene().await;
    let epoch = mallory.epoch.clone();
    let honest = epoch.seal(&mallory.letter(&epoch, 0, "honest"));
    let mut commit = honest.clone();
    commit.commit[31] ^= 1;
    let mut ct = honest.clone();
    ct.ct[0] ^= 1;
    let raw = |padded: Vec<u8>| epoch.seal(&Letter { padded, ..mallory.letter(&epoch, 0, "") });
    let mut crowded = content("x");
    crowded.seen = vec![0; 3];
    let forged: [(Parts, Code); 6] = [
        (commit, Code::BadCommit),
        (ct, Code::BadAead),
        (raw(vec![9; 256]), Code::BadContent),
        (raw(Vec::new()), Code::BadContent),
        (raw(vec![0; 65_536]), Code::BadContent),
        (raw(crowded.to_padded().unwrap().to_vec()), Code::BadContent),
    ];
    for (parts, code) in forged {
        bob.refuses("mallory", mallory.deliver(&epoch, &parts), code).await;
    }
    bob.shows(mallory.deliver(&epoch, &honest), "honest").await;
}

/// 16: counters at the end of their range, and gaps of 1,024 and 1,025.
#[tokio::test]
async fn a_chain_skips_1024_and_no_more() {
    let (_server, mut bob, mallory) = scene().await;
    let epoch = mallory.epoch.clone();
    let far = |counter: u32| {
        // Nobody derives a chain that far: the counter is judged before.
        let letter = Letter { counter, ..mallory.letter(&epoch, 0, "far") };
        mallory.deliver(&epoch, &epoch.seal_with(&letter, &[0; 32]))
    };
    for counter in [u32::MAX, u32::MAX - 1, 1 << 31, 1_026, 1_025] {
        bob.refuses("mallory", far(counter), Code::SkipLimit).await;
    }
    // In the window its commitment is looked at.
    bob.refuses("mallory", far(1_024), Code::BadCommit).await;
    bob.shows(mallory.text(&epoch, 1_024, "after a gap"), "after a gap").await;
    bob.refuses("mallory", far(1_024 + 1_026), Code::SkipLimit).await;
    for counter in [0, 1_023] {
        let text = format!("late {counter}");
        bob.shows(mallory.text(&epoch, counter, &text), &text).await;
    }
    bob.refuses("mallory", mallory.text(&epoch, 0, "again"), Code::Replay).await;
    bob.shows(mallory.text(&epoch, 1_025, "next"), "next").await;
}

/// 16: a thousand messages, last first.
#[tokio::test]
async fn a_thousand_messages_backwards_are_shown_once_each() {
    let (_server, mut bob, mallory) = scene().await;
    let epoch = mallory.epoch.clone();
    let mut chain = epoch.chain(&mallory.person.device(), 0, 0);
    let mut messages = Vec::new();
    for counter in 0..1_000_u32 {
        let letter = mallory.letter(&epoch, counter, &counter.to_string());
        messages.push(mallory.deliver(&epoch, &epoch.seal_with(&letter, &chain)));
        chain = hushwire_identity::hash::kdf(&chain, hushwire_identity::hash::Label::Next, &[]);
    }
    messages.reverse();
    let verdicts = bob.evil.deliver_all(messages.clone()).await;
    assert!(verdicts.iter().all(Result::is_ok));
    let verdicts = bob.evil.deliver_all(messages).await;
    assert!(verdicts.iter().all(Result::is_ok), "known ones are taken as such");
    let mut shown: Vec<u32> = Vec::new();
    while shown.len() < 1_000 {
        let text = bob.until(|event| match event {
            Event::MessageReceived(message) => Some(message.text.clone()),
            _ => None,
        });
        shown.push(text.await.parse().unwrap());
    }
    shown.sort_unstable();
    assert!(shown.into_iter().eq(0..1_000));
    assert_eq!(bob.told().await, []);
    assert_eq!(bob.texts("mallory").await.len(), 1_000);
}

/// 14: a message is of its sender, its receiver, its pair and its epoch, and of no other.
#[tokio::test]
async fn a_message_does_not_pass_for_another_s() {
    let server = server();
    let mut bob = Victim::register(&server, "bob").await;
    let mallory = Insider::befriend(&server, "mallory", &mut bob).await;
    let carol = Insider::befriend(&server, "carol", &mut bob).await;
    let from_mallory = mallory.text(&mallory.epoch, 0, "I am mallory");
    // The same bytes as another contact's, whole or in part.
    let (user, device) = (carol.user(), carol.person.device());
    for lie in [
        Message { peer: user, ..from_mallory.clone() },
        Message { peer: user, from_user: user, from_device: device, ..from_mallory.clone() },
        Message { from_user: user, ..from_mallory.clone() },
        Message { from_device: device, ..from_mallory.clone() },
        Message { from_user: bob.user, ..from_mallory.clone() },
    ] {
        let code = if lie.peer == user { Code::EpochRoster } else { Code::BadTag };
        bob.refuses("mallory", lie, code).await;
    }
    // An insider names another sender: the victim itself, or nobody.
    let epoch = mallory.epoch.clone();
    let own = epoch.header.index_of(&mallory.prekey.record.device).unwrap();
    for sender in [own, 2, 255] {
        let letter = Letter { sender: own, ..mallory.letter(&epoch, 0, "I am bob") };
        let mut parts = epoch.seal(&letter);
        parts.header[2] = sender;
        bob.refuses("mallory", mallory.deliver(&epoch, &parts), Code::BadTag).await;
    }
    bob.shows(from_mallory, "I am mallory").await;
    bob.shows(carol.text(&carol.epoch, 0, "I am carol"), "I am carol").await;
}

/// 14, reflection: what bob wrote comes back to him in the name of his contact, and in his own.
#[tokio::test]
async fn an_own_message_does_not_come_back_as_the_other_s() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server).await;
    alice.evil.rule(|rules| rules.catches = true);
    bob.client.send_text("alice", "to alice").await.unwrap();
    let honest = alice.evil.caught().await;
    bob.until(|event| matches!(event, Event::Accepted { .. }).then_some(())).await;
    for (from_user, from_device) in
        [(alice.user, alice.client.account().await.unwrap().device), (bob.user, honest.from_device)]
    {
        let lie = Message { n: 0, peer: alice.user, from_user, from_device, ..honest.clone() };
        bob.refuses("alice", lie, Code::BadTag).await;
    }
    alice.shows(honest, "to alice").await;
}

/// 27: types that do not fit their class, types that are not known, and a content said twice. They
/// are authentic, so that their counter is used up; nothing of them is shown.
#[tokio::test]
async fn what_does_not_fit_its_class_is_dropped() {
    let (_server, mut bob, mallory) = scene().await;
    let epoch = mallory.epoch.clone();
    let mut counter = 0;
    let mut drops = async |bob: &mut Victim, class: u8, padded: Vec<u8>| {
        let letter = Letter { class, padded, ..mallory.letter(&epoch, counter, "") };
        let message = mallory.deliver(&epoch, &epoch.seal(&letter));
        let before = bob.texts("mallory").await;
        assert_eq!(bob.evil.deliver(message).await, Ok(()));
        let told = bob.told().await;
        let shown = |event: &Event| matches!(event, Event::MessageReceived(_));
        assert!(!told.iter().any(shown), "{told:?}");
        assert_eq!(bob.texts("mallory").await, before);
        counter += 1;
    };
    let text = content("for the price of another");
    let padded = text.to_padded().unwrap().to_vec();
    for class in [2, 3, 4, 5, 6, 17, 18] {
        drops(&mut bob, class, padded.clone()).await;
    }
    for kind in [0, 13, 99, 255] {
        let mut unknown = padded.clone();
        unknown[1] = kind;
        drops(&mut bob, 1, unknown).await;
    }
    // The same content under other keys: shown once.
    let said = content("said once");
    let padded = said.to_padded().unwrap().to_vec();
    let at = counter;
    let letter = Letter { padded: padded.clone(), ..mallory.letter(&epoch, at, "") };
    bob.shows(mallory.deliver(&epoch, &epoch.seal(&letter)), "said once").await;
    for counter in [at + 1, at + 2] {
        let letter = Letter { padded: padded.clone(), ..mallory.letter(&epoch, counter, "") };
        let again = mallory.deliver(&epoch, &epoch.seal(&letter));
        assert_eq!(bob.evil.deliver(again).await, Ok(()));
        assert_eq!(bob.told().await, []);
    }
    assert_eq!(bob.texts("mallory").await, ["said once"]);
    // No counter is missing: nothing is held behind a gap.
    bob.shows(mallory.text(&epoch, at + 3, "honest"), "honest").await;
}

/// The epoch's id is the one part of a header that no key vouches for until the epoch is there:
/// such a message waits, and so does one of a pair that is not known. Neither is shown; the honest
/// one, which has the same message id, is.
#[tokio::test]
async fn a_message_of_no_epoch_is_held() {
    let (_server, mut bob, mallory) = scene().await;
    let honest = mallory.text(&mallory.epoch, 0, "honest");
    for bit in 0..256 {
        let lie = flipped(&honest, 8 + bit / 8, bit % 8);
        assert_eq!(bob.evil.deliver(lie).await, Ok(()), "held");
    }
    for peer in [bob.user, hushwire_client::UserId([7; 32])] {
        let lie = Message { peer, ..honest.clone() };
        assert_eq!(bob.evil.deliver(lie).await, Ok(()), "held");
    }
    let other = Message { msg: Sealed::new(random_array::<364>().to_vec()), ..honest.clone() };
    assert_eq!(bob.evil.deliver(other).await, Err("BAD_CONTENT".to_owned()));
    assert_eq!(bob.told().await, []);
    bob.shows(honest, "honest").await;
}

/// 33: ephemeral messages that are lost, 3,000 of them, are nobody's loss: what is durable has no
/// gap before it. Their own window is 4,096 wide.
#[tokio::test]
async fn lost_ephemeral_messages_leave_no_gap() {
    let (_server, mut bob, mallory) = scene().await;
    let epoch = mallory.epoch.clone();
    let typing = |counter: u32| {
        let body = Body::Typing { on: true };
        let padded = Content { body, ..content("") }.to_padded().unwrap().to_vec();
        let letter = Letter { class: 17, lane: 1, padded, ..mallory.letter(&epoch, counter, "") };
        mallory.deliver(&epoch, &epoch.seal(&letter))
    };
    for counter in [0, 3_001] {
        assert_eq!(bob.evil.deliver(typing(counter)).await, Ok(()));
        let told = bob.told().await;
        assert!(matches!(told.as_slice(), [Event::Typing { on: true, .. }]), "{told:?}");
    }
    bob.refuses("mallory", typing(3_001), Code::Replay).await;
    bob.refuses("mallory", typing(3_002 + 4_097), Code::SkipLimit).await;
    for counter in [0, 1] {
        let text = format!("durable {counter}");
        bob.shows(mallory.text(&epoch, counter, &text), &text).await;
    }
    assert_eq!(bob.told().await, []);
    // A late one is still good, once.
    assert_eq!(bob.evil.deliver(typing(2_999)).await, Ok(()));
    assert_eq!(bob.told().await.len(), 1);
}

/// A message that never comes holds back those after it until `sync` was answered. What comes
/// between the question and its answer has a question of its own.
#[tokio::test]
async fn what_comes_while_a_gap_is_asked_about_is_shown_too() {
    let server = server();
    let (alice, mut bob) = contacts(&server).await;
    bob.evil.rule(|rules| {
        let (mut messages, mut answer) = (0, None);
        rules.to_client = Box::new(move |frame| {
            match frame.op {
                ServerOp::Message(_) => messages += 1,
                ServerOp::Ok {} if messages == 2 && answer.is_none() => {
                    answer = Some(frame);
                    return Vec::new();
                }
                _ => return vec![frame],
            }
            match messages {
                1 => Vec::new(),
                3 => [Some(frame), answer.take()].into_iter().flatten().collect(),
                _ => vec![frame],
            }
        });
    });
    for text in ["lost", "held", "later"] {
        alice.client.send_text("bob", text).await.unwrap();
    }
    assert_eq!(bob.texts_until("later").await, ["held", "later"]);
}

//! A server that accepts two epochs of one number, and races for the next one: nothing is lost,
//! nothing is shown twice, and a person is told of a fork.

use std::sync::{Arc, Mutex};

use hushwire_client::{Code, Event};
use hushwire_identity::{EpochHeader, Reason};
use hushwire_wire::frame::{Accepted, ClientOp, Message, Send, ServerOp};
use hushwire_wire::http::EpochPost;
use hushwire_wire::message::Upload;
use hushwire_wire::{EpochId, Reject, Sealed};

use crate::scene::Scene;
use crate::support::evil::Evil;
use crate::support::forge::Epoch;
use crate::support::person::now_ms;
use crate::support::victim::{Victim, alarms, contacts, server};

/// What the client sent, and what it is told in the server's place.
#[derive(Clone, Default)]
struct Sends(Arc<Mutex<Sent>>);

#[derive(Default)]
struct Sent {
    all: Vec<Send>,
    /// The next is told that its epoch is stale, which is a lie.
    lies_once: bool,
    /// All are told that they are accepted, and go nowhere.
    accepts: bool,
}

impl Sends {
    /// Of this client, from now on.
    fn of(evil: &Evil) -> Self {
        let sends = Self::default();
        let seen = sends.clone();
        evil.rule(|rules| {
            rules.lie = Box::new(move |frame| {
                let ClientOp::Send(send) = &frame.op else { return None };
                let sent = &mut *seen.0.lock().unwrap();
                sent.all.push(send.clone());
                if std::mem::take(&mut sent.lies_once) {
                    return Some(ServerOp::Reject(Reject::EpochStale {}));
                }
                let (sn, mid) = (send.sn, Upload::parse(&send.upload).unwrap().header.mid);
                let (delivered, skipped) = (Vec::new(), Vec::new());
                let accepted = Accepted { sn, mid, delivered, skipped };
                sent.accepts.then_some(ServerOp::Accepted(accepted))
            });
        });
        sends
    }

    fn lie_once(&self) {
        self.0.lock().unwrap().lies_once = true;
    }

    fn accept_all(&self) {
        self.0.lock().unwrap().accepts = true;
    }

    /// The epochs that messages were sealed under, oldest first.
    fn epochs(&self) -> Vec<EpochId> {
        let epoch = |send: &Send| Upload::parse(&send.upload).unwrap().header.epoch;
        self.0.lock().unwrap().all.iter().map(epoch).collect()
    }
}

/// Bob sends, and it is accepted.
async fn sends(bob: &mut Victim, text: &str) {
    let id = bob.client.send_text("mallory", text).await.unwrap();
    let accepted = |event: &Event| matches!(event, Event::Accepted { id: i, .. } if *i == id);
    bob.until(|event| accepted(event).then_some(())).await;
}

/// A sibling of an epoch, by Mallory: with a lower id or with a higher one.
fn sibling(scene: &Scene, of: EpochId, lower: bool) -> Epoch {
    let epoch = scene.mallory.next(1, &scene.mallory.epoch);
    (0..)
        .map(|ms| epoch.with(|header| header.created_ms += ms))
        .find(|sibling| (sibling.header.id() < of) == lower)
        .unwrap()
}

/// 11: bob has his epoch 1, and is shown Mallory's epoch 1. Both are readable; a person is told
/// once, and he makes the next epoch himself, on top of the lower id. Nothing is sent under the
/// higher.
#[tokio::test]
async fn siblings_are_readable_and_heal() {
    for lower in [true, false] {
        let mut scene = Scene::set().await;
        let sent = Sends::of(&scene.bob.evil);
        sent.lie_once();
        sends(&mut scene.bob, "under bob's epoch").await;
        let bobs = scene.opened(&sent.epochs()[1]).await;
        assert_eq!((bobs.header.n, sent.epochs().len()), (1, 2));
        let hers = sibling(&scene, bobs.header.id(), lower);
        let wrap = scene.mallory.wrap(&hers);
        scene.bob.evil.show(&hers.path(), &scene.mallory.bundle(&hers, wrap));
        let posts = scene.bob.evil.count("Post /v1/epochs");
        scene.bob.evil.lose("/v1/epochs");
        scene.bob.told().await;
        let verdict = scene.bob.evil.deliver(scene.mallory.text(&hers, 0, "under hers")).await;
        assert_eq!(verdict, Ok(()));
        assert_eq!(alarms(&scene.bob.told().await), [Code::Fork]);
        scene.bob.evil.called("Post /v1/epochs", posts + 1).await;
        let body = scene.bob.evil.bodies("Post /v1/epochs").pop().unwrap();
        let post: EpochPost = serde_json::from_slice(&body).unwrap();
        let next = EpochHeader::parse(post.epoch.header.as_bytes()).unwrap();
        let (lowest, reason) = (bobs.header.id().min(hers.header.id()), Reason::Heal);
        assert_eq!((next.n, next.prev, next.reason), (2, lowest.0, reason));
        for restarts in [false, true] {
            if restarts {
                scene.bob.restart().await;
            }
            let counter = u32::from(restarts);
            let (one, two) = (format!("one {restarts}"), format!("two {restarts}"));
            scene.bob.shows(scene.mallory.text(&bobs, counter, &one), &one).await;
            scene.bob.shows(scene.mallory.text(&hers, counter + 1, &two), &two).await;
            assert_eq!(alarms(&scene.bob.told().await), [], "told once");
        }
        // The server takes his next epoch after all.
        scene.bob.evil.rest();
        let sent = Sends::of(&scene.bob.evil);
        sent.accept_all();
        scene.bob.evil.show("/v1/epochs", &());
        let posts = scene.bob.evil.count("Post /v1/epochs");
        sends(&mut scene.bob, "under the lower id").await;
        scene.bob.clock.tick(10_000);
        scene.bob.evil.say(ServerOp::Pong {}).await;
        scene.bob.evil.called("Post /v1/epochs", posts + 1).await;
        sends(&mut scene.bob, "healed").await;
        let body = scene.bob.evil.bodies("Post /v1/epochs").pop().unwrap();
        let post: EpochPost = serde_json::from_slice(&body).unwrap();
        let wrap = post.epoch.wraps[0].wrap.as_bytes();
        let healed = scene.mallory.opens(post.epoch.header.as_bytes(), wrap);
        assert_eq!((healed.header.n, healed.header.prev), (2, lowest.0));
        assert_eq!(sent.epochs(), [lowest, healed.header.id()]);
        // It is sealed to the prekey that he made when he came back.
        scene.mallory.look().await;
        scene.bob.shows(scene.mallory.text(&healed, 0, "and back"), "and back").await;
        assert_eq!(alarms(&scene.bob.told().await), []);
    }
}

/// 11, bounded: four of one number, and no fifth.
#[tokio::test]
async fn a_fifth_sibling_is_refused() {
    let mut scene = Scene::set().await;
    let epoch = scene.honest();
    for ms in 0..4 {
        let sibling = epoch.with(|header| header.created_ms += ms);
        scene.takes(&sibling).await;
    }
    let fifth = epoch.with(|header| header.created_ms += 4);
    assert_eq!(scene.refuses(&fifth, Code::Limit).await, []);
    let next = scene.honest();
    scene.takes(&next).await;
}

/// 12: while bob posts his epoch 1, Mallory's is accepted. He verifies hers and sends under it;
/// nothing leaves under his.
#[tokio::test]
async fn nothing_is_sent_under_the_loser_of_a_race() {
    let mut scene = Scene::set().await;
    let sent = Sends::of(&scene.bob.evil);
    let posted: Arc<Mutex<Vec<EpochId>>> = Arc::default();
    let seen = Arc::clone(&posted);
    scene.bob.evil.rule(|rules| {
        rules.reply = Box::new(move |call, reply| {
            if call.path == "/v1/epochs" {
                assert_eq!(reply.status, 409);
                let post: EpochPost = serde_json::from_slice(call.body.as_ref().unwrap()).unwrap();
                let header = EpochHeader::parse(post.epoch.header.as_bytes()).unwrap();
                seen.lock().unwrap().push(header.id());
            }
            Ok(reply)
        });
    });
    let gate = scene.bob.evil.hold("/v1/epochs");
    sent.lie_once();
    let id = scene.bob.client.send_text("mallory", "after the race").await.unwrap();
    gate.reached().await;
    let winner = scene.honest();
    let wrap = scene.mallory.wrap(&winner);
    assert_eq!(scene.posts(&winner, &wrap).await, Ok(()));
    drop(gate);
    let accepted = |event: &Event| matches!(event, Event::Accepted { id: i, .. } if *i == id);
    scene.bob.until(|event| accepted(event).then_some(())).await;
    let loser = posted.lock().unwrap().clone();
    assert_eq!(loser.len(), 1);
    assert_eq!(sent.epochs(), [scene.mallory.epoch.header.id(), winner.header.id()]);
    assert!(!sent.epochs().contains(&loser[0]));
    assert_eq!(scene.received().await, winner.header.id(), "in her queue");
    scene.bob.shows(scene.mallory.text(&winner, 0, "and back"), "and back").await;
}

/// 12: the server keeps a ciphertext, calls its epoch stale, and delivers it beside the second
/// encryption: shown once, whichever comes first.
#[tokio::test]
async fn an_encryption_that_came_twice_is_shown_once() {
    let server = server();
    let (mut alice, mut bob) = contacts(&server).await;
    let sent = Sends::of(&alice.evil);
    let device = alice.client.account().await.unwrap().device;
    bob.evil.rule(|rules| rules.catches = true);
    for (text, kept_first) in [("one", true), ("two", false)] {
        sent.lie_once();
        let id = alice.client.send_text("bob", text).await.unwrap();
        alice.until(|event| matches!(event, Event::Sent(i) if *i == id).then_some(())).await;
        let second = bob.evil.caught().await;
        let sends = sent.0.lock().unwrap().all.clone();
        let upload = Upload::parse(&sends[sends.len() - 2].upload).unwrap();
        let kept = Message {
            n: 0,
            at: now_ms(),
            peer: alice.user,
            from_user: alice.user,
            from_device: device,
            msg: Sealed::new([upload.shared.as_bytes(), &upload.tag(0).unwrap()].concat()),
        };
        assert_ne!(kept.msg, second.msg);
        let both = if kept_first { [kept, second] } else { [second, kept] };
        let [first, then] = both;
        bob.shows(first, text).await;
        assert_eq!(bob.evil.deliver(then).await, Ok(()));
        assert_eq!(bob.told().await, []);
        // The sender may send the next one.
        alice
            .until(|event| matches!(event, Event::Accepted { id: i, .. } if *i == id).then_some(()))
            .await;
    }
    assert_eq!(bob.texts("alice").await, ["one", "two"]);
}

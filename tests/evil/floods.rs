//! Floods: a contact who posts epochs without end, a server that names them without end, and one
//! that calls every epoch stale. The work of a client is bounded, and it goes on afterwards.

use std::sync::{Arc, Mutex};

use hushwire_client::event::Trouble;
use hushwire_client::{Code, Event};
use hushwire_wire::Reject;
use hushwire_wire::frame::{ClientOp, ServerOp};
use hushwire_wire::http::ProblemCode;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::scene::Scene;
use crate::support::Server;
use crate::support::evil::PATIENCE;
use crate::support::stolen::{EPOCHS, PEERS};

/// So many epochs back are fetched at one occasion, at most, and the list of contacts.
const CALLS: usize = 1_024 + 1;
/// The longest wait after a refusal, in milliseconds.
const WAIT_MAX_MS: u64 = 150_000;

/// 26: Mallory posts epochs whose wraps do not open, one on top of the other. Bob makes the next
/// one at once, then ever more slowly; after the fourth in a row he is told who misbehaves. Nothing
/// of hers is shown, and what he makes himself is usable.
#[tokio::test]
async fn garbage_is_answered_by_an_own_epoch_and_ever_more_slowly() {
    let mut scene = Scene::set().await;
    scene.bob.told().await;
    let mut told = Vec::new();
    for round in 0..4 {
        let newest = scene.newest().await;
        let garbage = scene.mallory.after(&newest);
        assert_eq!(scene.posts(&garbage, &[0x99; 1168]).await, Ok(()));
        // At once, then after 10 s, 20 s, 40 s.
        if round > 0 {
            scene.bob.evil.called(&format!("Get {}", garbage.path()), 1).await;
            told.extend(scene.bob.told().await);
            assert_eq!(scene.bob.evil.count("Post /v1/epochs"), round, "not at once");
            scene.bob.clock.tick(5_000 << round);
            scene.bob.evil.say(ServerOp::Pong {}).await;
        }
        scene.bob.evil.called("Post /v1/epochs", round + 1).await;
        told.extend(scene.bob.told().await);
        let healed = scene.newest().await;
        assert_eq!(healed.n, garbage.header.n + 1);
    }
    told.extend(scene.bob.told().await);
    let misbehaves =
        |event: &Event| matches!(event, Event::Trouble { trouble: Trouble::Misbehaves, .. });
    assert_eq!(told.iter().filter(|event| misbehaves(event)).count(), 1, "{told:?}");
    assert_eq!(told.len(), 1, "{told:?}");
    // His own epoch carries on, both ways.
    let newest = scene.newest().await;
    let healed = scene.opened(&newest.epoch).await;
    scene.bob.shows(scene.mallory.text(&healed, 0, "peace"), "peace").await;
    scene.bob.client.send_text("mallory", "at last").await.unwrap();
    assert_eq!(scene.received().await, healed.header.id());
}

/// 26: the honest server counts epochs that nothing calls for.
#[tokio::test]
async fn the_server_counts_epochs() {
    let mut scene = Scene::set().await;
    scene.bob.close().await;
    let mut posted = 0;
    let refused = loop {
        let newest = scene.newest().await;
        let epoch = scene.mallory.after(&newest);
        let wrap = scene.mallory.wrap(&epoch);
        match scene.posts(&epoch, &wrap).await {
            Ok(()) => posted += 1,
            Err(problem) => break problem,
        }
    };
    assert_eq!(refused.code, ProblemCode::RateLimited);
    assert!(refused.retry_after_ms.is_some_and(|ms| ms > 50 * 60_000), "{refused:?}");
    assert!((1..=6).contains(&posted), "{posted}");
    // Whoever comes back takes them all.
    scene.bob.start();
    scene.bob.connected().await;
    let newest = scene.newest().await;
    assert_eq!(newest.n, posted);
    scene.bob.client.send_text("mallory", "under the last").await.unwrap();
    assert_eq!(scene.received().await, newest.epoch);
}

/// 26: a chain of epochs that has no beginning, named again and again. Nothing of it is kept, and
/// what is known goes on.
#[tokio::test]
async fn an_endless_chain_of_epochs_has_a_price() {
    let mut scene = Scene::set().await;
    scene.bob.evil.lose("/v1/epochs");
    let mut last = scene.mallory.epoch.clone();
    for n in 10_000..11_100 {
        let epoch = scene.mallory.next(n, &last);
        let bundle = scene.mallory.bundle(&epoch, vec![0; 1168]);
        scene.bob.evil.show(&epoch.path(), &bundle);
        last = epoch;
    }
    scene.bob.told().await;
    let before = scene.bob.rows();
    let calls = scene.bob.evil.calls().len();
    for _ in 0..3 {
        scene.names_newest(&last).await;
    }
    // Behind all of them in the same queue.
    let verdict = scene.bob.evil.deliver(scene.mallory.message(Vec::new())).await;
    assert_eq!(verdict, Err(Code::BadContent.as_str().to_owned()));
    let known = before.of(EPOCHS)[0].key.clone();
    for (space, key) in before.moved(&scene.bob.rows()) {
        assert!(space == PEERS || (space == EPOCHS && key != known), "{space}");
    }
    let calls = scene.bob.evil.calls().len() - calls;
    assert!(calls <= 4 * CALLS, "{calls}");
    let known = scene.mallory.text(&scene.mallory.epoch, 0, "known");
    scene.bob.shows(known, "known").await;
}

/// 26: a server that calls every epoch stale. The client makes one new epoch at once, and one more
/// after each wait; it sends its message once when the lies end.
#[tokio::test]
async fn a_server_that_calls_every_epoch_stale_is_not_asked_all_the_time() {
    // The server does not count epochs: the client has to hold itself back.
    let server = Server::start_with(&[
        ("limits.message_interval_ms", "0"),
        ("limits.epochs_per_hour", "0"),
        ("limits.epochs_per_day", "0"),
    ]);
    let mut scene = Scene::set_before(server).await;
    let lies = Arc::new(Mutex::new((true, 0)));
    let sent = Arc::new(Notify::new());
    let (seen, tells) = (Arc::clone(&lies), Arc::clone(&sent));
    scene.bob.evil.rule(|rules| {
        rules.lie = Box::new(move |frame| {
            let (lies, sends) = &mut *seen.lock().unwrap();
            if !matches!(frame.op, ClientOp::Send(_)) {
                return None;
            }
            *sends += 1;
            tells.notify_one();
            lies.then_some(ServerOp::Reject(Reject::EpochStale {}))
        });
    });
    let id = scene.bob.client.send_text("mallory", "once").await.unwrap();
    let accepted = |event: &Event| matches!(event, Event::Accepted { id: i, .. } if *i == id);
    let told = scene.bob.told().await;
    assert!(!told.iter().any(accepted));
    // Once more at once, under a new epoch; then once for each wait.
    for waits in 0..5 {
        while lies.lock().unwrap().1 < 2 + waits {
            timeout(PATIENCE, sent.notified()).await.expect("it is sent again");
        }
        scene.bob.told().await;
        assert_eq!(lies.lock().unwrap().1, 2 + waits);
        assert_eq!(scene.bob.evil.count("Post /v1/epochs"), 1 + waits);
        if waits == 4 {
            lies.lock().unwrap().0 = false;
        }
        scene.bob.clock.tick(WAIT_MAX_MS);
        // Heard of before it is missed.
        scene.bob.evil.say(ServerOp::Pong {}).await;
    }
    scene.bob.until(|event| accepted(event).then_some(())).await;
    assert_eq!(scene.bob.texts("mallory").await, ["once"]);
    let waiting = scene.bob.client.outbox().await.unwrap().waiting;
    assert!(waiting.iter().all(|waiting| waiting.accepted), "nothing is left to be sent");
}

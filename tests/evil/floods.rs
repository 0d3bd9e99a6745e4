//! Floods: a contact who posts epochs without end, a server that names them without end, and one
//! that calls every epoch stale. The work of a client is bounded, and it goes on afterwards.

use std::sync::{Arc, Mutex};

use hushwire_client::{Code, Event};
use hushwire_wire::Reject;
use hushwire_wire::frame::{ClientOp, EventKind, ServerOp};
use hushwire_wire::http::{Contact, ContactState, Contacts, EpochPost, EpochRef, ProblemCode};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::scene::Scene;
use crate::support::Server;
use crate::support::evil::PATIENCE;
use crate::support::forge::Epoch;

/// So often Mallory may post while nothing changed (CRYPTO, F22).
const AN_HOUR: usize = 6;
/// The longest wait after a refusal, in milliseconds.
const WAIT_MAX_MS: u64 = 150_000;
/// What an epoch may cost a client in calls: the list of contacts, and 16 epochs back.
const CALLS: usize = 1 + 16;

/// 26: wraps that do not open. The honest server counts epochs; the client looks at each, and its
/// state does not move.
#[tokio::test]
async fn a_contact_s_garbage_is_counted_by_the_server_and_refused_by_the_client() {
    let mut scene = Scene::set().await;
    scene.bob.told().await;
    let before = scene.bob.state("mallory").await;
    let calls = scene.bob.evil.calls().len();
    let mallory = &scene.mallory.person;
    let mut last = scene.mallory.epoch.clone();
    let mut posted = Vec::new();
    let refused = loop {
        let epoch = scene.mallory.next(last.header.n + 1, &last);
        let garbage = scene.mallory.posted(&epoch, &[0x99; 1168]);
        let post = EpochPost { peer: scene.bob.user, epoch: garbage };
        let reply = mallory.http.post("/v1/epochs", mallory.token(), &post).await;
        if !reply.status.is_success() {
            break reply.problem();
        }
        posted.push(epoch.clone());
        last = epoch;
    };
    assert_eq!(refused.code, ProblemCode::RateLimited);
    assert!(refused.retry_after_ms.is_some_and(|ms| ms > 50 * 60_000), "{refused:?}");
    assert!((1..=AN_HOUR).contains(&posted.len()), "{}", posted.len());
    // A message under the last one names what is wrong with it.
    let message = scene.mallory.text(&last, 0, "under garbage");
    let verdict = scene.bob.evil.deliver(message).await;
    assert_eq!(verdict, Err(Code::WrapInvalid.as_str().to_owned()));
    assert_eq!(scene.bob.told().await, []);
    assert!(scene.bob.state("mallory").await == before);
    let calls = scene.bob.evil.calls().len() - calls;
    assert!(calls <= (posted.len() + 1) * CALLS, "{calls}");
    let honest = scene.mallory.next(1, &scene.mallory.epoch);
    scene.takes(&honest).await;
}

/// What the server says of Mallory, with this as the newest epoch.
fn contacts(scene: &Scene, newest: &Epoch) -> Contacts {
    let request = hushwire_wire::Sealed::new(vec![0]);
    let newest = Some(EpochRef { n: newest.header.n, epoch: newest.header.id() });
    let (peer, state) = (scene.mallory.user(), ContactState::Active);
    Contacts { v: 9, contacts: vec![Contact { peer, state, request, newest }] }
}

/// 26: a chain of epochs that has no beginning, named again and again.
#[tokio::test]
async fn an_endless_chain_of_epochs_costs_little() {
    let mut scene = Scene::set().await;
    let mut last = scene.mallory.epoch.clone();
    for n in 1_000..1_040 {
        let epoch = scene.mallory.next(n, &last);
        let bundle = scene.mallory.bundle(&epoch, vec![0; 1168]);
        scene.bob.evil.show(&epoch.path(), &bundle);
        last = epoch;
    }
    scene.bob.evil.show("/v1/contacts", &contacts(&scene, &last));
    scene.bob.told().await;
    let before = scene.bob.state("mallory").await;
    let calls = scene.bob.evil.calls().len();
    for v in 0..10 {
        let peer = Some(scene.mallory.user());
        let event = hushwire_wire::frame::Event { v, kind: EventKind::Epoch, peer };
        scene.bob.evil.say(ServerOp::Event(event)).await;
    }
    // Behind all of them in the same queue.
    scene.bob.refuses("mallory", scene.mallory.message(Vec::new()), Code::BadContent).await;
    assert!(scene.bob.state("mallory").await == before);
    let known = scene.mallory.text(&scene.mallory.epoch, 0, "known");
    scene.bob.shows(known, "known").await;
    let calls = scene.bob.evil.calls().len() - calls;
    assert!(calls <= 11 * CALLS, "{calls}");
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

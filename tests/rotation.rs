//! Keys that wear out: prekeys are renewed daily, epochs after 7 days, while two people go on
//! talking through a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hushwire_client::ports::{Clock, SystemClock};
use hushwire_client::transport::{Call, Link, Method, Reply, Unreachable};
use hushwire_client::{
    Client, Device, Encoding, Event, NetTransport, Outside, StoreKey, Transport,
};
use support::Server;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
const DAY_MS: u64 = 86_400_000;

/// The system's clock, behind by so many milliseconds.
#[derive(Default)]
struct Behind(SystemClock, AtomicU64);

impl Clock for Behind {
    fn now_ms(&self) -> u64 {
        self.0.now_ms() - self.1.load(Ordering::Relaxed)
    }

    fn ticks_ms(&self) -> u64 {
        self.0.ticks_ms()
    }
}

/// The network, with a count of what is posted.
struct Counting {
    net: NetTransport,
    prekeys: AtomicU64,
    epochs: AtomicU64,
}

impl Transport for Counting {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, Unreachable>> {
        let count = match (call.method, call.path.as_str()) {
            (Method::Put, "/v1/prekey") => Some(&self.prekeys),
            (Method::Post, "/v1/epochs") => Some(&self.epochs),
            _ => None,
        };
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.net.call(call)
    }

    fn open(&self, encoding: Encoding) -> BoxFuture<'static, Result<Link, Unreachable>> {
        self.net.open(encoding)
    }
}

fn open(home: &Path) -> Device {
    Device::open(&home.join("store.db"), &StoreKey::File(home.join("store.key"))).unwrap()
}

async fn until(events: &mut Receiver<Event>, pick: impl Fn(&Event) -> bool) -> Event {
    let found = async {
        loop {
            let event = events.recv().await.expect("the client runs");
            if pick(&event) {
                return event;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("the event in time")
}

async fn start(device: Device, outside: Outside) -> (Client, Receiver<Event>) {
    let (client, mut events) = device.start(outside).unwrap();
    until(&mut events, |event| matches!(event, Event::Connected)).await;
    (client, events)
}

async fn reads(client: &Client, events: &mut Receiver<Event>, text: &str) {
    let event = until(events, |event| matches!(event, Event::MessageReceived(_))).await;
    let Event::MessageReceived(message) = event else { unreachable!() };
    assert_eq!(message.text, text);
    client.mark_shown(&message).await.unwrap();
}

#[tokio::test]
async fn a_worn_epoch_is_followed_by_one_under_the_newest_prekeys() {
    let server = Server::start_with(&[("limits.message_interval_ms", "0")]);
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let clock = Arc::new(Behind(SystemClock::default(), AtomicU64::new(8 * DAY_MS)));
    let counting = Arc::new(Counting {
        net: NetTransport::new(&server.url).unwrap(),
        prekeys: AtomicU64::new(0),
        epochs: AtomicU64::new(0),
    });
    let outside = || Outside {
        transport: Arc::clone(&counting) as Arc<dyn Transport>,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        encoding: Encoding::Cbor,
    };
    let mut people = Vec::new();
    for (home, name) in homes.iter().zip(["alice", "bob"]) {
        let mut device = open(home.path());
        device.register(&outside(), &server.url, name).await.unwrap();
        people.push(start(device, outside()).await);
    }
    let (bob, mut of_bob) = people.pop().unwrap();
    let (alice, mut of_alice) = people.pop().unwrap();
    alice.contacts_add("bob").await.unwrap();
    until(&mut of_bob, |event| matches!(event, Event::ContactRequest { .. })).await;
    bob.contacts_accept("alice").await.unwrap();
    until(&mut of_alice, |event| matches!(event, Event::ContactAccepted { .. })).await;
    alice.send_text("bob", "under the first epoch").await.unwrap();
    reads(&bob, &mut of_bob, "under the first epoch").await;
    let counts =
        || (counting.prekeys.load(Ordering::Relaxed), counting.epochs.load(Ordering::Relaxed));
    assert_eq!(counts(), (0, 0), "epoch 0 and the first prekeys came with the contact");

    // Eight days later both come back, bob first: new prekeys. The next message is due a new epoch.
    bob.close().await;
    alice.close().await;
    clock.1.store(0, Ordering::Relaxed);
    let (bob, mut of_bob) = start(open(homes[1].path()), outside()).await;
    bob.contacts().await.unwrap();
    let (alice, mut of_alice) = start(open(homes[0].path()), outside()).await;
    alice.send_text("bob", "under the second").await.unwrap();
    reads(&bob, &mut of_bob, "under the second").await;
    assert_eq!(counts(), (2, 1));
    bob.send_text("alice", "and back").await.unwrap();
    reads(&alice, &mut of_alice, "and back").await;
    assert_eq!(counts(), (2, 1), "one epoch serves both");
}

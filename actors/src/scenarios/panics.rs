//! Any actor breaks at any point: nothing accepted is lost, nothing is shown twice or out of
//! order, and everybody goes on.
//!
//! Devices behave as DELIVERY asks: they come back, send the same bytes again, keep what they have
//! seen. First the story runs undisturbed and every point that it reaches is counted; then it runs
//! again for each point, which breaks at its first, second, middle and last time.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::rc::Rc;

use hushwire_wire::frame::{Event, EventKind};
use hushwire_wire::message::Delivered;

use super::*;
use crate::fault::armed;
use crate::{Change, Readiness};

/// Every point where an actor may break.
const POINTS: &[&str] = &[
    "channel: a reply",
    "channel: an acknowledged message",
    "channel: the end",
    "lane: push",
    "ledger: half deleted",
    "ledger: half written",
    "limiter: admitted",
    "limiter: sweep",
    "queue: a reply",
    "queue: after a batch",
    "queue: before a batch",
    "queue: custody",
    "route: a copy",
    "route: accepted, not answered",
    "route: own copies",
    "session: a fact",
    "session: a frame",
    "session: admitted",
    "session: deliver",
    "session: signed in",
    "session: take a frame",
    "session: tick",
    "session: write",
    "store: a call",
    "store: half swept",
    "user: tell",
    "users: a note",
];
/// Messages that are sent.
const MESSAGES: u64 = 12;
/// Virtual time that a story may take.
const STORY: Duration = Duration::from_secs(600);
/// When the device comes that was away: after the sweeps of a minute.
const LATE: Duration = Duration::from_secs(65);
/// Virtual time between two messages: long enough for devices to be live.
const PAUSE: Duration = Duration::from_millis(400);
/// Virtual time until a device connects again.
const AGAIN: Duration = Duration::from_millis(300);

/// What has happened.
#[derive(Default)]
struct Story {
    /// What the sender was told to be accepted, and by whom it was not skipped.
    accepted: Vec<u64>,
    /// What each device has persisted, in the order in which it was shown.
    shown: BTreeMap<DeviceId, Vec<u64>>,
    /// What the sender was told to be delivered.
    delivered: HashSet<(DeviceId, Mid)>,
}

impl Story {
    fn is_over(&self, readers: &[DeviceId]) -> bool {
        let all = |device| self.shown.get(device).is_some_and(|s| s.len() as u64 == MESSAGES);
        self.accepted.len() as u64 == MESSAGES && readers.iter().all(all)
    }
}

/// A device that keeps the protocol, whatever becomes of its connections.
struct Device {
    u: u8,
    d: u8,
    /// Messages to send, the first of them under way.
    outbox: VecDeque<u64>,
    seen: HashSet<(DeviceId, Mid)>,
    /// It goes without a goodbye when it has seen so many, once.
    leaves_at: Option<usize>,
    story: Rc<RefCell<Story>>,
}

impl Device {
    fn new(u: u8, d: u8, story: &Rc<RefCell<Story>>) -> Self {
        let (outbox, seen) = (VecDeque::new(), HashSet::new());
        Self { u, d, outbox, seen, leaves_at: None, story: story.clone() }
    }

    async fn lives(mut self, world: &World, comes: Duration) {
        tokio::time::sleep(comes).await;
        let encoding = if self.d == 0 { Encoding::Cbor } else { Encoding::Json };
        loop {
            let mut client = world.connect(encoding);
            let _ = timeout(STORY, self.connection(&mut client)).await;
            drop(client);
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// One connection, until it ends.
    async fn connection(&mut self, client: &mut Client) -> Result<(), Option<Close>> {
        let hello = Client::hello(self.u, self.d, None);
        client.read().await?;
        client.op(hello).await;
        // An answer to a hello that never comes is a connection that ends.
        timeout(Duration::from_secs(20), client.read()).await.map_err(|_| None)??;
        let mut asked = None;
        let mut not_before = Instant::now();
        loop {
            if let (None, Some(&sn)) = (asked, self.outbox.front())
                && Instant::now() >= not_before
            {
                asked = Some(client.op(ClientOp::Send(text(0, 2, sn, 3))).await);
            }
            let Ok(frame) = timeout(Duration::from_millis(50), client.read()).await else {
                continue;
            };
            let frame = frame?;
            match frame.op {
                ServerOp::Message(message) => {
                    self.persist(&message);
                    if self.leaves_at.take_if(|at| self.seen.len() >= *at).is_some() {
                        return Err(None);
                    }
                    client.ack(message.n).await;
                }
                ServerOp::Notice(notice) => {
                    if let News::Delivered { mid, device } = notice.what {
                        self.story.borrow_mut().delivered.insert((device, mid));
                    }
                    client.ack(notice.n).await;
                }
                ServerOp::Accepted(accepted) if frame.id == asked => {
                    asked = None;
                    not_before = Instant::now() + PAUSE;
                    self.outbox.pop_front();
                    assert_eq!(accepted.skipped, []);
                    let mut story = self.story.borrow_mut();
                    story.accepted.push(accepted.sn);
                    story.delivered.extend(accepted.delivered.iter().map(|d| (*d, accepted.mid)));
                }
                ServerOp::Reject(
                    Reject::Unavailable { retry_after_ms }
                    | Reject::RateLimited { retry_after_ms, .. },
                ) => {
                    asked = None;
                    not_before = Instant::now() + Duration::from_millis(retry_after_ms);
                }
                ServerOp::Event(_) | ServerOp::Ok {} | ServerOp::Pong {} => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn persist(&mut self, message: &Message) {
        let mid = Delivered::parse(message.msg.as_bytes()).unwrap().header.mid;
        if self.seen.insert((message.from_device, mid)) {
            let sn = u64::from_be_bytes(*mid.0.last_chunk().unwrap());
            let mut story = self.story.borrow_mut();
            story.shown.entry(device(self.u, self.d)).or_default().push(sn);
        }
    }
}

/// Alice sends from one device and reads on another; Bob reads on two, of which one comes late.
async fn story(armed: Option<(&'static str, u32)>) -> (BTreeMap<&'static str, u32>, World) {
    let world = World::one_more([2, 2, 0, 0], unpaced());
    let told = Rc::new(RefCell::new(Story::default()));
    let mut sender = Device::new(1, 0, &told);
    sender.outbox.extend(1..=MESSAGES);
    let mut phone = Device::new(2, 0, &told);
    phone.leaves_at = Some(5);
    let readers = [device(1, 1), device(2, 0), device(2, 1)];
    armed::arm(armed);
    let ends = async {
        let mut v = 8;
        while !told.borrow().is_over(&readers) || armed::is_armed() {
            let event = Event { v, kind: EventKind::Epoch, peer: Some(user(2)) };
            let events = vec![(user(1), event)];
            world
                .engine
                .committed(Change { pairs: vec![(user(1), user(2))], events })
                .await
                .unwrap();
            v += 1;
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    };
    let everybody = async {
        tokio::join!(
            sender.lives(&world, Duration::ZERO),
            Device::new(1, 1, &told).lives(&world, Duration::from_millis(500)),
            phone.lives(&world, Duration::from_millis(10)),
            Device::new(2, 1, &told).lives(&world, LATE),
        )
    };
    let over = timeout(STORY, async {
        tokio::select! {
            () = ends => {}
            _ = everybody => unreachable!("devices live for ever"),
        }
    });
    let over = over.await;
    let told = told.borrow();
    assert!(over.is_ok(), "{armed:?}: it stalls: {:?} {:?}", told.accepted, told.shown);
    let expected: Vec<_> = (1..=MESSAGES).collect();
    assert_eq!(told.accepted, expected, "{armed:?}");
    for reader in &readers {
        assert_eq!(told.shown[reader], expected, "{armed:?}: {reader:?}");
    }
    for (device, mid) in &told.delivered {
        let sn = u64::from_be_bytes(*mid.0.last_chunk().unwrap());
        assert!(told.shown[device].contains(&sn), "{armed:?}: a false delivered");
    }
    (armed::reached(), world)
}

#[test]
fn a_panic_anywhere_loses_nothing_and_everybody_goes_on() {
    let (reached, _) = alone(story(None));
    for point in POINTS {
        assert!(reached.contains_key(point), "the story does not reach {point}");
    }
    assert_eq!(reached.len(), POINTS.len(), "unknown points: {:?}", reached.keys());
    for (&point, &times) in &reached {
        for nth in [1, 2, times.div_ceil(2), times] {
            if nth <= times {
                alone(async {
                    let (_, world) = story(Some((point, nth))).await;
                    // A service that broke once is up again, and nothing counts a session's panic.
                    tokio::time::sleep(Duration::from_secs(90)).await;
                    assert_eq!(world.engine.is_ready(), Readiness::Ready, "{point}");
                });
            }
        }
    }
}

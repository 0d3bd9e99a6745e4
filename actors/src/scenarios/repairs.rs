//! What breaks beside the way of a message is whole again: two nodes and their words, what only
//! live devices hear, calls, blocks, expiry, revocations, and a drain. Each story is told with
//! every point broken in turn; and one of a service that breaks again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use hushwire_wire::frame::{CallAct, Event, EventKind, SkipReason};

use super::live::{show, step, typing};
use super::nodes::two_more;
use super::*;
use crate::fault::armed;
use crate::{Change, Readiness};

/// Points that the story of one node does not break, or not in all their places.
const POINTS: &[&str] = &[
    "bus: a beat",
    "bus: a word",
    "bus: missed",
    "bus: published",
    "bus: words",
    "lane: pass",
    "ledger: half dropped",
    "presence: a pair",
    "session: an ephemeral message",
    "signaling: a fact",
    "signaling: effects",
    "store: half revoked",
    "store: half swept",
];
/// Virtual time that anything may take to be whole again.
const WHOLE: Duration = Duration::from_secs(200);
/// Virtual time until a device connects again, or tries again.
const AGAIN: Duration = Duration::from_millis(300);

type Armed = Option<(&'static str, u32)>;

/// A device that keeps the protocol, and comes back whenever its connection ends.
struct Hand<'a> {
    world: &'a World,
    armed: Armed,
    u: u8,
    d: u8,
    client: Option<Client>,
    closed: Option<Close>,
    /// What it persisted, by sender and number.
    got: BTreeSet<(DeviceId, u64)>,
    /// What others were said to have.
    delivered: BTreeSet<(DeviceId, u64)>,
    expired: BTreeSet<(DeviceId, u64)>,
    typed: bool,
    /// Whether this connection shows itself, and was told that the other is there.
    shows: bool,
    there: bool,
    calls: Vec<(u8, CallAct)>,
}

fn sn_of(mid: Mid) -> u64 {
    u64::from_be_bytes(*mid.0.last_chunk().unwrap())
}

impl<'a> Hand<'a> {
    fn new(world: &'a World, armed: Armed, u: u8, d: u8) -> Self {
        let (got, delivered, expired) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self {
            world,
            armed,
            u,
            d,
            client: None,
            closed: None,
            got,
            delivered,
            expired,
            typed: false,
            shows: false,
            there: false,
            calls: Vec::new(),
        }
    }

    fn fails(&self, what: &str) -> ! {
        panic!("{:?}: {}/{}: {what}", self.armed, self.u, self.d)
    }

    /// Its connection, opened again if it ended.
    async fn client(&mut self) -> Option<&mut Client> {
        if self.client.is_none() {
            (self.shows, self.there) = (false, false);
            self.client = self.connect().await;
        }
        self.client.as_mut()
    }

    async fn connect(&self) -> Option<Client> {
        let encoding = if self.d == 0 { Encoding::Cbor } else { Encoding::Json };
        let mut client = self.world.connect(encoding);
        let signed_in = async {
            client.read().await?;
            client.op(Client::hello(self.u, self.d, None)).await;
            client.read().await
        };
        match timeout(Duration::from_secs(20), signed_in).await {
            Ok(Ok(frame)) if matches!(frame.op, ServerOp::Welcome(_)) => Some(client),
            _ => {
                tokio::time::sleep(AGAIN).await;
                None
            }
        }
    }

    /// The next frame, if one comes so soon; it is taken note of.
    async fn hear(&mut self, wait: Duration) -> Option<ServerFrame> {
        let client = self.client().await?;
        match timeout(wait, client.read()).await {
            Err(_) => None,
            Ok(Err(close)) => {
                self.closed = close;
                self.client = None;
                tokio::time::sleep(AGAIN).await;
                None
            }
            Ok(Ok(frame)) => {
                self.note(&frame.op).await;
                Some(frame)
            }
        }
    }

    async fn note(&mut self, op: &ServerOp) {
        let n = match op {
            ServerOp::Message(message) => {
                let parsed = hushwire_wire::message::Delivered::parse(message.msg.as_bytes());
                self.got.insert((message.from_device, sn_of(parsed.unwrap().header.mid)));
                message.n
            }
            ServerOp::Notice(notice) => {
                match notice.what {
                    News::Delivered { mid, device } => {
                        self.delivered.insert((device, sn_of(mid)));
                    }
                    News::Expired { mid, device } => {
                        self.expired.insert((device, sn_of(mid)));
                    }
                    _ => {}
                }
                notice.n
            }
            ServerOp::Ephemeral(_) => return self.typed = true,
            ServerOp::Presence(presence) => return self.there = presence.on,
            ServerOp::Call(call) => return self.calls.push((call.call_id.0[0], call.act)),
            _ => return,
        };
        if let Some(client) = &mut self.client {
            client.ack(n).await;
        }
    }

    /// Asks until it is answered with more than that it should come again.
    async fn ask(&mut self, op: impl Fn() -> ClientOp) -> ServerOp {
        let until = Instant::now() + WHOLE;
        while Instant::now() < until {
            let Some(client) = self.client().await else { continue };
            let id = client.op(op()).await;
            let answered = timeout(Duration::from_secs(12), async {
                while self.client.is_some() {
                    let frame = self.hear(AGAIN).await;
                    if let Some(frame) = frame.filter(|frame| frame.id == Some(id)) {
                        return Some(frame.op);
                    }
                }
                None
            });
            match answered.await.ok().flatten() {
                Some(ServerOp::Reject(
                    Reject::Unavailable { retry_after_ms }
                    | Reject::RateLimited { retry_after_ms, .. },
                )) => tokio::time::sleep(Duration::from_millis(retry_after_ms)).await,
                Some(op) => return op,
                None => {}
            }
        }
        self.fails("no answer")
    }

    /// Sends a text to Bob until it is accepted. Whom it skips.
    async fn say(&mut self, sender: u8, sn: u64) -> Vec<(DeviceId, SkipReason)> {
        match self.ask(|| ClientOp::Send(text(sender, 2, sn, 2))).await {
            ServerOp::Accepted(accepted) => {
                self.delivered.extend(accepted.delivered.into_iter().map(|d| (d, sn)));
                accepted.skipped.into_iter().map(|s| (s.device, s.why)).collect()
            }
            other => self.fails(&format!("{sn} is refused: {other:?}")),
        }
    }

    /// Whether it comes to that within so long.
    async fn comes_to(&mut self, wait: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + wait;
        while !done(self) {
            if Instant::now() >= until {
                return false;
            }
            self.hear(Duration::from_millis(100)).await;
        }
        true
    }

    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        if !self.comes_to(WHOLE, done).await {
            self.fails(what);
        }
    }

    /// Until it has a text of Alice.
    async fn has(&mut self, sn: u64) {
        self.until("a message is lost", |hand| hand.got.contains(&(device(1, 0), sn))).await;
    }

    async fn shows_itself(&mut self, to: u8) {
        if !self.shows {
            self.shows = self.ask(|| show(&[to])).await == ServerOp::Ok {};
        }
    }

    fn has_heard(&self, call: u8, act: CallAct) -> bool {
        self.calls.contains(&(call, act))
    }

    /// It goes without a goodbye.
    async fn leaves(&mut self) {
        self.client = None;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A call that is answered and ended, tried until it is.
async fn call(alice: &mut Hand<'_>, tablet: &mut Hand<'_>) {
    let soon = Duration::from_secs(3);
    let until = Instant::now() + WHOLE;
    for id in 1..=u8::MAX {
        if Instant::now() > until {
            break;
        }
        let rings = alice.ask(|| step(2, id, CallAct::Ring, None)).await == ServerOp::Ok {}
            && tablet.comes_to(soon, |hand| hand.has_heard(id, CallAct::Ring)).await
            && tablet.ask(|| step(1, id, CallAct::Answer, None)).await == ServerOp::Ok {}
            && alice.comes_to(soon, |hand| hand.has_heard(id, CallAct::Answer)).await
            && alice.ask(|| step(2, id, CallAct::End, None)).await == ServerOp::Ok {}
            && tablet.comes_to(soon, |hand| hand.has_heard(id, CallAct::End)).await;
        if rings {
            return;
        }
    }
    alice.fails("no call is possible any more");
}

/// How often each point was reached: before the drain, and from then on.
type Reached = [BTreeMap<&'static str, u32>; 2];

/// Alice and Carol are on one node with Bob's tablet, his phone is on another. A point may break
/// when it is reached so often, or for the first time in the drain.
async fn story(armed: Armed, leaving: Option<&'static str>) -> Reached {
    let limits = Limits { expire_after_ms: 60_000, calls_per_user: 1, ..unpaced() };
    let (one, two, bus) = two_more([1, 2, 1, 0], limits);
    let mut alice = Hand::new(&one, armed, 1, 0);
    let mut carol = Hand::new(&one, armed, 3, 0);
    let mut phone = Hand::new(&two, armed, 2, 0);
    let mut tablet = Hand::new(&one, armed, 2, 1);
    armed::arm(armed);
    for hand in [&mut alice, &mut phone, &mut tablet] {
        assert_eq!(hand.ask(|| ClientOp::Sync {}).await, ServerOp::Ok {});
    }

    // Messages between the nodes; the word of the second is lost.
    tokio::join!(alice.say(0, 1), phone.has(1), tablet.has(1));
    bus.routes.store(true, Ordering::Relaxed);
    tokio::join!(alice.say(0, 2), phone.has(2), tablet.has(2));
    bus.routes.store(false, Ordering::Relaxed);

    // What only live devices hear.
    let until = Instant::now() + WHOLE;
    while !tablet.typed {
        assert!(Instant::now() < until, "{armed:?}: no typing sign arrives any more");
        if let Some(client) = alice.client().await {
            client.op(typing(0, 2, 2)).await;
        }
        tablet.comes_to(Duration::from_millis(3_100), |hand| hand.typed).await;
        alice.hear(AGAIN).await;
    }
    while !(alice.there && tablet.there) {
        assert!(Instant::now() < until, "{armed:?}: nobody is there any more");
        alice.shows_itself(2).await;
        tablet.shows_itself(1).await;
        let second = Duration::from_secs(1);
        tokio::join!(
            alice.comes_to(second, |hand| hand.there),
            tablet.comes_to(second, |hand| hand.there)
        );
    }
    call(&mut alice, &mut tablet).await;
    // They part during a call: it ends, at the latest by its own time, and leaves its place.
    assert_eq!(alice.ask(|| step(2, 0, CallAct::Ring, None)).await, ServerOp::Ok {});
    let event = Event { v: 8, kind: EventKind::Removed, peer: Some(user(2)) };
    let pairs = vec![(user(1), user(2))];
    one.engine.committed(Change { pairs, events: vec![(user(1), event)] }).await.unwrap();
    tablet.comes_to(Duration::from_secs(50), |hand| hand.has_heard(0, CallAct::End)).await;
    call(&mut alice, &mut tablet).await;

    // Bob blocks Carol while his phone is away.
    phone.leaves().await;
    assert_eq!(carol.say(2, 1).await, []);
    tokio::join!(alice.say(0, 3), tablet.has(3));
    let until = Instant::now() + WHOLE;
    while one.engine.drop_from(&[device(2, 0)], user(3)).await.is_err() {
        assert!(Instant::now() < until, "{armed:?}: nobody can be blocked any more");
        tokio::time::sleep(AGAIN).await;
    }
    phone.has(3).await;
    assert_eq!(phone.ask(|| ClientOp::Sync {}).await, ServerOp::Ok {});
    assert!(!phone.got.contains(&(device(3, 0), 1)), "{armed:?}: from a blocked user");

    // A message expires.
    phone.leaves().await;
    tokio::join!(alice.say(0, 4), tablet.has(4));
    let expires = |hand: &Hand<'_>| hand.expired.contains(&(device(2, 0), 4));
    tokio::join!(
        alice.until("it is not told of what expired", expires),
        tablet.comes_to(Duration::from_secs(100), |_| false),
    );

    // The tablet is revoked.
    let until = Instant::now() + WHOLE;
    while one.engine.revoke(user(2), &[device(2, 1)]).await.is_err() {
        assert!(Instant::now() < until, "{armed:?}: nothing can be revoked any more");
        tokio::time::sleep(AGAIN).await;
    }
    tablet.comes_to(Duration::from_secs(2), |hand| hand.client.is_none()).await;
    assert!(tablet.connect().await.is_none(), "{armed:?}: a revoked device signs in");
    let (skipped, ()) = tokio::join!(alice.say(0, 5), phone.has(5));
    assert_eq!(skipped, [(device(2, 1), SkipReason::Revoked)], "{armed:?}");

    // The phone's node goes away; its messages do not.
    let before = armed::reached();
    if armed.is_none() {
        armed::arm(leaving.map(|point| (point, 1)));
    }
    let armed = armed.or(leaving.map(|point| (point, 0)));
    let began = Instant::now();
    let goes = async {
        two.engine.drain().await;
        assert!(began.elapsed() < Duration::from_secs(30), "{armed:?}: a drain that takes long");
    };
    let stays = async {
        while phone.client.is_some() {
            let Some(client) = &mut phone.client else { break };
            // It does not acknowledge what comes now.
            if !matches!(timeout(WHOLE, client.read()).await, Ok(Ok(_))) {
                phone.client = None;
            }
        }
    };
    let (skipped, (), ()) = tokio::join!(alice.say(0, 6), goes, stays);
    assert_eq!(skipped, [(device(2, 1), SkipReason::Revoked)], "{armed:?}");
    assert_eq!(two.engine.is_ready(), Readiness::Draining);
    assert_eq!(two.engine.counts().sockets, 0, "{armed:?}");
    phone.world = &one;
    phone.has(6).await;
    assert_eq!(alice.ask(|| ClientOp::Sync {}).await, ServerOp::Ok {});

    for (who, sn) in &alice.delivered {
        let reader = if *who == device(2, 0) { &phone } else { &tablet };
        assert!(reader.got.contains(&(device(1, 0), *sn)), "{armed:?}: a false delivered");
    }
    drop((alice, carol, phone, tablet));
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(one.engine.is_ready(), Readiness::Ready, "{armed:?}");
    let counts = one.engine.counts();
    assert_eq!((counts.sockets, counts.devices, counts.users), (0, 0, 0), "{armed:?}");
    assert_eq!((counts.queued_messages, counts.queued_bytes), (0, 0), "{armed:?}");
    [before, armed::reached()]
}

#[test]
fn what_breaks_beside_the_messages_is_whole_again() {
    let [before, leaving] = alone(story(None, None));
    for &point in POINTS {
        let times = [&before, &leaving].iter().filter_map(|reached| reached.get(point)).sum();
        assert!(times > 0, "{point} is not reached");
        for nth in BTreeSet::from([1, 2, 3, 4, u32::div_ceil(times, 2), times]) {
            if nth <= times {
                alone(story(Some((point, nth)), None));
            }
        }
    }
    for point in leaving.into_keys() {
        alone(story(None, Some(point)));
    }
}

#[actix::test]
async fn a_service_that_breaks_again_and_again_says_so_and_loses_nothing() {
    tokio::time::pause();
    for point in ["queue: before a batch", "queue: after a batch", "queue: a reply"] {
        let world = World::one_more([1, 1, 0, 0], unpaced());
        let mut alice = world.json(1, 0).await;
        armed::always(Some(point));
        // Bob is away: nobody can take custody of it.
        let refused = alice.send(text(0, 2, 1, 1)).await;
        assert!(matches!(refused, Err(Reject::Unavailable { .. })), "{point}: {refused:?}");
        for second in 0..60 {
            assert_eq!(world.engine.issue_nonce().await, Err(Unavailable), "{point}");
            tokio::time::sleep(Duration::from_secs(1)).await;
            let ready = world.engine.is_ready();
            let says_so = ready == Readiness::Failing { what: "queue" };
            assert!(says_so || second < 3, "{point}: {ready:?} after {second} s");
        }
        armed::always(None);
        let mut hand = Hand::new(&world, Some((point, 0)), 1, 0);
        for sn in 1..=3 {
            let accepted = hand.ask(|| ClientOp::Send(text(0, 2, sn, 1))).await;
            assert!(matches!(accepted, ServerOp::Accepted(_)), "{point}: {accepted:?}");
        }
        let mut bob = Hand::new(&world, Some((point, 0)), 2, 0);
        for sn in 1..=3 {
            bob.has(sn).await;
        }
        tokio::time::sleep(Duration::from_secs(70)).await;
        assert_eq!(world.engine.is_ready(), Readiness::Ready, "{point}");
    }
}

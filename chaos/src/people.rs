//! People: each a device with the real SDK, a durable store and a thread of its own, that says
//! numbered lines to its neighbours in a ring, ends, is killed, and comes back.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hushwire_client::{
    Client, ClientError, Device as Sdk, DeviceId, Encoding, Event, Id, Message, NetTransport,
    OpenStoreError, Outside, Stage, Standing, StoreKey,
};
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, sleep_until, timeout};

use crate::dice::Dice;
use crate::journal::{Device, Fact, Journal, Line};
use crate::tap::Tap;

/// What every line contains, and no log may.
pub const CANARY: &str = "canary-7f3a";
/// Lines of one device that are not accepted yet, at most; then it waits.
const UNACCEPTED_MAX: usize = 30;
/// How long a lock of a store may be held that nobody wants: a server that is started at this
/// moment holds it between its fork and its first instruction.
const LOCK_WITHIN: Duration = Duration::from_secs(30);
/// How long registering may take.
const REGISTER_WITHIN: Duration = Duration::from_secs(120);
/// How many of 1,000 turns to speak make a new key instead.
const RENEWS: u16 = 30;
/// How often a device looks what the run wants of it.
const LOOK: Duration = Duration::from_millis(100);
/// How many lines of a history are read at the end: all.
const HISTORY_MAX: usize = 10_000_000;

/// What the run wants of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Register, and become contacts.
    Meet,
    /// Talk, and die at times.
    Talk,
    /// Say nothing new, and stay.
    Rest,
    /// Tell what is in the history, and end.
    Over,
}

/// What the devices share.
#[derive(Debug)]
pub struct World {
    /// Where everything is written.
    pub journal: Arc<Journal>,
    /// The servers' address.
    pub url: String,
    /// The seed of the run.
    pub seed: u64,
    /// How many there are.
    pub devices: Device,
    /// The mean time between two lines of a device.
    pub pace: Duration,
    /// Whether devices end and are killed.
    pub die: bool,
    phase: AtomicU8,
    registered: AtomicUsize,
    met: AtomicUsize,
    waiting: Vec<AtomicUsize>,
    /// Programs that were killed.
    pub killed: AtomicU64,
    /// Programs that ended in good order, and came back.
    pub closed: AtomicU64,
    /// Keys of a conversation that people had made anew: what waits is encrypted again under them.
    pub renewed: AtomicU64,
    /// Devices whose connection ended for good, though nobody wanted that: their program was
    /// started again.
    pub stranded: AtomicU64,
    troubles: Mutex<Vec<String>>,
}

impl World {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(url: String, seed: u64, devices: Device, pace: Duration, die: bool) -> Self {
        Self {
            journal: Arc::default(),
            url,
            seed,
            devices,
            pace,
            die,
            phase: AtomicU8::new(0),
            registered: AtomicUsize::new(0),
            met: AtomicUsize::new(0),
            waiting: (0..devices).map(|_| AtomicUsize::new(usize::MAX)).collect(),
            killed: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            renewed: AtomicU64::new(0),
            stranded: AtomicU64::new(0),
            troubles: Mutex::default(),
        }
    }

    /// Goes on to the next phase.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Meet,
            1 => Phase::Talk,
            2 => Phase::Rest,
            _ => Phase::Over,
        }
    }

    /// Whether all are contacts of their neighbours.
    #[must_use]
    pub fn have_met(&self) -> bool {
        self.met.load(Ordering::SeqCst) == usize::from(self.devices)
    }

    /// How many devices have something in their outbox, or did not say yet.
    #[must_use]
    pub fn busy(&self) -> usize {
        let is_busy = |waiting: &&AtomicUsize| waiting.load(Ordering::SeqCst) > 0;
        self.waiting.iter().filter(is_busy).count()
    }

    /// What went wrong with devices, in words.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn neighbours(&self, device: Device) -> Vec<Device> {
        let n = self.devices;
        let mut all = vec![(device + 1) % n, (device + n - 1) % n];
        all.dedup();
        all
    }
}

fn name(device: Device) -> String {
    format!("chaos_{device:03}")
}

fn words(line: Line) -> String {
    format!("{CANARY} {}>{} #{}", line.from, line.to, line.n)
}

/// The line in a message, if it is one, from the one to the other.
fn line(text: &str, from: Device, to: Device) -> Option<Line> {
    let n = text.rsplit_once('#')?.1.parse().ok()?;
    let line = Line { from, to, n };
    (words(line) == text).then_some(line)
}

/// How a life ends.
enum End {
    /// The program ends in good order.
    Close,
    /// It is killed where it stands.
    Kill,
    /// Its connection ended for good.
    Stranded,
    /// The run is over.
    Over,
}

/// A person and what it remembers from life to life, beside what its device stores.
struct Person<'a> {
    world: &'a World,
    me: Device,
    home: TempDir,
    id: Option<DeviceId>,
    dice: Dice,
    next: HashMap<Device, u32>,
    lines: HashMap<Id, Line>,
    /// Said and not accepted, as far as is known.
    unaccepted: usize,
    has_met: bool,
}

/// Lives all lives of a device, on a thread of its own. What goes wrong is among the troubles.
pub fn live(world: &World, me: Device) {
    let lived = Person::new(world, me).and_then(|mut person| person.live());
    if let Err(why) = lived {
        world.lock().push(format!("device {me}: {why}"));
    }
}

impl<'a> Person<'a> {
    fn new(world: &'a World, me: Device) -> Result<Self, String> {
        Ok(Self {
            world,
            me,
            home: TempDir::new().map_err(|error| error.to_string())?,
            id: None,
            dice: Dice::new(world.seed, 1_000_000 + u64::from(me)),
            next: HashMap::new(),
            lines: HashMap::new(),
            unaccepted: 0,
            has_met: false,
        })
    }

    fn live(&mut self) -> Result<(), String> {
        runtime()?.block_on(self.register())?;
        loop {
            let runtime = runtime()?;
            self.world.journal.add(Fact::Began(self.me));
            let end = runtime.block_on(self.life())?;
            if matches!(end, End::Kill) {
                self.world.journal.add(Fact::Killed(self.me));
            }
            // All tasks of the device end where they stand, and its connections with them.
            drop(runtime);
            match end {
                End::Over => return Ok(()),
                End::Kill => self.world.killed.fetch_add(1, Ordering::Relaxed),
                End::Close => self.world.closed.fetch_add(1, Ordering::Relaxed),
                End::Stranded => self.world.stranded.fetch_add(1, Ordering::Relaxed),
            };
            self.stay_away();
        }
    }

    /// Mostly a moment, at times longer.
    fn stay_away(&mut self) {
        let longest = if self.dice.per_mille(300) { 12_000 } else { 500 };
        let until = Instant::now() + Duration::from_millis(self.dice.between(0, longest));
        while Instant::now() < until && self.world.phase() == Phase::Talk {
            std::thread::sleep(LOOK);
        }
    }

    fn outside(&self) -> Result<Outside, String> {
        let net = NetTransport::new(&self.world.url).map_err(|error| error.to_string())?;
        let tap = Tap::new(net, Arc::clone(&self.world.journal), self.id.map(|id| (self.me, id)));
        let encoding = if self.me.is_multiple_of(2) { Encoding::Cbor } else { Encoding::Json };
        Ok(Outside { encoding, ..Outside::new(Arc::new(tap)) })
    }

    async fn register(&mut self) -> Result<(), String> {
        let (outside, mut device) = (self.outside()?, open(self.home.path())?);
        let name = name(self.me);
        let done = timeout(REGISTER_WITHIN, device.register(&outside, &self.world.url, &name));
        done.await.map_err(|_| "registering takes too long")?.map_err(|error| error.to_string())?;
        let (client, _events) = device.start(outside).map_err(|error| error.to_string())?;
        let account = client.account().await.map_err(|error| error.to_string())?;
        self.id = Some(account.device);
        client.close().await;
        self.world.registered.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// One life of its program.
    async fn life(&mut self) -> Result<End, String> {
        let device = open(self.home.path())?;
        let (client, events) = device.start(self.outside()?).map_err(|e| e.to_string())?;
        let lives = Duration::from_millis(self.dice.between(1_000, 15_000));
        let dies = tokio::time::Instant::now() + lives;
        let is_killed = self.dice.per_mille(500);
        let world = self.world;
        let death = async {
            sleep_until(dies).await;
            while !(world.die && world.phase() == Phase::Talk) {
                sleep(LOOK).await;
            }
        };
        let end = tokio::select! {
            end = self.days(&client, events) => end?,
            () = death => if is_killed { End::Kill } else { End::Close },
        };
        if matches!(end, End::Close | End::Over | End::Stranded) {
            client.close().await;
            self.world.journal.add(Fact::Closed(self.me));
        }
        Ok(end)
    }

    async fn days(&mut self, client: &Client, mut events: Receiver<Event>) -> Result<End, String> {
        let mut next = Instant::now();
        loop {
            let heard = timeout(LOOK.min(self.world.pace / 4), events.recv()).await;
            match heard {
                Ok(Some(Event::Disconnected { retry_in_ms: None, .. })) => {
                    return Ok(End::Stranded);
                }
                Ok(Some(event)) => self.hear(client, event).await?,
                Ok(None) => return Err("its program ended by itself".to_owned()),
                Err(_) => {}
            }
            if Instant::now() < next {
                continue;
            }
            let pause = match self.world.phase() {
                Phase::Meet => {
                    self.meet(client).await;
                    Duration::from_millis(300)
                }
                Phase::Talk => {
                    self.talk(client).await?;
                    let pace = u64::try_from(self.world.pace.as_millis()).unwrap_or(u64::MAX);
                    Duration::from_millis(self.dice.between(pace / 3, pace * 5 / 3))
                }
                Phase::Rest => {
                    self.look(client).await?;
                    Duration::from_millis(500)
                }
                Phase::Over => {
                    self.leave_nothing(client).await?;
                    self.remember(client).await?;
                    return Ok(End::Over);
                }
            };
            next = Instant::now() + pause;
        }
    }

    /// Asks one neighbour, accepts the other. What fails is tried again.
    async fn meet(&mut self, client: &Client) {
        let everybody = self.world.registered.load(Ordering::SeqCst);
        if self.has_met || everybody < usize::from(self.world.devices) {
            return;
        }
        let Ok(cards) = client.contacts().await else { return };
        let neighbours = self.world.neighbours(self.me);
        let active = cards.iter().filter(|card| card.standing == Standing::Active).count();
        if active == neighbours.len() {
            self.has_met = true;
            self.world.met.fetch_add(1, Ordering::SeqCst);
            return;
        }
        for card in cards.iter().filter(|card| card.standing == Standing::AsksMe) {
            let _ = client.contacts_accept(&card.handle).await;
        }
        let next = name((self.me + 1) % self.world.devices);
        let asks = self.world.devices > 2 || self.me == 0;
        if asks && !cards.iter().any(|card| card.handle == next) {
            let _ = client.contacts_add(&next).await;
        }
    }

    async fn talk(&mut self, client: &Client) -> Result<(), String> {
        if self.world.journal.is_full() {
            return Ok(());
        }
        if self.unaccepted >= UNACCEPTED_MAX {
            let outbox = client.outbox().await.map_err(|error| error.to_string())?;
            self.unaccepted = outbox.unaccepted();
            if self.unaccepted >= UNACCEPTED_MAX {
                return Ok(());
            }
        }
        let neighbours = self.world.neighbours(self.me);
        let to = neighbours[self.dice.below(neighbours.len())];
        if self.dice.per_mille(RENEWS) {
            if client.renew_key(&name(to)).await.is_ok() {
                self.world.renewed.fetch_add(1, Ordering::Relaxed);
            }
            return Ok(());
        }
        let n = self.next.entry(to).or_default();
        let line = Line { from: self.me, to, n: *n };
        *n += 1;
        self.world.journal.add(Fact::Says(line));
        match client.send_text(&name(to), &words(line)).await {
            Ok(id) => {
                self.world.journal.add(Fact::Said(line));
                self.lines.insert(id, line);
                self.unaccepted += 1;
                Ok(())
            }
            Err(ClientError::Closed | ClientError::Store(_)) => Err("its store failed".to_owned()),
            Err(_) => {
                self.world.journal.add(Fact::Unsaid(line));
                Ok(())
            }
        }
    }

    async fn hear(&mut self, client: &Client, event: Event) -> Result<(), String> {
        let journal = &self.world.journal;
        let known = |id: &Id| self.lines.get(id).copied();
        let fact = match &event {
            Event::MessageReceived(message) => return self.show(client, message).await,
            Event::Accepted { id, .. } => {
                self.unaccepted = self.unaccepted.saturating_sub(1);
                known(id).map(Fact::Accepted)
            }
            Event::Delivered(id) => known(id).map(Fact::Delivered),
            Event::Failed { id, .. } | Event::Expired(id) => known(id).map(Fact::Failed),
            Event::Unreadable { id, .. } => known(id).map(Fact::Unreadable),
            Event::Gap { .. } => Some(Fact::Strange(self.me)),
            Event::Alarm { code, .. } => {
                self.world.lock().push(format!("device {}: alarm {code}", self.me));
                None
            }
            _ => None,
        };
        if let Some(fact) = fact {
            journal.add(fact);
        }
        Ok(())
    }

    async fn show(&self, client: &Client, message: &Message) -> Result<(), String> {
        let neighbours = self.world.neighbours(self.me);
        let from = neighbours.into_iter().find(|device| name(*device) == message.from);
        let line = from.and_then(|from| line(&message.text, from, self.me));
        let journal = &self.world.journal;
        journal.add(line.map_or(Fact::Strange(self.me), |l| Fact::Told(l, message.position)));
        client.mark_shown(message).await.map_err(|error| error.to_string())?;
        if let Some(line) = line {
            journal.add(Fact::Marked(line, message.position));
        }
        Ok(())
    }

    /// Says how much is in the outbox.
    async fn look(&self, client: &Client) -> Result<(), String> {
        let outbox = client.outbox().await.map_err(|error| error.to_string())?;
        let waiting = &self.world.waiting[usize::from(self.me)];
        waiting.store(outbox.waiting.len(), Ordering::SeqCst);
        Ok(())
    }

    /// What is still in the outbox is a trouble: everybody is there, and nothing is broken.
    async fn leave_nothing(&self, client: &Client) -> Result<(), String> {
        let outbox = client.outbox().await.map_err(|error| error.to_string())?;
        for waiting in outbox.waiting {
            let what = self.lines.get(&waiting.id).map_or_else(
                || format!("something to {}", waiting.to),
                |line| format!("line {line}"),
            );
            let how = if waiting.accepted { "is accepted and not delivered" } else { "waits" };
            self.world.lock().push(format!("device {}: {what} {how} in its outbox", self.me));
        }
        Ok(())
    }

    /// Tells what is in the history.
    async fn remember(&self, client: &Client) -> Result<(), String> {
        for other in self.world.neighbours(self.me) {
            let history = client.history(&name(other), HISTORY_MAX).await;
            for message in history.map_err(|error| error.to_string())? {
                let fact = match message.stage {
                    None => line(&message.text, other, self.me).map(Fact::Kept),
                    Some(Stage::Accepted | Stage::Delivered | Stage::Read) => {
                        line(&message.text, self.me, other).map(Fact::Accepted)
                    }
                    Some(Stage::Waiting | Stage::Sent | Stage::Failed) => continue,
                };
                self.world.journal.add(fact.unwrap_or(Fact::Strange(self.me)));
            }
        }
        Ok(())
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| error.to_string())
}

/// The store and the key file in a home folder.
fn open(home: &Path) -> Result<Sdk, String> {
    let key = StoreKey::File(home.join("store.key"));
    let until = Instant::now() + LOCK_WITHIN;
    loop {
        match Sdk::open(&home.join("store.db"), &key) {
            Err(OpenStoreError::Locked) if Instant::now() < until => std::thread::yield_now(),
            opened => return opened.map_err(|error| error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_known_by_its_words_and_nothing_else_is_one() {
        let said = Line { from: 3, to: 4, n: 17 };
        assert_eq!(line(&words(said), 3, 4), Some(said));
        assert_eq!(line(&words(said), 4, 3), None, "not from this one");
        assert_eq!(line("canary-7f3a 3>4 #17 and more", 3, 4), None);
        assert_eq!(line("", 3, 4), None);
    }

    #[test]
    fn neighbours_are_both_sides_of_a_ring() {
        let world = |n| World::new(String::new(), 1, n, Duration::from_secs(1), true);
        assert_eq!(world(2).neighbours(0), [1]);
        assert_eq!(world(5).neighbours(0), [1, 4]);
        assert_eq!(world(5).neighbours(4), [0, 3]);
    }
}

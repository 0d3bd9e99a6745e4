//! A TCP proxy that makes weather: it delays, slices, cuts, half-closes, and lets one direction
//! stand still for a while, by seeded dice.
//!
//! Memory: at most [`CONNECTIONS_MAX`] connections with one piece of [`PIECE`] bytes in each
//! direction. What is not carried yet stays with its sender, as it would on a bad line: nothing
//! is dropped from within a connection that goes on.

use std::io;
use std::iter::Sum;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::dice::Dice;
use crate::pump::{Gate, pump};

/// Connections at a time, at most; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Bytes that are carried at once in one direction, at most.
pub const PIECE: usize = 16 * 1_024;
/// How often each connection is in danger of a cut, a half-close or a hole.
pub const STRIKE: Duration = Duration::from_millis(250);
/// How long connecting to one server may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long a connection that was half-closed here may go on.
const HALF_OPEN: Duration = Duration::from_secs(30);

/// What befalls connections. The default is fair weather.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// The longest delay of a piece, in milliseconds.
    pub delay_ms: u16,
    /// The most bytes of one write; 0: as many as came.
    pub slice: u16,
    /// How many of 1,000 connections are cut in each [`STRIKE`].
    pub cut: u16,
    /// How many are half-closed: one direction ends, the other goes on.
    pub half_close: u16,
    /// How many lose one direction for a while.
    pub hole: u16,
    /// For how long at most, in milliseconds.
    pub hole_ms: u16,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From whoever connects to the server.
    Up,
    /// Back.
    Down,
}

#[derive(Clone, Debug)]
pub(crate) struct Control {
    pub(crate) weather: Weather,
    upstreams: Vec<SocketAddr>,
    /// Rises when all connections are to be cut.
    cuts: u64,
    /// Until when each direction of every connection stands still.
    holes: [Option<Instant>; 2],
    over: bool,
}

/// What a proxy did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were carried.
    pub connections: u64,
    /// Cuts.
    pub cuts: u64,
    /// Half-closes.
    pub half_closes: u64,
    /// One-way holes.
    pub holes: u64,
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            connections: sum.connections + one.connections,
            cuts: sum.cuts + one.cuts,
            half_closes: sum.half_closes + one.half_closes,
            holes: sum.holes + one.holes,
        })
    }
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    cuts: AtomicU64,
    half_closes: AtomicU64,
    holes: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A running proxy, on a thread of its own. Dropping it cuts everything.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    control: watch::Sender<Control>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free loopback port. Each connection goes to one of `upstreams`, drawn; if that
    /// one takes none, to the next.
    ///
    /// # Errors
    /// If there is no port or no thread.
    pub fn start(upstreams: Vec<SocketAddr>, seed: u64) -> io::Result<Self> {
        Self::start_within(upstreams, seed, CONNECTIONS_MAX)
    }

    fn start_within(upstreams: Vec<SocketAddr>, seed: u64, most: usize) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let weather = Weather::default();
        let (control, told) =
            watch::channel(Control { weather, upstreams, cuts: 0, holes: [None; 2], over: false });
        let counters = Arc::new(Counters::default());
        let counted = Arc::clone(&counters);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            runtime.block_on(async {
                if let Ok(listener) = TcpListener::from_std(listener) {
                    serve(listener, told, counted, seed, most).await;
                }
            });
        })?;
        Ok(Self { address, control, counters, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather of all connections.
    pub fn set_weather(&self, weather: Weather) {
        self.control.send_modify(|control| control.weather = weather);
    }

    /// Changes where new connections go.
    pub fn set_upstreams(&self, upstreams: Vec<SocketAddr>) {
        self.control.send_modify(|control| control.upstreams = upstreams);
    }

    /// Cuts all connections.
    pub fn cut_all(&self) {
        self.control.send_modify(|control| control.cuts += 1);
    }

    /// Lets one direction of all connections stand still, those to come included.
    pub fn hole(&self, way: Way, time: Duration) {
        let until = Instant::now() + time;
        self.control.send_modify(|control| control.holes[way as usize] = Some(until));
    }

    /// What it did so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: read(&self.counters.connections),
            cuts: read(&self.counters.cuts),
            half_closes: read(&self.counters.half_closes),
            holes: read(&self.counters.holes),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.control.send_modify(|control| control.over = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: TcpListener,
    mut control: watch::Receiver<Control>,
    counters: Arc<Counters>,
    seed: u64,
    most: usize,
) {
    let room = Arc::new(Semaphore::new(most));
    for index in 0.. {
        let accepted = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let over = async { control.wait_for(|control| control.over).await.is_ok() };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            // Whoever holds the handle is gone, or says so.
            _ = over => return,
        };
        // A connection that was gone before it was accepted is no reason to end.
        let (Ok(place), Ok((client, _))) = (place, accepted) else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (control, counters) = (control.clone(), Arc::clone(&counters));
        let dice = Dice::new(seed, index);
        tokio::spawn(async move {
            carry(client, control, &counters, dice).await;
            drop(place);
        });
    }
}

async fn connect(control: &watch::Receiver<Control>, dice: &mut Dice) -> Option<TcpStream> {
    let upstreams = control.borrow().upstreams.clone();
    let first = dice.below(upstreams.len());
    for address in upstreams.iter().cycle().skip(first).take(upstreams.len()) {
        if let Ok(Ok(stream)) = timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
            return Some(stream);
        }
    }
    None
}

/// Carries one connection to its end.
async fn carry(
    mut client: TcpStream,
    control: watch::Receiver<Control>,
    counters: &Counters,
    mut dice: Dice,
) {
    let Some(mut server) = connect(&control, &mut dice).await else { return };
    count(&counters.connections);
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let gates = [watch::Sender::new(Gate::Open), watch::Sender::new(Gate::Open)];
    let was_cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let mut dice_of = |way: Way| Dice::new(dice.between(0, u64::MAX - 1), way as u64);
        let (dice_up, dice_down) = (dice_of(Way::Up), dice_of(Way::Down));
        let up = pump(from_client, to_server, gates[0].subscribe(), control.clone(), dice_up);
        let down = pump(from_server, to_client, gates[1].subscribe(), control.clone(), dice_down);
        tokio::select! {
            _ = async { tokio::join!(up, down) } => false,
            () = strike(&gates, control, counters, &mut dice) => true,
        }
    };
    if was_cut && dice.per_mille(500) {
        // Reset, where the other half of cuts ends in good order.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// Ends when the connection is to be cut.
async fn strike(
    gates: &[watch::Sender<Gate>; 2],
    mut control: watch::Receiver<Control>,
    counters: &Counters,
    dice: &mut Dice,
) {
    let cuts = control.borrow_and_update().cuts;
    let mut half_open: Option<Instant> = None;
    loop {
        let now = Instant::now();
        let told = control.borrow_and_update().clone();
        if told.over || told.cuts != cuts || half_open.is_some_and(|at| now >= at + HALF_OPEN) {
            count(&counters.cuts);
            return;
        }
        for (gate, until) in gates.iter().zip(told.holes) {
            if let Some(until) = until.filter(|until| *until > now) {
                hold(gate, until);
            }
        }
        let waited = timeout(STRIKE, control.changed()).await;
        match waited {
            Err(_) => {}
            Ok(Ok(())) => continue,
            Ok(Err(_)) => return,
        }
        let weather = told.weather;
        if dice.per_mille(weather.cut) {
            count(&counters.cuts);
            return;
        }
        if dice.per_mille(weather.half_close) && half_open.is_none() {
            count(&counters.half_closes);
            half_open = Some(Instant::now());
            gates[dice.below(2)].send_replace(Gate::Shut);
        }
        if dice.per_mille(weather.hole) {
            count(&counters.holes);
            let time = dice.between(1, u64::from(weather.hole_ms));
            hold(&gates[dice.below(2)], Instant::now() + Duration::from_millis(time));
        }
    }
}

fn hold(gate: &watch::Sender<Gate>, until: Instant) {
    gate.send_if_modified(|gate| {
        let is_open = *gate != Gate::Shut && *gate != Gate::Hold(until);
        if is_open {
            *gate = Gate::Hold(until);
        }
        is_open
    });
}

#[cfg(test)]
mod tests;

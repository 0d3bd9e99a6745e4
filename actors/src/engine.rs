//! The engine as the server package sees it: start, sockets, changes, tokens, readiness, drain.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix::{Actor as _, Arbiter, ArbiterHandle};
use bytes::BytesMut;
use hushwire_wire::{Close, DeviceId, Encoding, Gen, NodeId, Nonce, Token, UserId};
use slog::Logger;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use crate::aside::Steps;
use crate::bus::{BusActor, Post, Waits};
use crate::call::signaling::{Signaling, SignalingActor};
use crate::change::{self, Change};
use crate::directory::Directory;
use crate::drain;
use crate::homes::Homes;
use crate::landings::Landings;
use crate::lane::Fact;
use crate::limiter::Limiter;
use crate::limits::Limits;
use crate::node::Node;
use crate::pairs::Pairs;
use crate::places::{Place, Places};
use crate::ports::{Ports, SignedIn, Unavailable, Word};
use crate::presence::actor::{PresenceActor, Present};
use crate::queue::{Call, Intake, Key, Op, Outcome, Queue, QueueActor, Reply};
use crate::session::{self, DeviceSession};
use crate::supervise::Services;
use crate::user::{Inbox, UserShard};

/// How long the HTTP interface waits for the queue store.
const ASK_WITHIN: Duration = Duration::from_secs(5);

type Asked = oneshot::Receiver<Result<Reply, Unavailable>>;

/// A running engine. Clones are the same engine.
#[derive(Clone, Debug)]
pub struct Engine {
    node: Arc<Node>,
}

/// Leave for one socket. Dropped, its place is free again.
#[derive(Debug)]
pub struct SocketPermit {
    node: Arc<Node>,
    place: Place,
}

/// Whether the node takes new work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It is going away.
    Draining,
    /// What it stands on cannot be reached: sockets stay, sends are answered `unavailable`.
    Degraded {
        /// Which part.
        what: &'static str,
    },
    /// A service is down, or keeps failing. After 60 s of it the process should end.
    Failing {
        /// Which one.
        what: &'static str,
    },
}

/// What there is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sockets, signed in or not.
    pub sockets: usize,
    /// Sockets that are not signed in.
    pub unsigned: usize,
    /// Signed-in devices.
    pub devices: usize,
    /// Users with a signed-in device.
    pub users: usize,
    /// Messages in all devices' queues.
    pub queued_messages: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Notices that wait.
    pub notices: u64,
}

impl Engine {
    /// Starts the engine's own actors, the queue's and the limiter's, on an arbiter of their own.
    /// To be called inside a running actix `System`.
    #[must_use]
    pub fn start(
        ports: Ports,
        queue: Arc<dyn Queue>,
        limits: Limits,
        domain: String,
        log: Logger,
    ) -> Self {
        Self::start_on(Arbiter::new().handle(), ports, queue, limits, domain, log)
    }

    pub(crate) fn start_on(
        arbiter: ArbiterHandle,
        ports: Ports,
        queue: Arc<dyn Queue>,
        limits: Limits,
        domain: String,
        log: Logger,
    ) -> Self {
        let mut id = [0; NodeId::LEN];
        ports.random.fill(&mut id);
        let services = Services::new(log.clone());
        let limiter = Limiter::new(&limits, ports.clock.clone());
        let admissions = ports.admissions.clone().unwrap_or_else(|| Arc::new(limiter.clone()));
        let node = Arc::new(Node {
            id: NodeId(id),
            limiter,
            admissions,
            landings: Landings::new(arbiter.clone()),
            pairs: Pairs::new(&limits),
            presence: Present::new(limits.presence_names),
            calls: Signaling::new(&limits),
            steps: Steps::default(),
            homes: Homes::new(NodeId(id)),
            places: Places::new(&limits),
            intake: Intake::new(limits.intake),
            leaps: std::sync::Mutex::default(),
            post: Post::default(),
            waits: Waits::default(),
            directory: Directory::new(),
            ports,
            queue,
            limits,
            domain,
            log,
            services,
            workers: std::sync::Mutex::default(),
            sockets: AtomicUsize::new(0),
            users: AtomicUsize::new(0),
            flights: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            goodbye: Arc::new(Notify::new()),
            origin: Instant::now(),
        });
        let of = node.clone();
        node.services.keep("queue", arbiter.clone(), move |alive| {
            QueueActor::new(of.clone(), alive).start();
        });
        let of = node.clone();
        node.services.keep("bus", arbiter.clone(), move |alive| {
            BusActor::new(of.clone(), alive).start();
        });
        for shard in 0..Limiter::shards() {
            let of = node.limiter.clone();
            node.services.keep("rate limiter", arbiter.clone(), move |alive| {
                of.actor(shard, alive).start();
            });
        }
        for shard in 0..Signaling::shards() {
            let of = node.clone();
            node.services.keep("signaling", arbiter.clone(), move |alive| {
                SignalingActor::new(of.clone(), shard, alive).start();
            });
        }
        let of = node.clone();
        node.services.keep("presence", arbiter, move |alive| {
            PresenceActor::new(of.clone(), alive).start();
        });
        Self { node }
    }

    #[cfg(test)]
    pub(crate) fn ports(&self) -> Ports {
        self.node.ports.clone()
    }

    /// Registers the arbiter of an HTTP worker, once and before its first socket: the users of
    /// hash(user) % workers are supervised there.
    pub fn add_worker(&self, arbiter: ArbiterHandle) {
        let inbox = Arc::new(Inbox::default());
        self.node.add_worker(inbox.clone());
        let of = self.node.clone();
        self.node.services.keep("users", arbiter, move |alive| {
            UserShard::new(of.clone(), inbox.clone(), alive).start();
        });
    }

    /// Leave for one more socket, from an address that limits hold for (none if they do not).
    ///
    /// # Errors
    /// [`Close::Restarting`] while draining, [`Close::Overloaded`] at a bound: of all sockets, of
    /// those that are not signed in, and of those from one address.
    pub fn admit_socket(&self, from: Option<IpAddr>) -> Result<SocketPermit, Close> {
        if self.node.is_draining() {
            return Err(Close::Restarting);
        }
        let most = self.node.limits.connections;
        let place = self.node.places.take(from)?;
        let taken = self.node.sockets.fetch_add(1, Ordering::AcqRel);
        // From here on the permit counts, and gives its place back.
        let permit = SocketPermit { node: self.node.clone(), place };
        if taken >= most { Err(Close::Overloaded) } else { Ok(permit) }
    }

    /// Takes an upgraded stream over: its session lives on the current arbiter. `early` is what
    /// was read already after the upgrade request.
    pub fn start_session<T>(&self, io: T, early: BytesMut, encoding: Encoding, permit: SocketPermit)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        DeviceSession::new(self.node.clone(), io, early, encoding, permit).start();
    }

    /// Takes an upgraded stream over only to say why it is closed: what browsers cannot read in
    /// an HTTP answer.
    pub fn refuse_session<T>(&self, io: T, encoding: Encoding, permit: SocketPermit, close: Close)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let node = self.node.clone();
        DeviceSession::new(node, io, BytesMut::new(), encoding, permit).closed(close).start();
    }

    /// After a commit: forgets what was cached, on every node from the next send on, and tells the
    /// users' live devices, on whichever node they are. Users of whom an event says that one removed
    /// or blocked the other hear nothing live of each other from now on.
    ///
    /// # Errors
    /// If other nodes may not know yet: they are told as soon as the queue store can be.
    pub async fn committed(&self, change: Change) -> Result<(), Unavailable> {
        change::committed(&self.node, change).await
    }

    /// After the commit of a revocation: the devices' queues, notices and tokens are deleted, what
    /// is on its way to them is skipped as revoked, and their live connections end with 4403, on
    /// whichever node they are. What they had sent stays on its way.
    ///
    /// # Errors
    /// If the queue store did not do all of it. The connections are closed all the same, and the
    /// database refuses them; to be called again.
    pub async fn revoke(&self, user: UserId, devices: &[DeviceId]) -> Result<(), Unavailable> {
        let call = |device: &DeviceId| (*device, self.on_device(*device, Op::Revoke));
        let calls = devices.iter().map(call).collect();
        // The calls are queued: whoever attaches from now on comes after them, and whoever did
        // before is in the directory.
        devices.iter().for_each(|device| self.end_session(user, *device, Close::Revoked));
        self.all_done(calls, Some(Close::Revoked)).await
    }

    /// After the commit of a block: drops what waits for `devices` from the user `sender`. What was
    /// accepted goes silently, and so does what is under way and comes to be queued: its sender
    /// cannot tell it from what a user waits for who only removed it.
    ///
    /// # Errors
    /// If the queue store did not do all of it; to be called again.
    pub async fn drop_from(&self, devices: &[DeviceId], sender: UserId) -> Result<(), Unavailable> {
        let op = Op::DropFrom { sender };
        let call = |device: &DeviceId| (*device, self.on_device(*device, op.clone()));
        self.all_done(devices.iter().map(call).collect(), None).await
    }

    /// Signs a device out: its tokens are dropped and its live connection ends with 4401, on
    /// whichever node it is.
    ///
    /// # Errors
    /// If the queue store did not drop the tokens. The connection is closed all the same; to be
    /// called again.
    pub async fn end_sessions(&self, user: UserId, device: DeviceId) -> Result<(), Unavailable> {
        let call = Call::DropTokens { device };
        let dropped = self.node.intake.begin(call);
        self.end_session(user, device, Close::NotAuthenticated);
        self.all_done(vec![(device, dropped)], Some(Close::NotAuthenticated)).await
    }

    /// Which of a user's devices have a live connection, on whichever node.
    ///
    /// # Errors
    /// If other nodes may have some, and the queue store cannot be asked.
    pub async fn live(&self, devices: &[DeviceId]) -> Result<Vec<DeviceId>, Unavailable> {
        let mut live = Vec::new();
        for device in devices {
            let here = self.node.directory.get(device).is_some();
            if here || (!self.node.ports.bus.is_alone() && self.is_held(*device).await?) {
                live.push(*device);
            }
        }
        Ok(live)
    }

    async fn is_held(&self, device: DeviceId) -> Result<bool, Unavailable> {
        match self.ask(Call::Holder { device }).await? {
            Reply::Holder(holder) => Ok(holder.is_some()),
            _ => Err(Unavailable),
        }
    }

    /// A nonce for signing in over HTTP: for 60 s, to be taken once.
    ///
    /// # Errors
    /// If the queue store cannot keep it.
    pub async fn issue_nonce(&self) -> Result<Nonce, Unavailable> {
        let nonce = Nonce(self.node.random());
        self.ask(Call::PutNonce(nonce)).await?;
        Ok(nonce)
    }

    /// Takes a nonce, once and atomically: whether it was issued here less than 60 s ago.
    ///
    /// # Errors
    /// If the queue store cannot be asked.
    pub async fn take_nonce(&self, nonce: Nonce) -> Result<bool, Unavailable> {
        match self.ask(Call::TakeNonce(nonce)).await? {
            Reply::Nonce(was_there) => Ok(was_there),
            _ => Err(Unavailable),
        }
    }

    /// A token for a device, and when it ends, in milliseconds since 1970.
    ///
    /// # Errors
    /// If the queue store cannot keep it.
    pub async fn issue_token(
        &self,
        user: UserId,
        device: DeviceId,
    ) -> Result<(Token, u64), Unavailable> {
        let me = SignedIn { user, device, v: 0, since_ms: 0 };
        timeout(ASK_WITHIN, session::signing::issue_token(&self.node, &me))
            .await
            .map_err(|_| Unavailable)?
    }

    /// Whose a token is, if it has not ended.
    ///
    /// # Errors
    /// If the queue store cannot be asked.
    pub async fn check_token(
        &self,
        token: &Token,
    ) -> Result<Option<(UserId, DeviceId)>, Unavailable> {
        let hash = self.node.ports.digest.digest(&token.0);
        match self.ask(Call::CheckToken { hash }).await? {
            Reply::Token(whose) => Ok(whose),
            _ => Err(Unavailable),
        }
    }

    /// This node, as others know it.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node.id
    }

    /// The queue store's generation.
    #[must_use]
    pub fn generation(&self) -> Gen {
        self.node.queue.generation()
    }

    /// Whether the node takes new work.
    #[must_use]
    pub fn is_ready(&self) -> Readiness {
        if self.node.is_draining() {
            return Readiness::Draining;
        }
        if let Some(what) = self.node.services.failing() {
            return Readiness::Failing { what };
        }
        match self.node.queue.refuses() {
            Some(what) => Readiness::Degraded { what },
            None => Readiness::Ready,
        }
    }

    /// Goes away: not ready, no new sockets, custody finished, everybody told when to come back.
    /// Returns when all sockets are gone, or have had the time for it.
    pub async fn drain(&self) {
        drain::drain(&self.node).await;
    }

    /// What there is now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let stored = self.node.queue.stored();
        Counts {
            sockets: self.node.sockets.load(Ordering::Acquire),
            unsigned: self.node.places.unsigned(),
            devices: self.node.directory.len(),
            users: self.node.users.load(Ordering::Relaxed),
            queued_messages: stored.messages,
            queued_bytes: stored.bytes,
            notices: stored.notices,
        }
    }

    fn on_device(&self, device: DeviceId, op: Op) -> Asked {
        let r#gen = self.node.queue.generation();
        self.node.intake.begin(Call::Device { r#gen, device, op })
    }

    fn end_session(&self, user: UserId, device: DeviceId, close: Close) {
        let live = self.node.directory.get(&device).filter(|live| live.user == user);
        if let Some(live) = live {
            live.lane.tell(Fact::Kick { close, after_ms: None });
        }
    }

    /// Waits for the replies. With `end`, whoever holds one of the devices on another node is told
    /// that its connection ends.
    async fn all_done(
        &self,
        calls: Vec<(DeviceId, Asked)>,
        end: Option<Close>,
    ) -> Result<(), Unavailable> {
        let all = async {
            let mut done = Ok(());
            for (device, call) in calls {
                let holder = match call.await.unwrap_or(Err(Unavailable)) {
                    Ok(Reply::Device(reply)) if reply.outcome != Outcome::OtherGen => {
                        reply.displaced
                    }
                    Ok(Reply::Dropped(holder)) => holder,
                    _ => {
                        done = Err(Unavailable);
                        None
                    }
                };
                let elsewhere = holder.filter(|key| key.node != self.node.id);
                if let (Some(Key { node, conn, .. }), Some(close)) = (elsewhere, end)
                    && !self.node.post.push(node, Word::Ended { device, conn, close })
                {
                    done = Err(Unavailable);
                }
            }
            done
        };
        timeout(ASK_WITHIN, all).await.map_err(|_| Unavailable)?
    }

    async fn ask(&self, call: Call) -> Result<Reply, Unavailable> {
        timeout(ASK_WITHIN, self.node.intake.ask(call)).await.map_err(|_| Unavailable)?
    }
}

impl SocketPermit {
    /// The address that limits hold for.
    pub(crate) const fn from(&self) -> Option<IpAddr> {
        self.place.from
    }

    /// The socket signed in; [`Close::Overloaded`] if too many from its address have.
    pub(crate) fn sign_in(&mut self) -> Result<(), Close> {
        self.node.places.sign_in(&mut self.place)
    }
}

impl Drop for SocketPermit {
    fn drop(&mut self) {
        self.node.places.give_back(&self.place);
        self.node.sockets.fetch_sub(1, Ordering::AcqRel);
    }
}

//! How a connection does what only live devices hear: ephemeral messages, steps of calls, showing
//! itself (DELIVERY, "Lanes").
//!
//! Shape first, then the pair, then the rate; no counter, no admission, no custody: what finds no
//! live device is gone. What waits for its pair keeps its order, is bounded by [`WAITING`] and has
//! a deadline.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use hushwire_wire::frame::{CallAct, Ephemeral, SendCall, SendEphemeral, ServerOp, ShowPresence};
use hushwire_wire::limits::{CALL_CONTENT_MAX, EPHEMERAL_CONTENT_MAX, PRESENCE_MAX};
use hushwire_wire::message::{Class, LANE_EPHEMERAL, SEAL_OVERHEAD, Upload};
use hushwire_wire::{CallId, Close, Conn, DeviceId, Reject, Sealed, UserId};

use super::sending::current;
use super::{BUSY_RETRY_MS, End, Open};
use crate::admissions::poll_now;
use crate::admit::UNDER_WAY_RETRY_MS;
use crate::aside::{self, Aside};
use crate::call::{Letter, Step};
use crate::fault;
use crate::lane::Passing;
use crate::limiter::Paced;
use crate::node::Node;
use crate::ports::{PairFacts, SignedIn, Unavailable, Word};
use crate::session::{check, write_op};

/// Operations of a connection that wait for their pairs, at most.
const WAITING: usize = 8;

/// An operation on its way, and its answer, if it has one.
type Passed = Pin<Box<dyn Future<Output = Result<Option<ServerOp>, Reject>>>>;

/// An operation that waits for its pair or for another node, and those that came after it.
pub(super) struct Waiting {
    id: Option<u64>,
    passing: Passed,
    ops: VecDeque<(Option<u64>, Live)>,
    pub(super) until_ms: u64,
}

/// Who does it.
struct Passer {
    node: Arc<Node>,
    me: SignedIn,
    conn: Conn,
    paced: Paced,
}

/// An operation of the right shape.
enum Live {
    Ephemeral { to: UserId, upload: Upload },
    Call { to: UserId, call_id: CallId, act: CallAct, upload: Option<Upload> },
}

impl Live {
    const fn to(&self) -> UserId {
        match self {
            Self::Ephemeral { to, .. } | Self::Call { to, .. } => *to,
        }
    }
}

impl Open {
    /// An ephemeral message. `None`: there is no answer, or it comes later.
    pub(super) fn ephemeral(
        &mut self,
        id: Option<u64>,
        send: SendEphemeral,
        now_ms: u64,
    ) -> Result<Option<ServerOp>, Reject> {
        let upload = shape(&send.upload, Class::Control, EPHEMERAL_CONTENT_MAX)?;
        self.take(id, Live::Ephemeral { to: send.to, upload }, now_ms)
    }

    /// A step of a call. `None`: the answer comes later.
    pub(super) fn signal(
        &mut self,
        id: Option<u64>,
        send: SendCall,
        now_ms: u64,
    ) -> Result<Option<ServerOp>, Reject> {
        let SendCall { to, call_id, act, upload } = send;
        if act == CallAct::Elsewhere {
            return Err(Reject::bad("op.call.act", "a step that a client takes"));
        }
        if to == self.me.user {
            return Err(Reject::bad("op.call.to", "another user"));
        }
        if act == CallAct::Signal && upload.is_none() {
            return Err(Reject::bad("op.call.upload", "what the signal carries"));
        }
        let upload =
            upload.map(|upload| shape(&upload, Class::Call, CALL_CONTENT_MAX)).transpose()?;
        if self.node.limits.calls == 0 {
            return Err(Reject::Forbidden {});
        }
        self.paced.signal()?;
        self.take(id, Live::Call { to, call_id, act, upload }, now_ms)
    }

    /// Shows this connection to these users and nobody else, or to nobody. Strangers among them
    /// are passed over in silence.
    pub(super) fn show(&mut self, show: ShowPresence) -> Result<ServerOp, Reject> {
        if show.to.len() > PRESENCE_MAX {
            return Err(Reject::bad("op.presence.to", "at most 256 users"));
        }
        if !show.on && !show.to.is_empty() {
            return Err(Reject::bad("op.presence.to", "nobody, while off"));
        }
        self.paced.presence()?;
        if !show.on {
            self.node.presence.hide(&self.node, self.me.user, self.conn);
            self.lane.forget_presence();
            self.shows = false;
        } else if self.node.presence.show(&self.node, self.me.user, self.conn, &self.lane, show.to)
        {
            self.shows = true;
        } else {
            return Err(Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS });
        }
        Ok(ServerOp::Ok {})
    }

    /// Goes on with what waited for its pair.
    pub(super) fn loaded_live(
        &mut self,
        cx: &mut Context<'_>,
        now_ms: u64,
        out: &mut BytesMut,
    ) -> Result<(), End> {
        while let Some(waiting) = &mut self.waiting {
            let Poll::Ready(done) = waiting.passing.as_mut().poll(cx) else { return Ok(()) };
            let id = waiting.id;
            let next = waiting.ops.pop_front();
            match next {
                Some((id, op)) => {
                    let passing = Box::pin(self.passer().pass(op));
                    let until_ms = now_ms + self.node.limits.send_deadline_ms;
                    if let Some(waiting) = &mut self.waiting {
                        (waiting.id, waiting.passing, waiting.until_ms) = (id, passing, until_ms);
                    }
                }
                None => self.waiting = None,
            }
            match done {
                Ok(None) => {}
                Ok(Some(op)) => write_op(out, self.encoding, id, op),
                Err(reject) => {
                    let refused = self.refuse(id, reject, now_ms, out);
                    refused.map_err(|close: Close| (close, None))?;
                }
            }
        }
        Ok(())
    }

    /// Answers what has waited too long.
    pub(super) fn give_up_live(&mut self, now_ms: u64, out: &mut BytesMut) {
        let Some(late) = self.waiting.take_if(|waiting| waiting.until_ms <= now_ms) else { return };
        for id in std::iter::once(late.id).chain(late.ops.into_iter().map(|(id, _)| id)) {
            let op = ServerOp::Reject(Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS });
            write_op(out, self.encoding, id, op);
        }
    }

    /// Does it at once if its pair is known and nothing waits before it.
    fn take(&mut self, id: Option<u64>, op: Live, now_ms: u64) -> Result<Option<ServerOp>, Reject> {
        if let Some(waiting) = &mut self.waiting {
            if waiting.ops.len() >= WAITING - 1 {
                return Err(Reject::Unavailable { retry_after_ms: UNDER_WAY_RETRY_MS });
            }
            waiting.ops.push_back((id, op));
            return Ok(None);
        }
        let mut passing = Box::pin(self.passer().pass(op));
        if let Poll::Ready(done) = poll_now(&mut passing) {
            return done;
        }
        let until_ms = now_ms + self.node.limits.send_deadline_ms;
        self.waiting = Some(Box::new(Waiting { id, passing, ops: VecDeque::new(), until_ms }));
        Ok(None)
    }

    fn passer(&self) -> Passer {
        let (node, paced) = (self.node.clone(), self.paced.clone());
        Passer { node, me: self.me, conn: self.conn, paced }
    }
}

impl Passer {
    async fn pass(self, op: Live) -> Result<Option<ServerOp>, Reject> {
        let known = current(self.node.clone(), self.me.user, op.to()).await;
        let busy = |Unavailable| Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS };
        let facts = &known.map_err(busy)?.ok_or(Reject::NotContact {})?.facts;
        match op {
            Live::Ephemeral { to, upload } => {
                let letter = self.letter(to, &upload, facts)?;
                self.paced.ephemeral(to)?;
                fault::point("session: an ephemeral message");
                for (device, _) in &letter.tags {
                    self.pass_to(*device, &letter);
                }
                Ok(None)
            }
            Live::Call { to, call_id, act, upload } => {
                let letter = upload.map(|upload| self.letter(to, &upload, facts)).transpose()?;
                let theirs = facts.roster.iter().filter(|d| d.user == to);
                let devices = theirs.map(|d| d.device).collect();
                let (from, device, conn) = (self.me.user, self.me.device, self.conn);
                let step = Step { from, device, conn, to, call_id, act, devices, letter };
                aside::step(&self.node, step).await?;
                Ok(Some(ServerOp::Ok {}))
            }
        }
    }

    fn pass_to(&self, device: DeviceId, letter: &Letter) {
        let Some(msg) = letter.for_device(&device) else { return };
        let (from_user, from_device) = (self.me.user, self.me.device);
        let frame = Ephemeral { from_user, from_device, msg };
        match self.node.directory.get(&device) {
            Some(live) => live.lane.pass(Passing::Ephemeral(frame)),
            None => self.node.tell_others(Word::Aside(Aside::Ephemeral { device, frame })),
        }
    }

    /// The same checks as of a durable message, but for its counter; what is left is for the
    /// recipient's devices alone.
    fn letter(&self, to: UserId, upload: &Upload, facts: &PairFacts) -> Result<Letter, Reject> {
        let targets = check::targets(&self.me, to, upload, facts)?;
        let theirs = targets.into_iter().filter(|target| !target.own);
        let tags = theirs.map(|target| (target.device, target.tag)).collect();
        Ok(Letter { shared: upload.shared.clone(), tags })
    }
}

/// Class, lane and size.
fn shape(upload: &Sealed, class: Class, content: usize) -> Result<Upload, Reject> {
    let upload = Upload::parse(upload)?;
    if upload.header.class != class {
        let expected = if class == Class::Call { "16, a call's" } else { "17, on lane 1" };
        return Err(Reject::bad("upload.class", expected));
    }
    if upload.header.lane != LANE_EPHEMERAL {
        return Err(Reject::bad("upload.lane", "the ephemeral lane"));
    }
    let most = content + SEAL_OVERHEAD;
    if upload.ct_len() > most {
        return Err(Reject::TooLarge { limit: most as u64 });
    }
    Ok(upload)
}

//! How a connection sends: DELIVERY, "Send" 2, from the frame to the message on its way.
//!
//! What can be decided at once is; what has to be asked for (a pair's facts, an admission that all
//! nodes share) is waited for while the send keeps its place. A send has exactly one answer, and one
//! that waits has a deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use hushwire_wire::frame::{Accepted, Send, ServerOp};
use hushwire_wire::limits::SENDS_UNANSWERED;
use hushwire_wire::message::Upload;
use hushwire_wire::{Gen, Reject, UserId};

use super::{BUSY_RETRY_MS, End, Open};
use crate::admissions::{Admitted, Ask, Landed, Landing, poll_now};
use crate::admit::{Offer, UNDER_WAY_RETRY_MS, Verdict};
use crate::envelope::Envelope;
use crate::fault;
use crate::node::Node;
use crate::pairs::Known;
use crate::ports::{SignedIn, Unavailable};
use crate::route::{self, Target};
use crate::session::{check, write_op};

/// How often a pair is loaded again that changes while it is loaded.
const LOADS: usize = 3;

/// An admission on its way.
pub(super) type Admitting = Pin<Box<dyn Future<Output = Result<Judged, Reject>>>>;

/// A send that waits for its answer.
pub(super) struct Unanswered {
    pub(super) id: Option<u64>,
    pub(super) to: UserId,
    pub(super) sn: u64,
    pub(super) until_ms: u64,
    /// Set while it is not admitted yet.
    pub(super) admitting: Option<Admitting>,
}

/// What came of an admission.
#[expect(clippy::large_enum_variant, reason = "nearly all are the large one")]
pub(super) enum Judged {
    /// It is to be routed to these.
    Going { ask: Ask, upload: Upload, targets: Vec<Target>, at: u64 },
    /// It was accepted before.
    Answered(Arc<Accepted>),
}

impl Open {
    /// DELIVERY, "Send" 2: shape, repeats, pair, then admission and on its way. `None`: the
    /// answer comes later.
    pub(super) fn send(
        &mut self,
        id: Option<u64>,
        send: Send,
        now_ms: u64,
    ) -> Result<Option<ServerOp>, Reject> {
        let upload = check::shape(self.me.user, &send)?;
        self.check_resync(send.re)?;
        if self.sends.len() >= SENDS_UNANSWERED {
            return Err(Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS });
        }
        if self.sends.iter().any(|s| s.to == send.to && s.admitting.is_some()) {
            return Err(Reject::Unavailable { retry_after_ms: UNDER_WAY_RETRY_MS });
        }
        let until_ms = now_ms + self.node.limits.send_deadline_ms;
        let mut unanswered = Unanswered { id, to: send.to, sn: send.sn, until_ms, admitting: None };
        let ask = Ask {
            r#gen: self.channel.generation(),
            user: self.me.user,
            device: self.me.device,
            offer: self.offer(&send, &upload),
            class: upload.header.class,
            stamp: None,
            allowed: false,
        };
        let mut admitting = Box::pin(admit(self.node.clone(), self.me, ask, upload));
        match poll_now(&mut admitting) {
            Poll::Ready(judged) => {
                let judged = judged?;
                // In place before it is routed: the answer may come at once.
                self.sends.push(unanswered);
                let answer = self.go_on(id, judged);
                if answer.is_some() {
                    self.sends.pop();
                    self.free_sends();
                }
                Ok(answer)
            }
            Poll::Pending => {
                unanswered.admitting = Some(admitting);
                self.sends.push(unanswered);
                Ok(None)
            }
        }
    }

    fn check_resync(&self, re: Option<Gen>) -> Result<(), Reject> {
        let busy = Err(Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS });
        let r#gen = self.channel.generation();
        match re {
            // The node may know of a loss before the session does: nothing may overtake what is sent
            // again.
            _ if !self.is_current(r#gen) => busy,
            None if self.channel.is_resyncing() => busy,
            // It is told of the next loss while it makes good the one before.
            Some(re) if re != r#gen && self.channel.is_resyncing() => busy,
            Some(re) if re != r#gen => Err(Reject::bad("op.send.re", "the current generation")),
            Some(_) if self.me.since_ms >= self.node.queue.born_ms() => {
                Err(Reject::bad("op.send.re", "a device older than the generation"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the queue store is still of this generation, as far as this node knows.
    fn is_current(&self, r#gen: Gen) -> bool {
        r#gen == self.node.queue.generation()
    }

    fn offer(&self, send: &Send, upload: &Upload) -> Offer {
        Offer {
            to: send.to,
            sn: send.sn,
            mid: upload.header.mid,
            hash: self.node.ports.digest.digest(send.upload.as_bytes()),
            epoch: upload.header.epoch,
            counter: upload.header.counter,
            size: send.upload.len(),
            re: send.re,
            withdraw: send.withdraw.as_slice().into(),
        }
    }

    /// On its way, or the answer that it had before.
    fn go_on(&self, id: Option<u64>, judged: Judged) -> Option<ServerOp> {
        let (ask, upload, targets, at) = match judged {
            Judged::Going { ask, upload, targets, at } => (ask, upload, targets, at),
            Judged::Answered(answer) => return Some(ServerOp::Accepted((*answer).clone())),
        };
        fault::point("session: admitted");
        let Ask { r#gen, user, device, offer, .. } = ask;
        if !self.is_current(r#gen) {
            // Admitted in a queue store that is lost by now: on its way, it would overtake what its
            // sender sends again first.
            let (to, landing) = (offer.to, Landing::Neither);
            drop(self.node.admissions.landed(Landed { r#gen, user, device, to, landing }));
            let busy = Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS };
            return Some(ServerOp::Reject(busy));
        }
        let envelope = Arc::new(Envelope {
            from_user: self.me.user,
            from_device: self.me.device,
            to: offer.to,
            sn: offer.sn,
            mid: offer.mid,
            at,
            again: offer.re.is_some(),
            withdraw: offer.withdraw,
            body: hushwire_wire::deliver::SharedBody::new(upload.shared),
        });
        route::route(&self.node, envelope, targets, r#gen, self.lane.clone(), id);
        None
    }

    /// Goes on with the sends that are judged by now.
    pub(super) fn judged(
        &mut self,
        cx: &mut Context<'_>,
        now_ms: u64,
        out: &mut BytesMut,
    ) -> Result<(), End> {
        for k in (0..self.sends.len()).rev() {
            let Some(waiting) = self.sends.get_mut(k) else { continue };
            let Some(admitting) = &mut waiting.admitting else { continue };
            let Poll::Ready(judged) = admitting.as_mut().poll(cx) else { continue };
            waiting.admitting = None;
            let id = waiting.id;
            match judged.map(|judged| self.go_on(id, judged)) {
                Ok(None) => continue,
                Ok(Some(op)) => write_op(out, self.encoding, id, op),
                Err(reject) => {
                    self.refuse(id, reject, now_ms, out).map_err(|close| (close, None))?;
                }
            }
            self.sends.swap_remove(k);
        }
        self.free_sends();
        Ok(())
    }

    /// An idle session keeps no room for sends.
    pub(super) fn free_sends(&mut self) {
        if self.sends.is_empty() && self.sends.capacity() > 0 {
            self.sends = Vec::new();
        }
    }
}

/// Judges an offer by what all nodes know of it, and by the pair's facts as of its sender's stamp.
async fn admit(
    node: Arc<Node>,
    me: SignedIn,
    mut ask: Ask,
    upload: Upload,
) -> Result<Judged, Reject> {
    let busy = || Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS };
    let to = ask.offer.to;
    let mut full = node.queue.is_full();
    for _ in 0..LOADS {
        let (stamp, checked) = match load(&node, me.user, to).await {
            Ok(Some(known)) => (Some(known.stamp), check::targets(&me, to, &upload, &known.facts)),
            Ok(None) => (None, Err(Reject::NotContact {})),
            Err(Unavailable) => (None, Err(busy())),
        };
        (ask.stamp, ask.allowed) = (stamp, checked.is_ok() && !full);
        match (node.admissions.admit(&ask).await.map_err(|Unavailable| busy())?, checked) {
            (Admitted::At(at), Ok(targets)) => {
                return Ok(Judged::Going { ask, upload, targets, at });
            }
            // What refuses may be as old as what allows.
            (Admitted::Changed, _) => node.pairs.outdated(me.user, to),
            (Admitted::Told(Verdict::Answer(answer)), _) => return Ok(Judged::Answered(answer)),
            (Admitted::Told(Verdict::Refused(reject)), _) | (_, Err(reject)) => {
                return Err(reject);
            }
            (Admitted::Told(Verdict::New), Ok(_)) => return Err(Reject::StoreFull {}),
            // What is under way already still has room.
            (Admitted::Told(_), Ok(_)) => full = false,
        }
    }
    Err(busy())
}

/// The facts of a pair as `a` needs them, from the port, into the cache.
async fn load(node: &Node, a: UserId, b: UserId) -> Result<Option<Known>, Unavailable> {
    for _ in 0..LOADS {
        let at = match node.pairs.get(a, b) {
            Ok(known) => return Ok(Some(known)),
            Err(at) => at,
        };
        let stamps = node.admissions.stamps([a, b]).await?;
        let facts = match node.ports.accounts.pair(a, b).await {
            Ok(Some(facts)) => Arc::new(facts),
            Ok(None) => return Ok(None),
            // Good as long as their stamp is.
            Err(Unavailable) => return node.pairs.known(a, b).map(Some).ok_or(Unavailable),
        };
        if node.pairs.put((a, b), &facts, stamps, at) {
            return Ok(Some(Known { facts, stamp: stamps[0] }));
        }
    }
    Err(Unavailable)
}

/// The same, if nobody knows of a newer change of `a`: for what is not admitted.
pub(crate) async fn current(
    node: Arc<Node>,
    a: UserId,
    b: UserId,
) -> Result<Option<Known>, Unavailable> {
    for _ in 0..LOADS {
        let Some(known) = load(&node, a, b).await? else { return Ok(None) };
        let [stamp, _] = node.admissions.stamps([a, b]).await?;
        if known.stamp == stamp {
            return Ok(Some(known));
        }
        node.pairs.outdated(a, b);
    }
    Err(Unavailable)
}

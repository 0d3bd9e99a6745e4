//! How a connection sends: DELIVERY, "Send" 2, from the frame to the message on its way.
//!
//! Shape and repeats are judged at once; what is not known of the pair is loaded first, while the
//! send waits in its place. A send has exactly one answer, and one that waits has a deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use hushwire_wire::frame::{Send, ServerOp};
use hushwire_wire::limits::SENDS_UNANSWERED;
use hushwire_wire::message::Upload;
use hushwire_wire::{Gen, Reject, UserId};

use super::{BUSY_RETRY_MS, End, Open};
use crate::admit::{Offer, UNDER_WAY_RETRY_MS, Verdict};
use crate::envelope::Envelope;
use crate::fault;
use crate::node::Node;
use crate::ports::{PairFacts, Unavailable};
use crate::route;
use crate::session::{check, write_op};

/// How often a pair is loaded again that changes while it is loaded.
const LOADS: usize = 3;

/// The facts of a pair, on their way from the port.
pub(super) type Loading =
    Pin<Box<dyn Future<Output = Result<Option<Arc<PairFacts>>, Unavailable>>>>;

/// A send that waits for its answer.
pub(super) struct Unanswered {
    pub(super) id: Option<u64>,
    pub(super) to: UserId,
    pub(super) sn: u64,
    pub(super) until_ms: u64,
    /// Set while its pair is loaded.
    pub(super) loading: Option<(Box<(Offer, Upload)>, Loading)>,
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
        if self.sends.iter().any(|s| s.to == send.to && s.loading.is_some()) {
            return Err(Reject::Unavailable { retry_after_ms: UNDER_WAY_RETRY_MS });
        }
        let offer = self.offer(&send, &upload);
        self.admission.believe(self.node.queue.generation());
        match self.admission.look(&offer) {
            Verdict::Answer(answer) => return Ok(Some(ServerOp::Accepted((*answer).clone()))),
            Verdict::Refused(reject) => return Err(reject),
            Verdict::New if self.node.queue.is_full() => {
                return Err(Reject::StoreFull {});
            }
            Verdict::New | Verdict::Changed | Verdict::Again | Verdict::Resubmitted => {}
        }
        let until_ms = now_ms + self.node.limits.send_deadline_ms;
        let (to, sn) = (send.to, send.sn);
        let loading = match self.node.pairs.get(self.me.user, to) {
            Ok(facts) => {
                // In place before it is routed: the answer may come at once.
                let loading = None;
                self.sends.push(Unanswered { id, to, sn, until_ms, loading });
                let done = self.admit(id, &offer, &upload, &facts);
                if !matches!(done, Ok(None)) {
                    self.sends.pop();
                    self.free_sends();
                }
                return done;
            }
            Err(_) => Box::pin(load(self.node.clone(), self.me.user, to)) as Loading,
        };
        let loading = Some((Box::new((offer, upload)), loading));
        self.sends.push(Unanswered { id, to, sn, until_ms, loading });
        Ok(None)
    }

    fn check_resync(&self, re: Option<Gen>) -> Result<(), Reject> {
        match re {
            None if self.channel.is_resyncing() => {
                Err(Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS })
            }
            Some(r#gen) if r#gen != self.channel.generation() => {
                Err(Reject::bad("op.send.re", "the current generation"))
            }
            Some(_) if self.me.since_ms >= self.node.queue.born_ms() => {
                Err(Reject::bad("op.send.re", "a device older than the generation"))
            }
            _ => Ok(()),
        }
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

    fn admit(
        &self,
        id: Option<u64>,
        offer: &Offer,
        upload: &Upload,
        facts: &PairFacts,
    ) -> Result<Option<ServerOp>, Reject> {
        let targets = check::targets(&self.me, offer.to, upload, facts)?;
        let at = match self.admission.admit(offer, upload.header.class) {
            Ok(at) => at,
            Err(Verdict::Answer(answer)) => {
                return Ok(Some(ServerOp::Accepted((*answer).clone())));
            }
            Err(Verdict::Refused(reject)) => return Err(reject),
            Err(_) => return Err(Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS }),
        };
        fault::point("session: admitted");
        let envelope = Arc::new(Envelope {
            from_user: self.me.user,
            from_device: self.me.device,
            to: offer.to,
            sn: offer.sn,
            mid: offer.mid,
            at,
            again: offer.re.is_some(),
            withdraw: offer.withdraw.clone(),
            body: hushwire_wire::deliver::SharedBody::new(upload.shared.clone()),
        });
        let (admission, lane) = (self.admission.clone(), self.lane.clone());
        route::route(&self.node, envelope, targets, admission, lane, id);
        Ok(None)
    }

    /// Goes on with the sends whose pairs are loaded.
    pub(super) fn loaded(
        &mut self,
        cx: &mut Context<'_>,
        now_ms: u64,
        out: &mut BytesMut,
    ) -> Result<(), End> {
        for k in (0..self.sends.len()).rev() {
            let Some(waiting) = self.sends.get_mut(k) else { continue };
            let Some((_, loading)) = &mut waiting.loading else { continue };
            let Poll::Ready(facts) = loading.as_mut().poll(cx) else { continue };
            let Some((parts, _)) = waiting.loading.take() else { continue };
            let (id, (offer, upload)) = (waiting.id, *parts);
            let done = match facts {
                Ok(Some(facts)) => self.admit(id, &offer, &upload, &facts),
                Ok(None) => Err(Reject::NotContact {}),
                Err(Unavailable) => Err(Reject::Unavailable { retry_after_ms: BUSY_RETRY_MS }),
            };
            match done {
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

/// The facts of a pair, from the port, into the cache.
pub(crate) async fn load(
    node: Arc<Node>,
    a: UserId,
    b: UserId,
) -> Result<Option<Arc<PairFacts>>, Unavailable> {
    for _ in 0..LOADS {
        let at = match node.pairs.get(a, b) {
            Ok(facts) => return Ok(Some(facts)),
            Err(at) => at,
        };
        let facts = match node.ports.accounts.pair(a, b).await {
            Ok(Some(facts)) => facts,
            Ok(None) => return Ok(None),
            // Nothing has changed them here since they were loaded.
            Err(Unavailable) => return node.pairs.known(a, b).map(Some).ok_or(Unavailable),
        };
        let facts = Arc::new(facts);
        if node.pairs.put(a, b, &facts, at) {
            return Ok(Some(facts));
        }
    }
    Err(Unavailable)
}

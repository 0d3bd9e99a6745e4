//! What the server's answers do to an entry (DELIVERY, "Send", 1 and 2).

use super::{
    Accepted, Answer, Effect, Link, Outbox, Progress, RESUBMIT_EVERY_MS, Reject, Rule, later,
    limits,
};

/// After a full queue, in milliseconds.
const FULL_AGAIN_MS: u64 = 30_000;
/// After a second refusal of a fresh epoch, in milliseconds; it doubles (CRYPTO 11).
const STALE_AGAIN_MS: u64 = 10_000;
/// The longest such wait, in milliseconds.
const STALE_AGAIN_MAX_MS: u64 = 300_000;

impl Outbox {
    /// The server answered a transmission. An answer that does not belong to the entry is
    /// ignored.
    pub fn answered(&mut self, order: u64, answer: Answer, now: u64) -> Vec<Effect> {
        let mut out = Vec::new();
        if self.entries.contains_key(&order) {
            self.live.entry(order).or_default().on_wire = false;
            match answer {
                Answer::Accepted(accepted) => self.take(order, &accepted, now, &mut out),
                Answer::Reject(reject) => self.refused(order, reject, now, &mut out),
            }
        }
        self.pump(now, &mut out);
        out
    }

    fn take(&mut self, order: u64, accepted: &Accepted, now: u64, out: &mut Vec<Effect>) {
        let Some(entry) = self.entries.get_mut(&order) else { return };
        if accepted.sn != entry.sn || !entry.mids.contains(&accepted.mid) {
            self.live.entry(order).or_default().not_before = now + STALE_AGAIN_MS;
            return;
        }
        if !entry.accepted {
            entry.accepted = true;
            if entry.said.is_paced() {
                self.paced_from = self.paced_from.max(now + self.interval_ms);
            }
            let skipped = accepted.skipped.len();
            out.push(Effect::Tell(Progress::Accepted { id: entry.id, skipped }));
            if entry.delivered {
                out.push(Effect::Tell(Progress::Delivered(entry.id)));
            }
        }
        for device in &accepted.delivered {
            entry.settle(*device);
            Self::tell_delivered(entry, device, out);
        }
        for skipped in &accepted.skipped {
            entry.settle(skipped.device);
        }
        self.resubmitted(order, now);
        // What it took back is nowhere any more but where it was delivered: nothing to send again.
        let removal = self.entries.get(&order);
        let needless: Vec<u64> = removal
            .into_iter()
            .flat_map(|removal| self.made_needless(removal).map(|(order, _)| order))
            .collect();
        for order in needless {
            self.remove(order, out);
        }
        self.store_or_drop(order, out);
    }

    /// The next of a resubmission.
    fn resubmitted(&mut self, order: u64, now: u64) {
        if let Link::Resync { todo, .. } = &mut self.link
            && todo.front() == Some(&order)
        {
            todo.pop_front();
            self.resubmit_from = now + RESUBMIT_EVERY_MS;
        }
    }

    fn refused(&mut self, order: u64, reject: Reject, now: u64, out: &mut Vec<Effect>) {
        let was_accepted = self.entries.get(&order).is_some_and(|entry| entry.accepted);
        let live = self.live.entry(order).or_default();
        match reject {
            Reject::Unavailable { retry_after_ms }
            | Reject::RateLimited { retry_after_ms, rule: Rule::Repeat, .. } => {
                live.not_before = later(now, retry_after_ms);
            }
            Reject::RateLimited { retry_after_ms, rule: Rule::Resubmission, .. } => {
                self.resubmit_from = later(now, retry_after_ms.max(RESUBMIT_EVERY_MS));
                live.not_before = self.resubmit_from;
            }
            Reject::RateLimited { retry_after_ms, rule, .. } => {
                live.freed = true;
                live.told_until = None;
                let from = match rule {
                    Rule::ControlLane => &mut self.control_from,
                    _ => &mut self.paced_from,
                };
                *from = later(now, retry_after_ms);
            }
            Reject::DailyLimit { retry_after_ms, .. } => {
                live.freed = true;
                live.told_until = None;
                self.paced_from = later(now, retry_after_ms);
            }
            Reject::EpochStale {} | Reject::CounterReuse {} => {
                live.fresh = true;
                live.not_before = match live.stale_answers {
                    0 => now,
                    n => now + (STALE_AGAIN_MS << n.min(8)).min(STALE_AGAIN_MAX_MS) / 2,
                };
                live.stale_answers = live.stale_answers.saturating_add(1);
                self.unseal(order, out);
            }
            Reject::QueueFull {} | Reject::StoreFull {} => {
                live.not_before = now + FULL_AGAIN_MS;
                if let Some(entry) = self.entries.get(&order) {
                    let held = Progress::Held { id: entry.id, for_ms: FULL_AGAIN_MS };
                    out.push(Effect::Tell(held));
                }
                self.unseal(order, out);
            }
            Reject::StaleSn { last_sn, mid, answer } => {
                self.stale_sn(order, last_sn, mid, answer, now, out);
            }
            Reject::TrustTooLow { .. }
            | Reject::NoCredits { .. }
            | Reject::NotContact {}
            | Reject::Restricted { .. }
            | Reject::RecipientStale {}
            | Reject::TooLarge { .. }
            | Reject::BadRequest { .. }
            | Reject::Forbidden {} => {
                if was_accepted {
                    self.resubmitted(order, now);
                }
                self.fail(order, reject.name(), out);
            }
        }
    }

    /// A number at or below one that the server knows. If it knows it for this very message, its
    /// answer counts; otherwise the numbers go on past its last.
    fn stale_sn(
        &mut self,
        order: u64,
        last_sn: u64,
        mid: hushwire_wire::Mid,
        answer: Option<Accepted>,
        now: u64,
        out: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.entries.get(&order) else { return };
        if let Some(answer) = answer
            && entry.mids.contains(&mid)
            && answer.mid == mid
            && answer.sn == entry.sn
        {
            self.take(order, &answer, now, out);
            return;
        }
        if entry.accepted {
            // A resubmission is exempt from the order of numbers: nothing to go on with.
            self.resubmitted(order, now);
            return;
        }
        let to = entry.to;
        let last = self.last_sn.entry(to).or_default();
        if last_sn > *last && last_sn < limits::INT_MAX {
            *last = last_sn;
            out.push(Effect::PutSn(to, last_sn));
        }
        let live = self.live.entry(order).or_default();
        live.not_before = now + u64::from(live.stale_answers.min(10)) * 1000;
        live.stale_answers = live.stale_answers.saturating_add(1);
        self.unseal(order, out);
    }

    /// Back to plaintext: the next attempt takes a new number, counter and message id. What was
    /// accepted keeps number and bytes until it is encrypted again.
    fn unseal(&mut self, order: u64, out: &mut Vec<Effect>) {
        if let Some(entry) = self.entries.get_mut(&order)
            && !entry.accepted
            && entry.sent.take().is_some()
        {
            entry.sn = 0;
            out.push(Effect::Put(order));
        }
    }
}

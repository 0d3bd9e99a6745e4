//! What may be sent now, and when to look again: slots, the rules' delays, and the order of a
//! resubmission.

use std::collections::HashSet;

use super::{Effect, Entry, IN_FLIGHT, Link, Live, Mid, Outbox, Progress, Said, UserId, limits};

impl Outbox {
    pub(super) fn transmit(&mut self, order: u64, out: &mut Vec<Effect>) {
        let re = match &self.link {
            Link::Down => return,
            Link::Resync { r#gen, .. } => Some(*r#gen),
            Link::Up => None,
        };
        let Some(entry) = self.entries.get(&order) else { return };
        // An unaccepted message that was sealed when the loss was announced waits for its end.
        if re.is_some() != entry.accepted {
            return;
        }
        let Some(sent) = &entry.sent else { return };
        let (to, sn, upload) = (entry.to, entry.sn, sent.upload.clone());
        let withdraw = self.needless(entry);
        let id = entry.id;
        let is_first = !entry.accepted;
        if let Some(place) = entry.place().filter(|_| re.is_some() && entry.said.is_paced()) {
            self.again_at.insert(to, place);
        }
        let live = self.live.entry(order).or_default();
        live.on_wire = true;
        live.freed = false;
        out.push(Effect::Transmit { order, to, sn, upload, withdraw, re });
        if !live.told_sent && is_first {
            live.told_sent = true;
            out.push(Effect::Tell(Progress::Sent(id)));
        }
    }

    /// The ids of the messages that a removal makes needless, the newest ones: its target's and
    /// those of its edits. A batch has other parts, and stays.
    fn needless(&self, removal: &Entry) -> Vec<Mid> {
        let made = self.made_needless(removal);
        let mids: Vec<Mid> = made.flat_map(|(_, entry)| entry.mids.iter().copied()).collect();
        mids[mids.len().saturating_sub(limits::WITHDRAW_MAX)..].to_vec()
    }

    pub(super) fn made_needless(
        &self,
        removal: &Entry,
    ) -> impl Iterator<Item = (u64, &Entry)> + use<'_> {
        let to = removal.to;
        let target = match &removal.said {
            Said::Remove { target } => Some(*target),
            _ => None,
        };
        let is_needless = move |entry: &Entry| {
            let Some(target) = target.filter(|_| entry.to == to && entry.accepted) else {
                return false;
            };
            let is_edit = matches!(&entry.said, Said::Edit { target: of, .. } if *of == target);
            let is_it = entry.id == target && matches!(entry.said, Said::Text { .. });
            is_it || is_edit
        };
        self.entries().filter(move |(_, entry)| is_needless(entry))
    }

    /// Sends what may be sent now, and notes when to look again.
    pub(super) fn pump(&mut self, now: u64, out: &mut Vec<Effect>) {
        self.wake = None;
        match self.link {
            Link::Down => {}
            Link::Resync { .. } => self.pump_resync(now, out),
            Link::Up => self.pump_up(now, out),
        }
    }

    fn wake_at(&mut self, at: u64) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    fn pump_resync(&mut self, now: u64, out: &mut Vec<Effect>) {
        loop {
            let Link::Resync { r#gen, todo, said, .. } = &mut self.link else { return };
            let Some(order) = todo.front().copied() else {
                if !*said && now >= self.resubmit_from {
                    *said = true;
                    out.push(Effect::SayResynced(*r#gen));
                } else if !*said {
                    self.wake_at(self.resubmit_from);
                }
                return;
            };
            if !self.entries.contains_key(&order) {
                todo.pop_front();
                continue;
            }
            let live = self.live.entry(order).or_default();
            let from = live.not_before.max(self.resubmit_from);
            if live.on_wire || live.sealing {
                return;
            }
            if now < from {
                self.wake_at(from);
                return;
            }
            if live.fresh {
                live.sealing = true;
                out.push(Effect::Seal { order, fresh: true });
            } else if self.comes_too_late(order) {
                self.live.entry(order).or_default().sealing = true;
                out.push(Effect::Seal { order, fresh: false });
            } else {
                self.transmit(order, out);
            }
            return;
        }
    }

    /// Whether something older went again under the same epoch with a higher counter, having been
    /// encrypted again: the recipient shows by counters, so this one has to follow it.
    fn comes_too_late(&self, order: u64) -> bool {
        let Some(entry) = self.entries.get(&order).filter(|entry| entry.said.is_paced()) else {
            return false;
        };
        let Some((epoch, counter)) = entry.place() else { return false };
        let kept = self.entries.range(..order).rev().map(|(_, older)| older).find_map(|older| {
            let is_before = older.to == entry.to && older.accepted && older.said.is_paced();
            is_before.then(|| older.place()).flatten()
        });
        let passed = [kept, self.again_at.get(&entry.to).copied()];
        passed.into_iter().flatten().any(|(other, highest)| other == epoch && highest > counter)
    }

    fn pump_up(&mut self, now: u64, out: &mut Vec<Effect>) {
        let waiting: Vec<u64> =
            self.entries.iter().filter(|(_, e)| !e.accepted).map(|(order, _)| *order).collect();
        let mut busy: HashSet<UserId> = HashSet::new();
        let mut paced_out = false;
        // First those that hold a slot: encrypted, and nothing went to that recipient since.
        for order in &waiting {
            let Some(entry) = self.entries.get(order) else { continue };
            let live = self.live.entry(*order).or_default();
            let is_newest = self.last_sn.get(&entry.to) == Some(&entry.sn);
            let holds = live.sealing || (entry.sent.is_some() && is_newest && !live.freed);
            if !holds {
                continue;
            }
            busy.insert(entry.to);
            let idle = !live.on_wire && !live.sealing;
            let at = live.not_before;
            paced_out |= entry.said.is_paced() && !(idle && now < at);
            if idle && now < at {
                self.wake_at(at);
            } else if idle {
                self.transmit(*order, out);
            }
        }
        // Then the others, in order; what waits keeps its own kind to that recipient waiting.
        let mut behind: HashSet<(UserId, bool)> = HashSet::new();
        let mut place = 0;
        for order in waiting {
            let Some(entry) = self.entries.get(&order) else { continue };
            let live = self.live.entry(order).or_default();
            let (to, is_paced, id) = (entry.to, entry.said.is_paced(), entry.id);
            if live.sealing || live.on_wire || (busy.contains(&to) && Self::holds(live, entry)) {
                continue;
            }
            let rule = if is_paced { self.paced_from } else { self.control_from };
            let from = rule.max(live.not_before);
            if is_paced && rule > now {
                let until = rule + place * self.interval_ms;
                place += 1;
                if live.told_until.is_none_or(|told| told.abs_diff(until) > 500) {
                    live.told_until = Some(until);
                    out.push(Effect::Tell(Progress::Held { id, for_ms: until - now }));
                }
            }
            if behind.contains(&(to, is_paced)) {
                continue;
            }
            let paced_wait = is_paced && paced_out && self.interval_ms > 0;
            if now < from || busy.contains(&to) || busy.len() >= IN_FLIGHT || paced_wait {
                behind.insert((to, is_paced));
                if now < from {
                    self.wake_at(from);
                }
                continue;
            }
            busy.insert(to);
            paced_out |= is_paced;
            self.begin(order, out);
        }
    }

    fn holds(live: &Live, entry: &Entry) -> bool {
        entry.sent.is_some() && !live.freed
    }

    /// Sends the bytes at hand if nothing went to the recipient since, else encrypts again.
    fn begin(&mut self, order: u64, out: &mut Vec<Effect>) {
        let Some(entry) = self.entries.get_mut(&order) else { return };
        let is_newest = self.last_sn.get(&entry.to) == Some(&entry.sn);
        if entry.sent.is_some() && is_newest {
            self.transmit(order, out);
            return;
        }
        if entry.sent.take().is_some() {
            entry.sn = 0;
            out.push(Effect::Put(order));
        }
        let live = self.live.entry(order).or_default();
        live.sealing = true;
        out.push(Effect::Seal { order, fresh: live.fresh });
    }
}

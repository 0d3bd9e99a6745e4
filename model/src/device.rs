//! A device: its outbox and its store, which survive everything, and its connection, which does
//! not.
//!
//! The outbox is a small one with the rules of DELIVERY, "Send" 1 and "Loss of the queue store":
//! the SDK's also keeps pace, seals and tells the person, and has a model of its own
//! (`clients/rust/src/outbox/model.rs`).

use std::collections::{BTreeMap, BTreeSet};

use hushwire_wire::frame::News;
use hushwire_wire::{DeviceId, Gen, Mid};

use crate::bug::Bug;
use crate::ids::Sealing;
use crate::wire::{Answer, Down, Up};

/// A message in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outgoing {
    pub(crate) content: u8,
    pub(crate) sn: u8,
    /// The sealing that is sent; none while it is plaintext.
    pub(crate) sealing: Option<Sealing>,
    /// Every mid that was ever used under it.
    pub(crate) mids: Vec<Mid>,
    pub(crate) accepted: bool,
    pub(crate) failed: bool,
    /// Devices that have it, or never will.
    pub(crate) settled: BTreeSet<DeviceId>,
    /// The sealing at hand was refused: the next one is under the newest epoch.
    fresh: bool,
}

/// A connection as the device sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Link {
    pub(crate) conn: u8,
    pub(crate) up: bool,
    /// Which message is on its way, by content.
    pub(crate) on_wire: Option<u8>,
    /// The last answer was `unavailable`: to be sent again.
    pub(crate) waits: bool,
    /// What is still to be sent again after a loss, and for which generation.
    pub(crate) resync: Option<(Gen, Vec<u8>, bool)>,
    asked: bool,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Device {
    pub(crate) me: u8,
    pub(crate) user: u8,
    pub(crate) to: u8,
    pub(crate) link: Option<Link>,
    pub(crate) revoked: bool,
    // The outbox.
    pub(crate) outgoing: Vec<Outgoing>,
    pub(crate) r#gen: Option<Gen>,
    last_sn: u8,
    counter: u8,
    epoch: u8,
    // The store.
    pub(crate) known: BTreeSet<(DeviceId, Mid)>,
    pub(crate) shown: Vec<(DeviceId, u8)>,
    pub(crate) contents: BTreeSet<(DeviceId, u8)>,
    next: BTreeMap<DeviceId, u8>,
    pub(crate) held: BTreeSet<(DeviceId, u8, u8)>,
}

impl Device {
    pub(crate) fn new(me: u8, user: u8, to: u8) -> Self {
        Self {
            me,
            user,
            to,
            link: None,
            revoked: false,
            outgoing: Vec::new(),
            r#gen: None,
            last_sn: 0,
            counter: 0,
            epoch: 1,
            known: BTreeSet::new(),
            shown: Vec::new(),
            contents: BTreeSet::new(),
            next: BTreeMap::new(),
            held: BTreeSet::new(),
        }
    }

    pub(crate) fn connect(&mut self, conn: u8) {
        let (up, on_wire, waits, resync, asked) = (false, None, false, None, false);
        self.link = Some(Link { conn, up, on_wire, waits, resync, asked });
    }

    /// One more message. Contents are numbered over all devices, so that they are told apart.
    pub(crate) fn submit(&mut self, content: u8, epoch: u8) -> Vec<Up> {
        self.outgoing.push(Outgoing {
            content,
            sn: 0,
            sealing: None,
            mids: Vec::new(),
            accepted: false,
            failed: false,
            settled: BTreeSet::new(),
            fresh: false,
        });
        self.pump(epoch, None)
    }

    /// Sends again what was answered `unavailable`, or not at all.
    pub(crate) fn again(&mut self, epoch: u8, bug: Option<Bug>) -> Vec<Up> {
        if let Some(link) = &mut self.link {
            link.waits = false;
            link.on_wire = None;
        }
        self.pump(epoch, bug)
    }

    pub(crate) fn take(&mut self, frame: Down, epoch: u8, bug: Option<Bug>) -> Vec<Up> {
        let mut up = Vec::new();
        match frame {
            Down::Welcome(r#gen) => {
                if let Some(link) = &mut self.link {
                    link.up = true;
                }
                match self.r#gen {
                    Some(known) if known != r#gen => self.begin_resync(r#gen),
                    _ => self.r#gen = Some(r#gen),
                }
                up.extend(self.ask());
            }
            Down::Resync(r#gen) => {
                if self.r#gen != Some(r#gen) {
                    self.begin_resync(r#gen);
                }
            }
            Down::Resynced(done) => {
                if let Some(link) = &mut self.link
                    && let Some((r#gen, _, said)) = &mut link.resync
                {
                    if done {
                        self.r#gen = Some(*r#gen);
                        link.resync = None;
                    } else {
                        *said = false;
                        link.waits = true;
                    }
                }
            }
            Down::Message { n, from, mid } => {
                if bug != Some(Bug::AcksUnread) {
                    self.persist(from, mid, bug);
                }
                up.push(Up::Ack(n));
                up.extend(self.ask());
            }
            Down::Notice { n, news } => {
                self.notice(&news);
                up.push(Up::Ack(n));
            }
            Down::Answer { sn, mid, answer } => self.answered(sn, mid, answer),
            Down::Synced => {
                if let Some(link) = &mut self.link {
                    link.asked = false;
                }
                self.release();
            }
            Down::Close => self.link = None,
        }
        up.extend(self.pump(epoch, bug));
        up
    }

    /// Whether a message comes again, and how.
    pub(crate) fn knows(&self, from: DeviceId, mid: &Mid) -> Option<&'static str> {
        if self.known.contains(&(from, *mid)) {
            Some("came twice")
        } else if self.contents.contains(&(from, Sealing::of(mid).content)) {
            Some("came again under another mid")
        } else {
            None
        }
    }

    /// Whether there is something to send that only a repeat brings on.
    pub(crate) fn is_waiting(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.up && (link.waits || link.on_wire.is_some()))
    }

    fn pump(&mut self, epoch: u8, bug: Option<Bug>) -> Vec<Up> {
        let Some(link) = &mut self.link else { return Vec::new() };
        if !link.up || link.on_wire.is_some() || link.waits {
            return Vec::new();
        }
        let mut re = None;
        let mut chosen = None;
        if let Some((r#gen, todo, said)) = &mut link.resync {
            if let Some(first) = todo.first() {
                (re, chosen) = (Some(*r#gen), Some(*first));
            } else if !*said {
                *said = true;
                return vec![Up::Resynced(*r#gen)];
            } else {
                return Vec::new();
            }
            if bug == Some(Bug::NewBeforeLost)
                && let Some(new) = self.outgoing.iter().find(|o| !o.accepted && !o.failed)
            {
                (re, chosen) = (None, Some(new.content));
            }
        }
        let chosen = chosen
            .or_else(|| self.outgoing.iter().find(|o| !o.accepted && !o.failed).map(|o| o.content));
        let Some(out) = self.outgoing.iter_mut().find(|o| Some(o.content) == chosen) else {
            return Vec::new();
        };
        if out.sealing.is_none() || out.fresh {
            if out.fresh {
                self.epoch = epoch;
            }
            if !out.accepted {
                self.last_sn += 1;
                out.sn = self.last_sn;
            }
            self.counter += 1;
            out.fresh = false;
            let sealing =
                Sealing { content: out.content, epoch: self.epoch, counter: self.counter };
            out.mids.push(sealing.mid());
            out.sealing = Some(sealing);
        }
        let Some(sealing) = out.sealing else { return Vec::new() };
        link.on_wire = Some(out.content);
        vec![Up::Send { to: self.to, sn: out.sn, mid: sealing.mid(), re }]
    }

    fn begin_resync(&mut self, r#gen: Gen) {
        let todo = self.outgoing.iter().filter(|o| o.accepted).map(|o| o.content).collect();
        if let Some(link) = &mut self.link {
            link.resync = Some((r#gen, todo, false));
            (link.on_wire, link.waits) = (None, false);
        }
    }

    fn answered(&mut self, sn: u8, mid: Mid, answer: Answer) {
        let Some(link) = &mut self.link else { return };
        if let Answer::Accepted(accepted) = &answer
            && let Some(out) =
                self.outgoing.iter_mut().find(|o| o.accepted && o.mids.contains(&mid))
        {
            // A second answer to what was accepted: who has it counts.
            out.settled.extend(accepted.delivered.iter().copied());
        }
        let Some(content) = link.on_wire else { return };
        let Some(out) = self.outgoing.iter_mut().find(|o| o.content == content) else { return };
        if out.sn != sn || out.sealing.map(Sealing::mid) != Some(mid) {
            return;
        }
        link.on_wire = None;
        match answer {
            Answer::Accepted(accepted) => {
                // The record may name another of its mids: then that one counts.
                if out.mids.contains(&accepted.mid) {
                    out.accepted = true;
                    out.settled.extend(accepted.delivered);
                    out.settled.extend(accepted.skipped.iter().map(|skipped| skipped.device));
                    Self::resubmitted(link, content);
                } else {
                    link.waits = true;
                }
            }
            Answer::Unavailable => link.waits = true,
            Answer::EpochStale | Answer::CounterReuse => {
                out.fresh = true;
                link.waits = false;
            }
            Answer::QueueFull => {
                link.waits = true;
                if !out.accepted {
                    out.sealing = None;
                }
            }
            Answer::RecipientStale => {
                out.failed = true;
                Self::resubmitted(link, content);
            }
            Answer::StaleSn { last_sn, mid, answer } => {
                if let Some(answer) = answer
                    && out.mids.contains(&mid)
                {
                    out.accepted = true;
                    out.settled.extend(answer.delivered);
                    out.settled.extend(answer.skipped.iter().map(|skipped| skipped.device));
                    Self::resubmitted(link, content);
                } else if out.accepted {
                    Self::resubmitted(link, content);
                } else {
                    self.last_sn = self.last_sn.max(last_sn);
                    out.sealing = None;
                }
            }
        }
    }

    fn resubmitted(link: &mut Link, content: u8) {
        if let Some((_, todo, _)) = &mut link.resync {
            todo.retain(|one| *one != content);
        }
    }

    fn notice(&mut self, news: &News) {
        let (News::Delivered { mid, device }
        | News::Undecryptable { mid, device, .. }
        | News::Expired { mid, device }) = news
        else {
            return;
        };
        if let Some(out) = self.outgoing.iter_mut().find(|o| o.mids.contains(mid)) {
            out.settled.insert(*device);
        }
    }

    fn persist(&mut self, from: DeviceId, mid: Mid, bug: Option<Bug>) {
        let sealing = Sealing::of(&mid);
        let is_known = match bug {
            Some(Bug::NoDedup) => false,
            Some(Bug::DedupOfTheLatest) => self.shown.last() == Some(&(from, sealing.content)),
            _ => self.known.contains(&(from, mid)),
        };
        self.known.insert((from, mid));
        if is_known {
            return;
        }
        let forgets =
            [Some(Bug::NoDedup), Some(Bug::NoDedupByContent), Some(Bug::DedupOfTheLatest)];
        let is_new = self.contents.insert((from, sealing.content)) || forgets.contains(&bug);
        let next = self.next.entry(from).or_insert(1);
        if sealing.counter > *next && bug != Some(Bug::NoHold) {
            // A gap: later ones are held, also those whose content is known, for their counter.
            if is_new {
                self.held.insert((from, sealing.counter, sealing.content));
            }
            return;
        }
        *next = (*next).max(sealing.counter + 1);
        if is_new {
            self.shown.push((from, sealing.content));
        }
        // What was held and follows without a gap.
        while let Some(&held) =
            self.held.iter().find(|held| held.0 == from && self.next.get(&from) == Some(&held.1))
        {
            self.held.remove(&held);
            self.next.insert(from, held.1 + 1);
            self.shown.push((from, held.2));
        }
    }

    /// `sync` was answered: nothing of the gap will come.
    fn release(&mut self) {
        for (from, counter, content) in std::mem::take(&mut self.held) {
            self.next.insert(from, counter + 1);
            self.shown.push((from, content));
        }
    }

    fn ask(&mut self) -> Option<Up> {
        let link = self.link.as_mut().filter(|link| link.up && !link.asked)?;
        if self.held.is_empty() {
            return None;
        }
        link.asked = true;
        Some(Up::Sync)
    }
}

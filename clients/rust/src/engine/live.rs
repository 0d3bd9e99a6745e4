//! What only live devices hear: typing signs both ways, and presence.
//!
//! It is kept nowhere but for the person's wish to be shown. A typing sign is sealed like a message
//! on lane 1, whose counters are reserved before one of them is used; what is too soon or cannot be
//! sent now is left out. Presence is named anew on every connection.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use hushwire_e2ee::{Body, Content, ContentId};
use hushwire_wire::frame::{self, ClientFrame, ClientOp, Ephemeral, SendEphemeral, ShowPresence};
use hushwire_wire::message::{Class, Delivered, LANE_EPHEMERAL};
use hushwire_wire::{Reject, Sealed, UserId, limits};

use super::peer::may_send;
use super::{Engine, Phase, Question};
use crate::client::ShownTo;
use crate::error::ClientError;
use crate::event::Event;
use crate::ports::random_bytes;
use crate::record::{OwnPresence, Peer, Standing, WaitingMessage, to_json};
use crate::store::{Batch, Space, StoreError};

/// Between two typing signs to one contact, in milliseconds.
const TYPING_EVERY_MS: u64 = 3_000;
/// Contacts of whom it is remembered when they were told, at most; past it those go of whom it does
/// not matter any more.
const TYPED_MAX: usize = 256;
/// Between two lists of whom this device is shown to, in milliseconds: 12 a minute are allowed.
const SHOW_EVERY_MS: u64 = 5_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// When contacts were last told of typing, in ticks.
    typed: HashMap<UserId, u64>,
    /// The person's wish.
    wish: OwnPresence,
    /// Contacts that are there: as many as there are contacts.
    around: HashSet<UserId>,
    /// This connection has named somebody.
    is_shown: bool,
    /// When the list is to be sent, in ticks.
    due: Option<u64>,
    /// When it was sent last, in ticks.
    sent_at: Option<u64>,
}

impl Live {
    pub(super) fn new(wish: OwnPresence) -> Self {
        Self { wish, ..Self::default() }
    }

    /// A connection ended.
    pub(super) fn disconnected(&mut self) {
        self.around.clear();
        (self.is_shown, self.due, self.sent_at) = (false, None, None);
    }

    /// When [`Engine::show_due`] has something to do, in ticks.
    pub(super) const fn wake(&self) -> Option<u64> {
        self.due
    }

    /// The list is to be sent, as soon as it may be.
    fn changed(&mut self, now: u64) {
        if self.wish.on || self.is_shown {
            self.due = Some(self.sent_at.map_or(now, |at| now.max(at + SHOW_EVERY_MS)));
        }
    }

    /// Whether a typing sign may go to `to` now; it is remembered.
    fn may_type(&mut self, to: UserId, now: u64) -> bool {
        let is_recent = |at: u64| now < at + TYPING_EVERY_MS;
        if self.typed.get(&to).is_some_and(|at| is_recent(*at)) {
            return false;
        }
        if self.typed.len() >= TYPED_MAX {
            self.typed.retain(|_, at| is_recent(*at));
        }
        self.typed.len() < TYPED_MAX && self.typed.insert(to, now).is_none_or(|at| !is_recent(at))
    }
}

impl Engine {
    /// Tells a contact that somebody is typing, if that may be said and can be said at once.
    pub(super) fn type_to(&mut self, handle: &str) -> Result<(), ClientError> {
        let to = self.recipient(handle)?.user;
        // Chains of an old copy of this store are used for nothing.
        if !matches!(self.phase, Phase::Up(_)) || !self.is_current {
            return Ok(());
        }
        let note = self.peers.get(&to).and_then(Peer::newest);
        let usable = note.filter(|note| !note.dropped && !note.stale).map(|note| note.id);
        let Some(id) = usable.filter(|_| !self.ahead.contains_key(&to)) else { return Ok(()) };
        // A new epoch is made for messages, not for this.
        if self.state_here(&id)?.is_none() || self.due_of(id, &to)?.is_some() {
            return Ok(());
        }
        let now = self.clock.ticks_ms();
        if !self.live.may_type(to, now) {
            return Ok(());
        }
        let content = Content {
            id: ContentId(random_bytes(self.random.as_mut())?),
            sent_ms: self.clock.now_ms(),
            prev_sent: 0,
            seen: Vec::new(),
            body: Body::Typing { on: true },
        };
        let salt = random_bytes(self.random.as_mut())?;
        let Some(state) = self.epochs.get_mut(&id) else { return Ok(()) };
        let (class, lane) = content.body.class_and_lane();
        // A chain that is at its end says nothing more.
        let Ok(sealed) = state.seal(class, lane, &content, salt) else { return Ok(()) };
        if sealed.store_first {
            let mut batch = Batch::default();
            batch.put(Space::Epoch, id.as_bytes(), state.to_bytes());
            self.store.add(&batch)?;
        }
        let upload = Sealed::new(sealed.upload);
        let op = ClientOp::Ephemeral(SendEphemeral { to, upload });
        self.send(&ClientFrame { id: None, op });
        Ok(())
    }

    /// A typing sign of a contact. What is anything else, or of an epoch that is not known, is
    /// dropped: nothing is fetched for it.
    pub(super) fn ephemeral(&mut self, told: Ephemeral) -> Result<(), StoreError> {
        let Ok(parsed) = Delivered::parse(told.msg.as_bytes()) else { return Ok(()) };
        let header = &parsed.header;
        if header.lane != LANE_EPHEMERAL || header.class != Class::Control {
            return Ok(());
        }
        let active = |peer: &&Peer| peer.standing == Standing::Active;
        let peer = self.peers.get(&told.from_user).filter(active);
        if peer.and_then(|peer| peer.note(&header.epoch)).is_none_or(|note| note.dropped) {
            return Ok(());
        }
        let waiting = WaitingMessage {
            at: self.clock.now_ms(),
            peer: told.from_user,
            from_user: told.from_user,
            from_device: told.from_device,
            msg: told.msg,
        };
        // Whatever is wrong with it: nobody waits for an answer.
        self.open_message(&waiting, None).map(|_| ())
    }

    /// Remembers to whom this device is to be shown.
    pub(super) fn show_to(&mut self, to: &ShownTo) -> Result<(), ClientError> {
        let wish = match to {
            ShownTo::Nobody => OwnPresence { on: false, only: None },
            ShownTo::All => OwnPresence { on: true, only: None },
            ShownTo::Only(handles) if handles.len() > limits::PRESENCE_MAX => {
                return Err(ClientError::TooManyShown { max: limits::PRESENCE_MAX });
            }
            ShownTo::Only(handles) => {
                let user = |handle: &String| self.contact(handle).map(|peer| peer.user);
                let only = handles.iter().map(user).collect::<Result<_, _>>()?;
                OwnPresence { on: true, only: Some(only) }
            }
        };
        let mut batch = Batch::default();
        batch.put(Space::Own, b"presence", to_json(&wish));
        self.store.add(&batch)?;
        self.live.wish = wish;
        self.presence_changed();
        Ok(())
    }

    /// To whom it is shown.
    pub(super) fn shown_to(&self) -> ShownTo {
        match &self.live.wish {
            OwnPresence { on: false, .. } => ShownTo::Nobody,
            OwnPresence { only: None, .. } => ShownTo::All,
            OwnPresence { only: Some(only), .. } => {
                ShownTo::Only(only.iter().map(|user| self.name_of(user)).collect())
            }
        }
    }

    /// Whom the wish means has changed.
    pub(super) fn presence_changed(&mut self) {
        if matches!(self.phase, Phase::Up(_)) {
            self.live.changed(self.clock.ticks_ms());
        }
    }

    /// Sends the list if that is due.
    pub(super) fn show_due(&mut self) {
        let now = self.clock.ticks_ms();
        if !matches!(self.phase, Phase::Up(_)) || self.live.due.is_none_or(|due| now < due) {
            return;
        }
        let (on, to) = (self.live.wish.on, self.meant());
        (self.live.due, self.live.sent_at, self.live.is_shown) = (None, Some(now), on);
        // Who is there is told again.
        self.live.around.clear();
        self.ask(ClientOp::Presence(ShowPresence { on, to }), Question::Presence);
    }

    /// The contacts to be named: of too many, those that were heard of last.
    fn meant(&self) -> Vec<UserId> {
        let OwnPresence { on, only } = &self.live.wish;
        let is_meant = |peer: &&Peer| {
            let is_chosen = only.as_ref().is_none_or(|only| only.contains(&peer.user));
            *on && is_chosen && !peer.refused && may_send(peer).is_ok()
        };
        let meant = self.peers.values().filter(is_meant);
        let mut meant: Vec<_> = meant.map(|peer| (Reverse(peer.confirmed_ms), peer.user)).collect();
        meant.sort_unstable();
        meant.truncate(limits::PRESENCE_MAX);
        meant.into_iter().map(|(_, user)| user).collect()
    }

    /// The list was refused: it is sent again if waiting helps.
    pub(super) fn not_shown(&mut self, reject: &Reject) {
        if let Reject::RateLimited { retry_after_ms, .. } | Reject::Unavailable { retry_after_ms } =
            reject
        {
            let wait = (*retry_after_ms).clamp(SHOW_EVERY_MS, 60 * SHOW_EVERY_MS);
            self.live.due = Some(self.clock.ticks_ms() + wait);
        }
    }

    /// A contact is there, or is not any more.
    pub(super) fn presence(&mut self, told: frame::Presence) {
        let active = |peer: &&Peer| peer.standing == Standing::Active;
        let Some(peer) = self.peers.get(&told.user).filter(active) else { return };
        let (handle, on) = (peer.handle.clone(), told.on);
        let is_news = if on {
            self.live.is_shown && self.live.around.insert(told.user)
        } else {
            self.live.around.remove(&told.user)
        };
        if is_news {
            self.tell(Event::Presence { handle, on });
        }
    }
}

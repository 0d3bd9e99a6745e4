//! What a turn says to the outside: frames, events and answers to commands. They wait here until
//! what the turn wrote is durable.
//!
//! Frames belong to the connection of the turn and go with it; events past [`EVENTS_MAX`] are
//! counted, not kept; a turn answers one command and asks a few questions.

use std::collections::VecDeque;

use hushwire_wire::frame::ClientFrame;
use tokio::sync::oneshot;

use super::{Engine, Phase, Up};
use crate::backoff::Ending;
use crate::event::{EVENTS_MAX, Event, advice};
use crate::message::Message;
use crate::outbox::Progress;
use crate::record::place;
use crate::store::{Space, StoreError};

type Answer = Box<dyn FnOnce() + Send>;

/// See the module.
#[derive(Default)]
pub(super) struct After {
    pub(super) frames: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
    answers: VecDeque<Answer>,
}

impl Engine {
    /// Commits what was written, then lets out what waited for it.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        self.store.commit()?;
        while let Some(answer) = self.after.answers.pop_front() {
            answer();
        }
        while let Some(frame) = self.after.frames.pop_front() {
            let link = match &self.phase {
                Phase::Greeting { link, .. } | Phase::Up(Up { link, .. }) => link,
                Phase::Down { .. } | Phase::Opening(_) => continue,
            };
            if link.out.try_send(frame).is_err() {
                // The socket takes nothing any more: its end is on the way, or is made now.
                self.lost("the connection is stuck", &Ending::default());
            }
        }
        while let Some(event) = self.after.events.pop_front() {
            self.tell_now(event);
        }
        Ok(())
    }

    /// Sends a frame on the connection at hand, if there is one.
    pub(super) fn send(&mut self, frame: &ClientFrame) {
        if matches!(self.phase, Phase::Greeting { .. } | Phase::Up(_)) {
            self.after.frames.push_back(self.encoding.encode_client(frame));
        }
    }

    /// Answers a command. Whoever asked may have gone: then nobody minds.
    pub(super) fn reply<T: Send + 'static>(&mut self, to: oneshot::Sender<T>, answer: T) {
        self.after.answers.push_back(Box::new(move || drop(to.send(answer))));
    }

    /// Tells an event, or counts it if nobody takes any.
    pub(super) fn tell(&mut self, event: Event) {
        if self.after.events.len() < EVENTS_MAX {
            self.after.events.push_back(event);
        } else {
            self.missed += 1;
        }
    }

    /// Tells an event that depends on nothing written.
    pub(super) fn tell_now(&mut self, event: Event) {
        if self.missed > 0 && self.events.try_send(Event::Missed(self.missed)).is_ok() {
            self.missed = 0;
        }
        if self.missed > 0 || self.events.try_send(event).is_err() {
            self.missed += 1;
        }
    }

    pub(super) fn tell_progress(&mut self, progress: Progress) {
        self.tell(match progress {
            Progress::Sent(id) => Event::Sent(id),
            Progress::Held { id, for_ms } => Event::Held { id, for_ms },
            Progress::Accepted { id, skipped } => Event::Accepted { id, skipped },
            Progress::Delivered(id) => Event::Delivered(id),
            Progress::Unreadable { id, code } => Event::Unreadable { id, code },
            Progress::Expired(id) => Event::Expired(id),
            Progress::Failed { id, why, may_have_arrived } => {
                let mut words = advice(why).to_owned();
                if may_have_arrived {
                    words.push_str(" (it may have arrived)");
                }
                Event::Failed { id, code: why, why: words }
            }
            Progress::Resynced { again } => Event::Resynced { again },
        });
    }

    /// Tells messages that nobody has looked at, in order, as far as there is room.
    pub(super) fn tell_unshown(&mut self) {
        if self.missed > 0 && self.events.try_send(Event::Missed(self.missed)).is_ok() {
            self.missed = 0;
        }
        while self.missed == 0 && self.events.capacity() > 0 {
            let next = self.unshown.range(self.told + 1..).next();
            let Some((order, (peer, position))) = next.map(|(order, at)| (*order, *at)) else {
                return;
            };
            let message = self.store.record::<Message>(Space::History, &place(&peer, position));
            if let Ok(Some(message)) = message
                && self.events.try_send(Event::MessageReceived(message)).is_err()
            {
                return;
            }
            self.told = order;
        }
    }
}

//! How far the own messages of this session have come.
//!
//! It remembers the beginnings of their texts, so that "delivered" can say what, and knows the
//! state of the newest for the countdown. It owns no truth: the outbox of the SDK does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hushwire_client::{Id, Message, Stage};

use crate::escape;
use crate::render::Line;

/// Own messages that are remembered, at most; then the oldest is forgotten.
pub(crate) const REMEMBERED_MAX: usize = 256;
/// So long a sign of typing is shown: two of them come in that time while somebody types.
const TYPING: Duration = Duration::from_secs(6);
/// Characters of each that are shown, at most.
const BEGINNING: usize = 40;

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Held(Instant),
    Sent,
    Accepted,
    Delivered,
    Failed,
}

#[derive(Debug)]
struct Own {
    id: Id,
    text: String,
    state: State,
}

/// The own messages of this session, newest last.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    own: VecDeque<Own>,
    /// Texts of own messages of earlier sessions that are not delivered yet.
    earlier: Vec<(Id, String)>,
    is_connected: bool,
    /// The other side is typing, until then at the longest.
    typing_until: Option<Instant>,
    /// Attempts to connect that failed since the last that did not.
    failures: u64,
}

impl Progress {
    /// With the texts of own messages that an earlier session left under way: as many as are
    /// handed in.
    pub(crate) fn with_earlier(last: &[Message]) -> Self {
        let is_under_way =
            |stage: Option<Stage>| stage.is_some_and(|stage| stage < Stage::Delivered);
        let earlier = last
            .iter()
            .filter(|message| is_under_way(message.stage))
            .map(|message| (message.id, escape::beginning(&message.text, BEGINNING)))
            .collect();
        Self { earlier, ..Self::default() }
    }

    /// Remembers the words of this message, too.
    pub(crate) fn knows(&mut self, message: &Message) {
        self.earlier.push((message.id, escape::beginning(&message.text, BEGINNING)));
    }

    /// The beginning of an own message, escaped.
    pub(crate) fn text(&self, id: &Id) -> Option<&str> {
        let own = self.own.iter().rev().find(|own| own.id == *id).map(|own| own.text.as_str());
        own.or_else(|| {
            let earlier = self.earlier.iter().find(|(known, _)| known == id);
            earlier.map(|(_, text)| text.as_str())
        })
    }

    /// Whether the last line said once more that there is no connection.
    pub(crate) const fn is_still_offline(&self) -> bool {
        self.failures > 1
    }

    /// Whether this is the newest own message.
    pub(crate) fn is_newest(&self, id: &Id) -> bool {
        self.own.back().is_some_and(|own| own.id == *id)
    }

    /// Takes note of what happened at `now`.
    pub(crate) fn take(&mut self, line: &Line<'_>, now: Instant) {
        match line {
            Line::Typing { on, .. } => self.typing_until = on.then_some(now + TYPING),
            // What was typed.
            Line::Message { .. } => self.typing_until = None,
            Line::Connected => (self.is_connected, self.failures) = (true, 0),
            Line::Disconnected { .. } => {
                self.is_connected = false;
                self.failures = self.failures.saturating_add(1);
            }
            Line::Queued { id, text, .. } => {
                if self.own.len() >= REMEMBERED_MAX {
                    self.own.pop_front();
                }
                let text = escape::beginning(text, BEGINNING);
                self.own.push_back(Own { id: *id, text, state: State::Waiting });
            }
            Line::Held { id, for_ms } => {
                self.put(id, State::Held(now + Duration::from_millis(*for_ms)));
            }
            Line::Sent { id } => self.put(id, State::Sent),
            Line::Accepted { id, .. } => self.put(id, State::Accepted),
            Line::Delivered { id } => self.put(id, State::Delivered),
            Line::Expired { id } | Line::Failed { id, .. } => self.put(id, State::Failed),
            _ => {}
        }
    }

    fn put(&mut self, id: &Id, state: State) {
        // A message that is sent again after a resync stays accepted for the person.
        let is_back = |known| {
            matches!(known, State::Accepted | State::Delivered)
                && matches!(state, State::Held(_) | State::Sent)
        };
        if let Some(own) = self.own.iter_mut().rev().find(|own| own.id == *id)
            && !is_back(own.state)
            && own.state != State::Delivered
        {
            own.state = state;
        }
    }

    /// The state of the newest own message at `now`, in a few words.
    pub(crate) fn status(&self, now: Instant) -> String {
        if self.typing_until.is_some_and(|until| now < until) {
            return "is typing ...".to_owned();
        }
        let Some(newest) = self.own.back() else {
            return if self.is_connected { String::new() } else { "not connected".to_owned() };
        };
        match newest.state {
            State::Held(until) if self.is_connected => {
                let left = until.saturating_duration_since(now);
                // Rounded up: at "0 s" it is on its way.
                let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
                if seconds == 0 { "goes now".to_owned() } else { format!("goes in {seconds} s") }
            }
            State::Waiting | State::Held(_) | State::Sent if !self.is_connected => {
                "waits, offline".to_owned()
            }
            State::Waiting | State::Held(_) => "waits".to_owned(),
            State::Sent => "sent".to_owned(),
            State::Accepted => "\u{2713} accepted".to_owned(),
            State::Delivered => "\u{2713}\u{2713} delivered".to_owned(),
            State::Failed => "not sent".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u16) -> Id {
        let bytes: Vec<u8> = n.to_be_bytes().into_iter().cycle().take(16).collect();
        let mut id = Id::from_text("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        id.0.0.copy_from_slice(&bytes);
        id
    }

    fn queue(progress: &mut Progress, n: u16, now: Instant) {
        progress.take(
            &Line::Queued { id: id(n), to: "bob", text: &format!("text {n}"), items: &[] },
            now,
        );
    }

    #[test]
    fn the_countdown_runs_and_ends() {
        let (mut progress, now) = (Progress::default(), Instant::now());
        assert_eq!(progress.status(now), "not connected");
        progress.take(&Line::Connected, now);
        assert_eq!(progress.status(now), "");
        queue(&mut progress, 1, now);
        assert_eq!(progress.status(now), "waits");
        progress.take(&Line::Held { id: id(1), for_ms: 9_500 }, now);
        assert_eq!(progress.status(now), "goes in 10 s");
        assert_eq!(progress.status(now + Duration::from_millis(9_000)), "goes in 1 s");
        assert_eq!(progress.status(now + Duration::from_millis(9_500)), "goes now");
        progress.take(&Line::Disconnected { why: "", retry_in_ms: Some(1) }, now);
        assert_eq!(progress.status(now), "waits, offline");
        assert!(!progress.is_still_offline());
        progress.take(&Line::Disconnected { why: "", retry_in_ms: Some(1) }, now);
        assert!(progress.is_still_offline());
        progress.take(&Line::Connected, now);
        assert!(!progress.is_still_offline());
    }

    #[test]
    fn typing_is_shown_for_some_seconds_or_until_the_message_comes() {
        let (mut progress, now) = (Progress::default(), Instant::now());
        progress.take(&Line::Connected, now);
        let typing = Line::Typing { from: "bob", on: true };
        progress.take(&typing, now);
        assert_eq!(progress.status(now + Duration::from_millis(5_999)), "is typing ...");
        assert_eq!(progress.status(now + TYPING), "");
        progress.take(&typing, now);
        progress.take(&Line::Typing { from: "bob", on: false }, now);
        assert_eq!(progress.status(now), "");
        progress.take(&typing, now);
        let message = Line::Message {
            id: id(1),
            from: "bob",
            text: "hi",
            sent_ms: 0,
            at_ms: 0,
            reply_to: None,
            from_removed: false,
        };
        progress.take(&message, now);
        assert_eq!(progress.status(now), "");
    }

    #[test]
    fn a_message_never_goes_back() {
        let (mut progress, now) = (Progress::default(), Instant::now());
        progress.take(&Line::Connected, now);
        queue(&mut progress, 1, now);
        for (line, status) in [
            (Line::Sent { id: id(1) }, "sent"),
            (Line::Accepted { id: id(1), skipped: 0 }, "\u{2713} accepted"),
            (Line::Sent { id: id(1) }, "\u{2713} accepted"),
            (Line::Held { id: id(1), for_ms: 1 }, "\u{2713} accepted"),
            (Line::Delivered { id: id(1) }, "\u{2713}\u{2713} delivered"),
            (Line::Accepted { id: id(1), skipped: 0 }, "\u{2713}\u{2713} delivered"),
        ] {
            progress.take(&line, now);
            assert_eq!(progress.status(now), status);
        }
        queue(&mut progress, 2, now);
        progress.take(&Line::Failed { id: id(2), code: "x", why: "y" }, now);
        assert_eq!(progress.status(now), "not sent");
    }

    #[test]
    fn what_an_earlier_session_left_has_a_text_and_no_state() {
        let message = |n, stage| Message {
            id: id(n),
            peer: hushwire_client::UserId([1; 32]),
            from: "alice".to_owned(),
            stage,
            text: format!("text {n}\u{1b}"),
            reply_to: None,
            sent_ms: 0,
            at_ms: 0,
            position: 0,
            from_removed: false,
            since: hushwire_client::Since::default(),
            missed: 0,
        };
        let last = [
            message(1, Some(Stage::Waiting)),
            message(2, Some(Stage::Delivered)),
            message(3, None),
        ];
        let progress = Progress::with_earlier(&last);
        assert_eq!(progress.text(&id(1)), Some("text 1\\u{1b}"));
        assert_eq!((progress.text(&id(2)), progress.text(&id(3))), (None, None));
        assert!(!progress.is_newest(&id(1)));
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let (mut progress, now) = (Progress::default(), Instant::now());
        let max = u16::try_from(REMEMBERED_MAX).unwrap();
        for n in 0..=max {
            queue(&mut progress, n, now);
        }
        assert_eq!(progress.own.len(), REMEMBERED_MAX);
        assert_eq!(progress.text(&id(0)), None);
        assert_eq!(progress.text(&id(1)), Some("text 1"));
        assert!(progress.is_newest(&id(max)) && !progress.is_newest(&id(1)));
        progress.take(&Line::Delivered { id: id(0) }, now);
    }
}

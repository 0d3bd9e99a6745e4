//! The life of a connection: open, challenge, hello, welcome, liveness, end, and again.

use std::time::Duration;

use hushwire_wire::frame::{
    self, Challenge, ClientFrame, ClientOp, EventKind, Hello, News, ServerFrame, ServerOp, Welcome,
};
use hushwire_wire::{Close, DecodeError, Reject, Sealed, UserId, limits};

use super::{Engine, Phase, Question, UPKEEP_EVERY_MS, Up};
use crate::backoff::Ending;
use crate::error::ClientError;
use crate::event::Event;
use crate::inbox::{ACK_EVERY, Numbers};
use crate::outbox::Answer;
use crate::store::StoreError;
use crate::transport::{Arrival, Link, Unreachable};

/// What a server is given beyond its own heartbeat, in milliseconds.
const SILENCE_MS: u64 = 10_000;
/// How long a server may take to greet, in milliseconds.
const GREETING_MS: u64 = 10_000;
/// How long an answer may take, in milliseconds; the server's own deadline is 10 s.
const ANSWER_MS: u64 = 30_000;
/// How long closing may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long a connection that nobody closed may still come in at a server, in milliseconds: until it
/// misses a pong, and then some.
pub(super) const LATE_MS: u64 = 60_000;
/// The name in `hello`.
const CLIENT: &str = concat!("hushwire-client/", env!("CARGO_PKG_VERSION"));

impl Up {
    pub(super) fn deadline(&self) -> u64 {
        self.heard_at + self.heartbeat_ms + SILENCE_MS
    }
}

impl Engine {
    pub(super) async fn connection_tick(&mut self, now: u64) -> Result<(), StoreError> {
        match &self.phase {
            Phase::Down { retry_at: Some(at) } if now >= *at => {
                self.phase = Phase::Opening(self.transport.open(self.encoding));
            }
            Phase::Greeting { until, .. } if now >= *until => {
                self.lost("the server did not greet in time", &Ending::default());
            }
            Phase::Up(up) if now >= up.deadline() => {
                self.lost("nothing was heard of the server", &Ending::default());
            }
            Phase::Up(_) if self.answer_due().is_some_and(|due| now >= due) => {
                self.lost("the server does not answer", &Ending::default());
            }
            _ => {}
        }
        Ok(())
    }

    /// When the oldest question should have been answered.
    pub(super) fn answer_due(&self) -> Option<u64> {
        self.questions.values().map(|(_, asked_at)| asked_at + ANSWER_MS).min()
    }

    /// Ends the connection in good order: what is persisted is acknowledged, and the socket has
    /// a moment to carry it.
    pub(super) async fn shut(&mut self) {
        self.acknowledge(true);
        if self.settle().is_err() {
            return;
        }
        let down = Phase::Down { retry_at: None };
        let link = match std::mem::replace(&mut self.phase, down) {
            Phase::Greeting { link, .. } | Phase::Up(Up { link, .. }) => link,
            Phase::Down { .. } | Phase::Opening(_) => return,
        };
        let Link { out, mut arrivals } = link;
        drop(out);
        // What still arrives is not acknowledged, so it comes again.
        let gone = async { while arrivals.recv().await.is_some() {} };
        let _ = tokio::time::timeout(GOODBYE, gone).await;
    }

    pub(super) fn opened(&mut self, opened: Result<Link, Unreachable>) {
        match opened {
            Ok(link) => {
                let until = self.clock.ticks_ms() + GREETING_MS;
                self.phase = Phase::Greeting { link, until };
            }
            Err(Unreachable { why }) => {
                self.lost(&format!("the server cannot be reached: {why}"), &Ending::default());
            }
        }
    }

    /// The connection ended, or is ended: when to come back, if at all.
    pub(super) fn lost(&mut self, why: &str, ending: &Ending) {
        let now = self.clock.ticks_ms();
        let comes_back = ending.comes_back() || self.displaced_itself(ending, now);
        let is_open = matches!(self.phase, Phase::Greeting { .. } | Phase::Up(_));
        if is_open && ending.code.is_none() {
            self.late_until = now + LATE_MS;
        }
        let retry_in_ms =
            comes_back.then(|| self.backoff.next(ending.after_ms, self.random.as_mut()));
        self.phase = Phase::Down { retry_at: retry_in_ms.map(|ms| now + ms) };
        self.questions.clear();
        self.after.frames.clear();
        self.outbox.disconnected();
        self.gaps.disconnected();
        self.live.disconnected();
        self.tell(Event::Disconnected { why: why.to_owned(), retry_in_ms });
    }

    /// Whether what displaced this connection may have been an earlier one of this very program, that
    /// came in late. Believed once for each: of two programs one stays away.
    fn displaced_itself(&mut self, ending: &Ending, now: u64) -> bool {
        let is_displaced = ending.close() == Some(Close::Displaced);
        is_displaced && now < std::mem::take(&mut self.late_until)
    }

    pub(super) async fn arrival(&mut self, arrival: Arrival) -> Result<(), StoreError> {
        let now = self.clock.ticks_ms();
        if let Phase::Up(up) = &mut self.phase {
            up.heard_at = now;
        }
        match arrival {
            Arrival::Heard => Ok(()),
            Arrival::Ended(ending) => {
                self.lost(&words(&ending), &ending);
                Ok(())
            }
            Arrival::Frame(bytes) => match self.encoding.decode_server(&bytes) {
                Ok(frame) => {
                    self.frame(frame).await?;
                    self.acknowledge(false);
                    Ok(())
                }
                // A server of tomorrow may say what is not known here.
                Err(DecodeError::Refused { .. }) => Ok(()),
                Err(DecodeError::Malformed) => {
                    self.lost("the server sent garbage", &Ending::default());
                    Ok(())
                }
            },
        }
    }

    /// Acknowledges what is persisted: at once if nothing else has arrived, else coalesced.
    pub(super) fn acknowledge(&mut self, now: bool) {
        let Phase::Up(up) = &mut self.phase else { return };
        if !now && !up.link.arrivals.is_empty() && up.numbers.due() < ACK_EVERY {
            return;
        }
        if let Some(ack) = up.numbers.ack() {
            self.send(&ClientFrame { id: None, op: ClientOp::Ack(ack) });
        }
    }

    async fn frame(&mut self, frame: ServerFrame) -> Result<(), StoreError> {
        let now = self.clock.ticks_ms();
        let id = frame.id;
        match (frame.op, &mut self.phase) {
            (ServerOp::Challenge(challenge), Phase::Greeting { .. }) => self.hello(&challenge),
            (ServerOp::Welcome(welcome), Phase::Greeting { .. }) => {
                return self.welcome(welcome).await;
            }
            (_, Phase::Down { .. } | Phase::Opening(_) | Phase::Greeting { .. }) => {
                self.lost("the server did not greet as it should", &Ending::default());
            }
            (ServerOp::Message(message), Phase::Up(up)) => {
                if up.numbers.take(message.n).is_err() {
                    self.lost("the server skipped or repeated a message", &Ending::default());
                    return Ok(());
                }
                if let Err(code) = self.message(message).await? {
                    // The connection may have ended while an epoch was fetched.
                    if let Phase::Up(up) = &mut self.phase {
                        up.numbers.fail(code.as_str());
                    }
                }
                self.ask_sync();
                self.heal_due().await?;
            }
            (ServerOp::Notice(notice), Phase::Up(up)) => {
                if up.numbers.take(notice.n).is_err() {
                    self.lost("the server skipped or repeated a notice", &Ending::default());
                    return Ok(());
                }
                if let News::Gap { contact, count } = &notice.what {
                    return self.note_gap(contact, *count);
                }
                let effects = self.outbox.notice(&notice.what, now);
                self.carry_out(effects).await?;
            }
            (ServerOp::Event(event), Phase::Up(_)) => self.event(&event).await?,
            (ServerOp::Resync(resync), Phase::Up(_)) => {
                let effects = self.outbox.resync(resync.r#gen, now);
                self.carry_out(effects).await?;
            }
            (ServerOp::Accepted(accepted), Phase::Up(_)) => {
                self.answer(id, Answer::Accepted(accepted)).await?;
            }
            (ServerOp::Reject(reject), Phase::Up(_)) => {
                self.answer(id, Answer::Reject(reject)).await?;
            }
            (ServerOp::Ephemeral(told), Phase::Up(_)) => self.ephemeral(told)?,
            (ServerOp::Presence(told), Phase::Up(_)) => self.presence(told),
            // Not made yet.
            (ServerOp::Call(_), Phase::Up(_)) => {}
            (ServerOp::Ok {}, Phase::Up(_)) => self.okay(id).await?,
            (ServerOp::Pong {}, Phase::Up(_)) => {}
            (ServerOp::Challenge(_) | ServerOp::Welcome(_), Phase::Up(_)) => {
                self.lost("the server greeted twice", &Ending::default());
            }
        }
        Ok(())
    }

    fn hello(&mut self, challenge: &Challenge) {
        if challenge.domain != self.account.domain {
            // Signing for another domain would let that server sign in here.
            let code = Some(Close::NotAuthenticated.code());
            let ending = Ending { code, ..Ending::default() };
            self.lost("the server names another domain than this account's", &ending);
            return;
        }
        let user = self.account.user;
        let signature = self.key.login(&challenge.domain, &challenge.nonce, &user);
        let hello = Hello {
            user,
            device: self.key.device_id(),
            signature: Sealed::new(signature.to_vec()),
            r#gen: self.outbox.generation(),
            client: CLIENT.to_owned(),
            features: Vec::new(),
        };
        self.send(&ClientFrame { id: None, op: ClientOp::Hello(hello) });
    }

    async fn welcome(&mut self, welcome: Welcome) -> Result<(), StoreError> {
        let now = self.clock.ticks_ms();
        let down = Phase::Down { retry_at: None };
        if let Phase::Greeting { link, .. } = std::mem::replace(&mut self.phase, down) {
            let heartbeat_ms = welcome.heartbeat_ms.min(10 * limits::HEARTBEAT_MS);
            let numbers = Numbers::default();
            self.phase = Phase::Up(Up { link, numbers, heard_at: now, heartbeat_ms });
        }
        self.backoff.reset();
        self.token = Some((welcome.token, welcome.token_until));
        self.tell(Event::Connected);
        self.put_here = false;
        self.looked.clear();
        // A rolled-back store shows here, before anything is sent under its chains.
        quiet(self.renew_prekey().await)?;
        quiet(self.catch_up(welcome.v).await)?;
        self.upkeep().await?;
        for user in self.unreachable() {
            quiet(self.heard_of_prekey(user).await)?;
        }
        self.heal_due().await?;
        self.ask_sync();
        // A call above may have cost the connection.
        if matches!(self.phase, Phase::Up(_)) {
            let effects = self.outbox.connected(welcome.r#gen, now);
            self.carry_out(effects).await?;
            self.presence_changed();
            self.show_due();
        }
        Ok(())
    }

    fn unreachable(&self) -> Vec<UserId> {
        self.peers.values().filter(|peer| peer.unreachable).map(|peer| peer.user).collect()
    }

    pub(super) async fn event(&mut self, event: &frame::Event) -> Result<(), StoreError> {
        if let (EventKind::Prekey, Some(peer)) = (event.kind, event.peer) {
            quiet(self.heard_of_prekey(peer).await)?;
            return self.try_again().await;
        }
        match (event.kind, event.peer) {
            (EventKind::Log, Some(peer)) if peer != self.account.user => {
                // The version that is known goes on only if nothing lies between.
                self.known_v = self.known_v.filter(|known| known + 1 == event.v);
                match self.log_changed(peer).await {
                    Ok(()) => self.known_v = self.known_v.map(|_| event.v),
                    error => {
                        self.known_v = None;
                        quiet(error)?;
                    }
                }
            }
            _ => quiet(self.sync_contacts().await)?,
        }
        quiet(self.open_waiting().await)?;
        self.heal_due().await
    }

    /// What is due at a sign-in, and every hour of a connection that lasts: the day's prekey, lost
    /// calls, what waits for an epoch, and erasing what is past its time. An epoch closes only
    /// when `sync` is answered: a queue that was not drained may hold messages under it.
    pub(super) async fn upkeep(&mut self) -> Result<(), StoreError> {
        self.upkeep_at = self.clock.ticks_ms() + UPKEEP_EVERY_MS;
        quiet(self.renew_prekey().await)?;
        quiet(self.claim_again().await)?;
        quiet(self.take_unclaimed().await)?;
        quiet(self.open_waiting().await)?;
        quiet(self.look_after_silent().await)?;
        let is_asked = self.questions.values().any(|(what, _)| matches!(what, Question::Sync));
        if matches!(self.phase, Phase::Up(_)) && !is_asked && !self.old_epochs()?.is_empty() {
            self.ask_drained();
        }
        self.forget_expired()
    }

    pub(super) async fn answer(
        &mut self,
        id: Option<u64>,
        answer: Answer,
    ) -> Result<(), StoreError> {
        let now = self.clock.ticks_ms();
        let effects =
            match id.and_then(|id| self.questions.remove(&id)).map(|(question, _)| question) {
                Some(Question::Send(order)) => {
                    if answer == Answer::Reject(Reject::CounterReuse {}) {
                        self.is_reused(order)?;
                    }
                    if let Some(to) = self.outbox.entry(order).map(|entry| entry.to) {
                        match answer {
                            Answer::Accepted(_) => self.takes(&to, true)?,
                            Answer::Reject(Reject::NotContact {}) => self.takes(&to, false)?,
                            Answer::Reject(_) => {}
                        }
                    }
                    self.outbox.answered(order, answer, now)
                }
                Some(Question::Resynced) => {
                    let after = match answer {
                        Answer::Reject(Reject::Unavailable { retry_after_ms }) => retry_after_ms,
                        _ => 1_000,
                    };
                    self.outbox.resynced(Some(after), now)
                }
                Some(Question::Sync) => {
                    let release = self.gaps.answered();
                    self.release(release)?;
                    self.ask_sync();
                    return Ok(());
                }
                Some(Question::Presence) => {
                    if let Answer::Reject(reject) = &answer {
                        self.not_shown(reject);
                    }
                    return Ok(());
                }
                None => return Ok(()),
            };
        self.carry_out(effects).await
    }

    async fn okay(&mut self, id: Option<u64>) -> Result<(), StoreError> {
        match id.and_then(|id| self.questions.remove(&id)).map(|(question, _)| question) {
            Some(Question::Sync) => {
                let release = self.gaps.answered();
                self.release(release)?;
                // What came after the question waits for an answer of its own.
                self.ask_sync();
                // All that was queued has come.
                self.close_old_epochs()
            }
            Some(Question::Resynced) => {
                let now = self.clock.ticks_ms();
                let effects = self.outbox.resynced(None, now);
                self.carry_out(effects).await
            }
            Some(Question::Send(_) | Question::Presence) | None => Ok(()),
        }
    }

    /// Asks `sync` if something is held behind a gap.
    pub(super) fn ask_sync(&mut self) {
        if matches!(self.phase, Phase::Up(_)) && self.gaps.wants_sync() {
            self.ask_drained();
        }
    }

    /// Asks `sync`: its answer says that all that was queued has come.
    fn ask_drained(&mut self) {
        let now = self.clock.ticks_ms();
        self.gaps.asked(now, self.next_order + 1);
        self.ask(ClientOp::Sync {}, Question::Sync);
    }
}

/// Passes over what is tried again at the next occasion: only a broken store is an error.
fn quiet(done: Result<(), ClientError>) -> Result<(), StoreError> {
    match done {
        Err(ClientError::Store(error)) => Err(error),
        _ => Ok(()),
    }
}

fn words(ending: &Ending) -> String {
    let again = |what: &str| match ending.after_ms {
        Some(ms) => format!("{what}; it asks to come back in {} s", ms.div_ceil(1_000)),
        None => what.to_owned(),
    };
    match ending.close() {
        Some(Close::Restarting) => "the server restarts".to_owned(),
        Some(Close::Overloaded) => "the server has no room".to_owned(),
        Some(Close::NotAuthenticated) => {
            "the server did not accept the sign-in: this device was signed out just now, is not \
             active any more, or this is not the server that it registered at"
                .to_owned()
        }
        Some(Close::Revoked) => {
            "this device was taken out of its account, or the account was deleted: it cannot come \
             back. What is on it can still be read here"
                .to_owned()
        }
        Some(Close::Displaced) => "a newer connection of this device took over".to_owned(),
        Some(Close::Suspended) => "the account is suspended: ask the server's operator".to_owned(),
        Some(Close::UpgradeRequired) => unspoken(ending.spoken),
        Some(Close::Slow) => "this device read too slowly".to_owned(),
        Some(Close::Flooding) if ending.after_ms.is_some() => {
            again("too many sign-ins from this address")
        }
        Some(Close::Flooding) => "too many frames were refused".to_owned(),
        Some(Close::NoAnswer) => "the server heard nothing of this device".to_owned(),
        Some(Close::Protocol | Close::Invalid | Close::TooLarge) => {
            "the server did not understand this version".to_owned()
        }
        Some(Close::Normal) | None => "the connection broke".to_owned(),
    }
}

/// Whose version is too old, as far as the server says.
fn unspoken(spoken: Option<(u16, u16)>) -> String {
    const OWN: u16 = limits::VERSION_NEWEST;
    match spoken {
        Some((oldest, newest)) if newest < OWN => format!(
            "the server speaks the protocol's versions {oldest} to {newest}, this program version \
             {OWN}: the server is too old for it"
        ),
        Some((oldest, newest)) => format!(
            "the server speaks the protocol's versions {oldest} to {newest}, this program version \
             {OWN}: upgrade it"
        ),
        None => "this version is too old for the server: upgrade".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_say_what_happened_and_what_to_do() {
        let of = |close: Close, after_ms| {
            let ending = Ending::of_close(close.code(), &close.reason(after_ms));
            (words(&ending), ending.comes_back())
        };
        let (words, comes_back) = of(Close::Revoked, None);
        assert!(words.contains("cannot come back") && !comes_back, "{words}");
        let (words, comes_back) = of(Close::UpgradeRequired, None);
        assert!(words.contains("versions 1 to 1") && !comes_back, "{words}");
        let (words, comes_back) = of(Close::Flooding, Some(7_001));
        assert!(words.contains("sign-ins") && words.contains("in 8 s") && comes_back, "{words}");
        let (words, _) = of(Close::Flooding, None);
        assert!(words.contains("frames"), "{words}");
        assert!(unspoken(Some((0, 0))).contains("server is too old"));
        assert!(unspoken(None).contains("upgrade"));
    }
}

//! Contacts: asking, accepting, and comparing the server's list with what is known here
//! (CRYPTO 9). Whoever answers a request must be who was asked; a name that another log takes is
//! an alarm, and blocks sending until this user accepts that log.

use std::collections::{HashMap, HashSet};

use hushwire_identity::{Code, ContactLink, ContactRequest, Reason};
use hushwire_wire::http::{
    Contact, ContactAccept, ContactAsk, ContactAsked, ContactState, Contacts,
};
use hushwire_wire::{RequestId, Sealed, UserId};

use super::Engine;
use super::peer::may_send;
use crate::error::ClientError;
use crate::event::Event;
use crate::ports::random_bytes;
use crate::record::{Asked, EpochNote, Heal, Peer, Standing, to_json};
use crate::store::{Batch, Space, StoreError};
use crate::transport::Method;

/// Contacts, at most: what one listing of the server brings is cut there.
pub(super) const PEERS_MAX: usize = 10_000;
/// Requests that wait for this user's answer, at most: as many as an honest server keeps.
const REQUESTS_MAX: usize = 200;

impl Engine {
    /// Asks for a contact. A crossing request is accepted instead.
    pub(super) async fn ask_contact(&mut self, link: &ContactLink) -> Result<(), ClientError> {
        let handle = link.handle.as_str();
        if handle == self.account.handle {
            return Err(ClientError::Oneself);
        }
        if self.contact(handle).is_err_and(|error| matches!(error, ClientError::YouBlock)) {
            return Err(ClientError::YouBlock);
        }
        let to = self.named(link)?.or_else(|| self.asked.get(handle).and_then(|a| a.link));
        if self.asks_me(handle, to)?.is_some() {
            return self.accept_contact(link).await;
        }
        let is_contact = |peer: &Peer| {
            peer.handle == handle
                && peer.standing == Standing::Active
                && !peer.changed
                && !peer.refused
                && to.is_none_or(|to| to == peer.user)
        };
        if self.peers.values().any(is_contact) {
            return Err(ClientError::IsContact);
        }
        let request = ContactRequest {
            from: self.log.point(),
            to,
            handle: link.handle.clone(),
            nonce: random_bytes(self.random.as_mut())?,
            time_ms: self.clock.now_ms(),
        };
        let asked = Asked { request: Sealed::new(request.to_bytes()), link: to };
        let mut batch = Batch::default();
        batch.put(Space::Asked, handle.as_bytes(), to_json(&asked));
        self.store.add(&batch)?;
        let ask = ContactAsk { request: asked.request.clone() };
        self.asked.insert(handle.to_owned(), asked);
        let answer: ContactAsked = self.post("/v1/contacts/request", &ask).await?;
        if answer.request_id != request.id() {
            return Err(ClientError::Nonsense);
        }
        if answer.crossed.is_some() {
            self.sync_contacts().await?;
            if self.asks_me(handle, to)?.is_some() {
                return self.accept_contact(link).await;
            }
        }
        Ok(())
    }

    /// The log that a link names, which must be of this server.
    fn named(&self, link: &ContactLink) -> Result<Option<UserId>, ClientError> {
        match &link.names {
            Some((domain, _)) if *domain != self.account.domain => Err(ClientError::OtherServer),
            Some((_, user)) => Ok(Some(*user)),
            None => Ok(None),
        }
    }

    /// Who asks under this name. A link, given now or when this user asked, decides: the server
    /// gives names to logs as it likes, and user ids can be ground.
    pub(super) fn asks_me(
        &self,
        handle: &str,
        to: Option<UserId>,
    ) -> Result<Option<&Peer>, ClientError> {
        let to = to.or_else(|| self.asked.get(handle).and_then(|asked| asked.link));
        let asks = |p: &&Peer| p.handle == handle && p.standing == Standing::AsksMe;
        let asking: Vec<&Peer> = self.peers.values().filter(asks).collect();
        match (asking.as_slice(), to) {
            ([], _) => Ok(None),
            (_, Some(to)) => {
                let meant = asking.iter().find(|peer| peer.user == to);
                meant.map(|peer| Some(*peer)).ok_or(ClientError::OtherKeys)
            }
            ([one], None) => Ok(Some(one)),
            (_, None) => Err(ClientError::TwoAsk),
        }
    }

    /// Accepts a request: fetches and verifies log and prekeys, makes epoch 0, and posts both.
    pub(super) async fn accept_contact(&mut self, link: &ContactLink) -> Result<(), ClientError> {
        let (handle, to) = (link.handle.as_str(), self.named(link)?);
        self.sync_contacts().await?;
        let is_contact = |peer: &&Peer| peer.standing == Standing::Active && peer.handle == handle;
        let same = to.and_then(|to| self.peers.get(&to)).filter(is_contact).cloned();
        if let Some(same) = same {
            // The person's own link says whose the name is, whatever log has it now.
            self.put_peer(Peer { changed: false, ..same.clone() })?;
            self.retries.push(same.user);
            return may_send(&Peer { changed: false, ..same }).map_err(|_| ClientError::NobodyAsks);
        }
        let Some(peer) = self.asks_me(handle, to)? else {
            let contact = self.contact(handle).map_err(|_| ClientError::NobodyAsks)?;
            if to.is_some_and(|to| to != contact.user) {
                return Err(ClientError::NobodyAsks);
            }
            return may_send(contact).map_err(|_| ClientError::NobodyAsks);
        };
        let (user, request, n) = (peer.user, peer.request, peer.first_n);
        let reason = if n == 0 { Reason::First } else { Reason::Heal };
        for last in [false, false, true] {
            let created = self.make_epoch(user, n, request.0, reason, 0).await?;
            let peer = self.peers.get(&user).cloned().ok_or(ClientError::NobodyAsks)?;
            // Even if the answer is lost.
            self.put_peer(Peer { accepted: true, ..peer })?;
            let accept = ContactAccept { request_id: request, epoch: super::epoch::post(&created) };
            match self.send_body(Method::Post, "/v1/contacts/accept", &accept).await {
                Ok(_) => {
                    let peer = self.peers.get(&user).cloned().ok_or(ClientError::NobodyAsks)?;
                    return self.activate(peer, Some(created.state));
                }
                Err(error) if super::epoch::has_moved_on(&error) && !last => {
                    self.look_again(created.id).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(ClientError::NobodyAsks)
    }

    /// Makes a peer a contact, with its first epoch if it was made here. Who had the name before
    /// is a contact no more.
    fn activate(
        &mut self,
        mut peer: Peer,
        state: Option<hushwire_e2ee::EpochState>,
    ) -> Result<(), ClientError> {
        let (handle, user) = (peer.handle.clone(), peer.user);
        let before = |other: &&Peer| other.handle == handle && other.user != user;
        let before = self.peers.values().filter(before).map(|peer| peer.user);
        for replaced in before.collect::<Vec<_>>() {
            self.replace(replaced)?;
        }
        (peer.standing, peer.changed, peer.refused) = (Standing::Active, false, false);
        let mut batch = Batch::default();
        if let Some(state) = state {
            let header = state.header();
            peer.epochs.push(EpochNote {
                n: header.n,
                id: state.id(),
                created_ms: header.created_ms,
                accepted_ms: self.clock.now_ms(),
                stale: false,
                unclaimed: false,
                gap: false,
                dropped: false,
                prev_sent: 0,
            });
            self.epochs.insert(state.id(), state);
        }
        batch.put(Space::Peer, peer.user.as_bytes(), to_json(&peer));
        batch.delete(Space::Asked, peer.handle.as_bytes());
        self.store.add(&batch)?;
        self.asked.remove(&peer.handle);
        self.peers.insert(user, peer);
        self.presence_changed();
        self.tell(Event::ContactAccepted { handle, user });
        Ok(())
    }

    /// Erases the keys with somebody whose name belongs to another log that was accepted.
    fn replace(&mut self, user: UserId) -> Result<(), ClientError> {
        self.end_keys(user, Standing::Replaced)
    }

    /// Erases the keys with somebody who is no contact any more, for the reason that the standing
    /// says.
    pub(super) fn end_keys(&mut self, user: UserId, standing: Standing) -> Result<(), ClientError> {
        let Some(peer) = self.peers.get(&user) else { return Ok(()) };
        let mut batch = Batch::default();
        for note in &peer.epochs {
            batch.delete(Space::Epoch, note.id.as_bytes());
            self.epochs.remove(&note.id);
        }
        self.store.add(&batch)?;
        self.ahead.remove(&user);
        self.heals.remove(&user);
        let (epochs, heal) = (Vec::new(), Heal::default());
        let peer = Peer { standing, epochs, heal, accepted: false, ..peer.clone() };
        Ok(self.put_peer(peer)?)
    }

    /// Compares the server's list of contacts with what is known here.
    pub(super) async fn sync_contacts(&mut self) -> Result<(), ClientError> {
        // Until all of it is taken, the next look is a whole one, too.
        self.known_v = None;
        let Contacts { v, contacts } = self.get("/v1/contacts".to_owned()).await?;
        self.forget_requests(&contacts)?;
        self.note_ended(&contacts).await?;
        let mut is_whole = true;
        for contact in contacts.into_iter().take(PEERS_MAX) {
            // One bad entry does not hide the others.
            match self.sync_contact(&contact).await {
                Err(ClientError::Store(error)) => return Err(ClientError::Store(error)),
                Err(error) if error.is_passing() => return Err(error),
                done => is_whole &= done.is_ok(),
            }
        }
        self.known_v = is_whole.then_some(v);
        Ok(())
    }

    /// Contacts that the server does not list as such any more, and who is not blocked any more.
    async fn note_ended(&mut self, listed: &[Contact]) -> Result<(), ClientError> {
        let states: HashMap<UserId, ContactState> =
            listed.iter().map(|contact| (contact.peer, contact.state)).collect();
        let of = |peer: &Peer| (peer.user, peer.standing);
        for (user, standing) in self.peers.values().map(of).collect::<Vec<_>>() {
            match (standing, states.get(&user)) {
                (Standing::Active, state) => {
                    self.takes(&user, state == Some(&ContactState::Active))?;
                }
                (Standing::Blocked, None) => self.end_keys(user, Standing::Removed)?,
                (Standing::Blocked, Some(_)) | (_, None) => {}
                (_, Some(ContactState::Blocked)) => self.parted(user, Standing::Blocked).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Forgets requests that the server does not list any more: they have expired. One that was
    /// accepted here is kept. Of a log with which something was agreed before, so is what is known.
    fn forget_requests(&mut self, listed: &[Contact]) -> Result<(), StoreError> {
        let listed: HashSet<UserId> = listed.iter().map(|contact| contact.peer).collect();
        let is_gone = |p: &&Peer| p.waits_for_answer() && !listed.contains(&p.user);
        let gone: Vec<Peer> = self.peers.values().filter(is_gone).cloned().collect();
        for peer in gone {
            if peer.messages > 0 || peer.verified.is_some() || peer.forked {
                self.put_peer(Peer { standing: Standing::Replaced, ..peer })?;
                continue;
            }
            self.forget(&peer.user)?;
        }
        Ok(())
    }

    /// Forgets somebody of whom nothing is to be kept.
    pub(super) fn forget(&mut self, user: &UserId) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.delete(Space::Peer, user.as_bytes());
        self.store.add(&batch)?;
        self.peers.remove(user);
        self.logs.remove(user);
        Ok(())
    }

    async fn sync_contact(&mut self, contact: &Contact) -> Result<(), ClientError> {
        if contact.peer == self.account.user {
            return Err(ClientError::Nonsense);
        }
        let known = self.peers.get(&contact.peer).map(|peer| peer.standing);
        match (contact.state, known) {
            // A contact who is listed as asking has ended it before, and begins anew.
            (ContactState::Requested, None | Some(Standing::AsksMe | Standing::Replaced))
            | (ContactState::Requested, Some(Standing::Removed | Standing::Active)) => {
                self.incoming_request(contact).await
            }
            (ContactState::Requested, Some(Standing::Asked | Standing::Blocked))
            | (ContactState::Blocked, _) => Ok(()),
            (ContactState::Active, Some(Standing::Active)) if self.is_another(contact) => {
                self.answered_request(contact).await
            }
            (ContactState::Active, Some(Standing::Active)) => self.newest_epoch(contact).await,
            (ContactState::Active, Some(Standing::AsksMe)) => {
                // Accepted here, and the answer was lost: the epoch's keys are stored. Nobody else
                // can accept for this user.
                let peer = self.peers.get(&contact.peer).cloned();
                let accepted =
                    |peer: &Peer| peer.accepted && is_request(&contact.request, &peer.request);
                if let Some(peer) = peer.filter(accepted) {
                    self.activate(peer, None)?;
                    self.newest_epoch(contact).await?;
                }
                Ok(())
            }
            (
                ContactState::Active,
                Some(Standing::Asked | Standing::Replaced | Standing::Removed | Standing::Blocked)
                | None,
            ) => self.answered_request(contact).await,
        }
    }

    /// Whether a listed contact rests on another request than the one that is known, and that one
    /// is this user's.
    fn is_another(&self, contact: &Contact) -> bool {
        let request = self.peers.get(&contact.peer).map(|peer| peer.request);
        let is_known = request.is_some_and(|request| is_request(&contact.request, &request));
        !is_known && self.asked.values().any(|asked| asked.request == contact.request)
    }

    async fn newest_epoch(&mut self, contact: &Contact) -> Result<(), ClientError> {
        match contact.newest {
            Some(newest) => self.follow_epoch(contact.peer, newest.epoch).await,
            None => Ok(()),
        }
    }

    async fn incoming_request(&mut self, contact: &Contact) -> Result<(), ClientError> {
        let request =
            ContactRequest::parse(contact.request.as_bytes()).map_err(|_| ClientError::Nonsense)?;
        let for_me = request.handle.as_str() == self.account.handle
            && request.to.is_none_or(|to| to == self.account.user)
            && request.from.user == contact.peer;
        if !for_me {
            return Err(ClientError::Nonsense);
        }
        let known = self.peers.get(&contact.peer);
        if known.is_some_and(|peer| peer.request == request.id()) {
            return Ok(());
        }
        let waits = known.is_some_and(Peer::waits_for_answer);
        let waiting = self.peers.values().filter(|peer| peer.waits_for_answer()).count();
        let is_full = !waits && waiting >= REQUESTS_MAX;
        if is_full || known.is_none() && self.peers.len() >= PEERS_MAX {
            return Err(ClientError::Nonsense);
        }
        let (entries, log) = self.fetch_log(contact.peer).await?;
        if !log.contains(&request.from) {
            return Err(ClientError::Nonsense);
        }
        let handle = log.handle().to_string();
        self.note_changed(&handle, contact.peer)?;
        let peer = self.begun_by(contact.peer, Standing::AsksMe, request.id())?;
        let first_n = contact.newest.map_or(0, |newest| newest.n.saturating_add(1));
        self.put_peer(Peer { log: entries, handle: handle.clone(), first_n, ..peer })?;
        if !waits {
            self.tell(Event::ContactRequest { handle, user: contact.peer });
        }
        Ok(())
    }

    /// Somebody with whom a request begins anew. What is known of the log from before stays, and so
    /// does the history; keys and an agreement do not.
    fn begun_by(
        &mut self,
        user: UserId,
        standing: Standing,
        request: RequestId,
    ) -> Result<Peer, ClientError> {
        self.replace(user)?;
        let known = self.peers.get(&user).cloned();
        let peer = known.unwrap_or_else(|| Peer::new(user, standing, request));
        let (heal, fork_told) = (Heal::default(), None);
        let (accepted, refused, first_n) = (false, false, 0);
        Ok(Peer { standing, request, accepted, heal, fork_told, refused, first_n, ..peer })
    }

    /// A contact that this user asked for and the other side accepted.
    async fn answered_request(&mut self, contact: &Contact) -> Result<(), ClientError> {
        let asked = self.asked.iter().find(|(_, asked)| asked.request == contact.request);
        let Some((handle, asked)) = asked.map(|(handle, asked)| (handle.clone(), asked.clone()))
        else {
            return Ok(());
        };
        let request =
            ContactRequest::parse(asked.request.as_bytes()).map_err(|_| ClientError::Nonsense)?;
        let (entries, log) = self.fetch_log(contact.peer).await?;
        // Whoever answers must be who was asked: by name, and by log if a link named it.
        if log.handle().as_str() != handle || asked.link.is_some_and(|link| link != contact.peer) {
            return Err(ClientError::Nonsense);
        }
        self.note_changed(&handle, contact.peer)?;
        let Some(newest) = contact.newest else { return Err(ClientError::Nonsense) };
        let id = request.id();
        let goes_on = |peer: &&Peer| {
            peer.request == id && matches!(peer.standing, Standing::Asked | Standing::AsksMe)
        };
        let peer = match self.peers.get(&contact.peer).filter(goes_on).cloned() {
            Some(peer) => peer,
            None => self.begun_by(contact.peer, Standing::Asked, id)?,
        };
        self.put_peer(Peer { log: entries, handle, ..peer })?;
        self.follow_epoch(contact.peer, newest.epoch).await?;
        match self.peers.get(&contact.peer).cloned() {
            Some(peer) if !peer.epochs.is_empty() => self.activate(peer, None),
            _ => Ok(()),
        }
    }

    /// A name that another log than the contact's has now: an alarm, and nothing is sent to the
    /// contact any more (CRYPTO 9, CHANGED).
    fn note_changed(&mut self, handle: &str, user: UserId) -> Result<(), ClientError> {
        let of = |p: &&Peer| p.handle == handle && p.user != user;
        let active = |p: &&Peer| p.standing == Standing::Active && !p.changed;
        let Some(peer) = self.peers.values().filter(of).find(active).cloned() else {
            return Ok(());
        };
        let known = peer.user;
        self.put_peer(Peer { changed: true, ..peer })?;
        let _ = self.contradicted(&known, Code::PeerChanged);
        Ok(())
    }
}

fn is_request(bytes: &Sealed, id: &RequestId) -> bool {
    ContactRequest::parse(bytes.as_bytes()).is_ok_and(|request| request.id() == *id)
}

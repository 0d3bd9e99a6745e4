//! Contacts: requests both ways, acceptance with epoch 0, and what a peer's log and prekeys say
//! (CRYPTO 9). Whatever the server shows is verified and pinned before it is used.

use hushwire_identity::{
    Code, ContactLink, ContactRequest, DeviceLog, Handle, Pin, Prekey, PrekeyError, Reason,
};
use hushwire_wire::http::{
    self, Contact, ContactAccept, ContactAsk, ContactAsked, ContactState, Contacts, LogEntries,
    Prekeys,
};
use hushwire_wire::{RequestId, Sealed, UserId};

use super::Engine;
use crate::error::ClientError;
use crate::event::{Event, alarm};
use crate::ports::random_bytes;
use crate::record::{Asked, EpochNote, Peer, Standing, Talk, to_json};
use crate::store::{Batch, Space};
use crate::transport::Method;

/// Contacts, at most: what one listing of the server brings is cut there.
pub(super) const PEERS_MAX: usize = 10_000;

impl Engine {
    /// Asks for a contact. A crossing request is accepted instead.
    pub(super) async fn ask_contact(&mut self, link: &ContactLink) -> Result<(), ClientError> {
        let handle = link.handle.as_str();
        if handle == self.account.handle {
            return Err(ClientError::Oneself);
        }
        let to = match &link.names {
            Some((domain, _)) if *domain != self.account.domain => {
                return Err(ClientError::OtherServer);
            }
            Some((_, user)) => Some(*user),
            None => None,
        };
        match self.peers.values().find(|peer| peer.handle == handle).map(|peer| peer.standing) {
            Some(Standing::Active) => return Err(ClientError::IsContact),
            Some(Standing::AsksMe) => return self.accept_contact(handle).await,
            Some(Standing::Asked) | None => {}
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
            if self.peers.values().any(|p| p.handle == handle && p.standing == Standing::AsksMe) {
                return self.accept_contact(handle).await;
            }
        }
        Ok(())
    }

    /// Accepts a request: fetches and verifies log and prekeys, makes epoch 0, and posts both.
    pub(super) async fn accept_contact(&mut self, handle: &str) -> Result<(), ClientError> {
        self.sync_contacts().await?;
        let found = self.peers.values().find(|peer| peer.handle == handle).cloned();
        let mut peer = match found {
            Some(peer) if peer.standing == Standing::AsksMe => peer,
            Some(peer) if peer.standing == Standing::Active => return Ok(()),
            _ => return Err(ClientError::NobodyAsks),
        };
        // Even if the answer is lost.
        peer.accepted = true;
        let (user, request) = (peer.user, peer.request);
        let created = self.make_epoch(peer, 0, request.0, Reason::First, 0).await?;
        let accept = ContactAccept { request_id: request, epoch: super::epoch::post(&created) };
        self.send_body(Method::Post, "/v1/contacts/accept", &accept).await?;
        let peer = self.peers.get(&user).cloned().ok_or(ClientError::NobodyAsks)?;
        self.activate(peer, Some(created.state))
    }

    /// Makes a peer a contact, with its first epoch if it was made here.
    fn activate(
        &mut self,
        mut peer: Peer,
        state: Option<hushwire_e2ee::EpochState>,
    ) -> Result<(), ClientError> {
        peer.standing = Standing::Active;
        if let Some(state) = state {
            let header = state.header();
            peer.epochs.push(EpochNote {
                n: header.n,
                id: state.id(),
                created_ms: header.created_ms,
                accepted_ms: self.clock.now_ms(),
                stale: false,
                unclaimed: false,
            });
            self.epochs.insert(state.id(), state);
        }
        let mut batch = Batch::default();
        batch.put(Space::Peer, peer.user.as_bytes(), to_json(&peer));
        batch.delete(Space::Asked, peer.handle.as_bytes());
        self.store.add(&batch)?;
        self.asked.remove(&peer.handle);
        let (handle, user) = (peer.handle.clone(), peer.user);
        self.peers.insert(user, peer);
        self.tell(Event::ContactAccepted { handle, user });
        Ok(())
    }

    /// Compares the server's list of contacts with what is known here.
    pub(super) async fn sync_contacts(&mut self) -> Result<(), ClientError> {
        let Contacts { contacts, .. } = self.get("/v1/contacts".to_owned()).await?;
        for contact in contacts.into_iter().take(PEERS_MAX) {
            // One bad entry does not hide the others.
            match self.sync_contact(&contact).await {
                Err(ClientError::Store(error)) => return Err(ClientError::Store(error)),
                Err(error) if error.is_passing() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    async fn sync_contact(&mut self, contact: &Contact) -> Result<(), ClientError> {
        if contact.peer == self.account.user {
            return Err(ClientError::Nonsense);
        }
        let known = self.peers.get(&contact.peer).map(|peer| peer.standing);
        match (contact.state, known) {
            (ContactState::Requested, None) => self.incoming_request(contact).await,
            (ContactState::Requested, Some(_)) => Ok(()),
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
            (ContactState::Active, Some(Standing::Asked) | None) => {
                self.answered_request(contact).await
            }
        }
    }

    async fn newest_epoch(&mut self, contact: &Contact) -> Result<(), ClientError> {
        let Some(newest) = contact.newest else { return Ok(()) };
        let known = self.peers.get(&contact.peer).is_some_and(|peer| peer.knows(&newest.epoch));
        if known { Ok(()) } else { self.ensure_epoch(contact.peer, newest.epoch).await }
    }

    async fn incoming_request(&mut self, contact: &Contact) -> Result<(), ClientError> {
        let request =
            ContactRequest::parse(contact.request.as_bytes()).map_err(|_| ClientError::Nonsense)?;
        let for_me = request.handle.as_str() == self.account.handle
            && request.to.is_none_or(|to| to == self.account.user)
            && request.from.user == contact.peer;
        if !for_me || self.peers.len() >= PEERS_MAX {
            return Err(ClientError::Nonsense);
        }
        let mut peer = self.new_peer(contact.peer, Standing::AsksMe, request.id());
        let log = self.peer_log(&mut peer).await?;
        if !log.contains(&request.from) {
            return Err(ClientError::Nonsense);
        }
        peer.handle = log.handle().to_string();
        self.refuse_changed(&peer)?;
        self.put_peer(peer.clone())?;
        self.tell(Event::ContactRequest { handle: peer.handle, user: peer.user });
        Ok(())
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
        let mut peer = self.new_peer(contact.peer, Standing::Asked, request.id());
        let log = self.peer_log(&mut peer).await?;
        // Whoever answers must be who was asked: by name, and by log if a link named it.
        if log.handle().as_str() != handle || asked.link.is_some_and(|link| link != contact.peer) {
            return Err(ClientError::Nonsense);
        }
        peer.handle = handle;
        self.refuse_changed(&peer)?;
        let Some(newest) = contact.newest else { return Err(ClientError::Nonsense) };
        self.put_peer(peer)?;
        self.ensure_epoch(contact.peer, newest.epoch).await?;
        match self.peers.get(&contact.peer).cloned() {
            Some(peer) if !peer.epochs.is_empty() => self.activate(peer, None),
            _ => Ok(()),
        }
    }

    /// A name that another log has already is an alarm, not a second contact (CRYPTO 9, CHANGED).
    fn refuse_changed(&mut self, peer: &Peer) -> Result<(), ClientError> {
        let same = self.peers.values().any(|p| p.handle == peer.handle && p.user != peer.user);
        if same {
            let code = Code::PeerChanged;
            self.tell(alarm(code, &peer.handle));
            return Err(ClientError::Unverified(code));
        }
        Ok(())
    }

    fn new_peer(&self, user: UserId, standing: Standing, request: RequestId) -> Peer {
        let known = self.peers.get(&user);
        Peer {
            user,
            handle: String::new(),
            standing,
            accepted: false,
            log: known.map(|peer| peer.log.clone()).unwrap_or_default(),
            request,
            verified: None,
            epochs: Vec::new(),
            prev_sent: 0,
            messages: known.map_or(0, |peer| peer.messages),
            prekeys: known.map(|peer| peer.prekeys.clone()).unwrap_or_default(),
            forked: false,
            talk: Talk::default(),
        }
    }

    pub(super) fn put_peer(&mut self, peer: Peer) -> Result<(), ClientError> {
        let mut batch = Batch::default();
        batch.put(Space::Peer, peer.user.as_bytes(), to_json(&peer));
        self.store.add(&batch)?;
        self.peers.insert(peer.user, peer);
        Ok(())
    }

    /// Fetches and verifies a peer's whole log, and checks that it continues what is pinned.
    pub(super) async fn peer_log(&mut self, peer: &mut Peer) -> Result<DeviceLog, ClientError> {
        let path = format!("/v1/users/{}/log", peer.user.to_base64url());
        let LogEntries { entries } = self.get(path).await?;
        let log = DeviceLog::verify(entries.iter().map(Sealed::as_bytes))
            .map_err(|error| ClientError::Unverified(error.code()))?;
        if log.user() != peer.user || log.domain() != self.account.domain {
            return Err(ClientError::Unverified(Code::LogInvalid));
        }
        if !peer.log.is_empty() {
            let pinned = peer.device_log()?;
            if let Err(error) = Pin::of(&pinned).check(&log) {
                let code = error.code();
                self.tell(alarm(code, &peer.handle));
                if let Some(known) = self.peers.get(&peer.user).cloned() {
                    self.put_peer(Peer { forked: true, ..known })?;
                }
                return Err(ClientError::Unverified(code));
            }
        }
        peer.log = entries;
        Ok(log)
    }

    /// What does not verify, told if a person must know; a fork of the log blocks the contact.
    fn contradicted(&mut self, user: &UserId, code: Code) -> ClientError {
        if code.is_alarm() {
            self.tell(alarm(code, &self.name_of(user)));
        }
        if code == Code::LogFork
            && let Some(known) = self.peers.get(user).cloned()
            && let Err(error) = self.put_peer(Peer { forked: true, ..known })
        {
            return error;
        }
        ClientError::Unverified(code)
    }

    /// Fetches and verifies the newest prekeys of a peer; the ids seen never go back.
    pub(super) async fn peer_prekeys(
        &mut self,
        peer: &mut Peer,
        log: &DeviceLog,
    ) -> Result<Vec<Prekey>, ClientError> {
        let path = format!("/v1/users/{}/prekeys", peer.user.to_base64url());
        let Prekeys { prekeys } = self.get(path).await?;
        let mut out = Vec::with_capacity(prekeys.len());
        for bundle in &prekeys {
            let verified =
                parse(bundle).and_then(|prekey| prekey.record.verify(log).map(|()| prekey));
            let prekey = match verified {
                Ok(prekey) => prekey,
                Err(error) => return Err(self.contradicted(&peer.user, error.code())),
            };
            let (device, id) = (prekey.record.device, prekey.record.id);
            match peer.prekeys.iter_mut().find(|(known, _)| *known == device) {
                Some((_, seen)) if id < *seen => {
                    let code = Code::PrekeyRollback;
                    return Err(ClientError::Unverified(code));
                }
                Some((_, seen)) => *seen = id,
                None => peer.prekeys.push((device, id)),
            }
            out.push(prekey);
        }
        Ok(out)
    }

    /// The handle of a user, for alarms.
    pub(super) fn name_of(&self, user: &UserId) -> String {
        self.peers.get(user).map_or_else(|| "a contact".to_owned(), |peer| peer.handle.clone())
    }

    /// The active contact of this name.
    pub(super) fn contact(&self, handle: &str) -> Result<&Peer, ClientError> {
        Handle::parse(handle).map_err(|_| ClientError::Handle)?;
        let known = self.peers.values().find(|peer| peer.handle == handle);
        match known {
            Some(peer) if peer.standing == Standing::Active => Ok(peer),
            Some(_) => Err(ClientError::NotAccepted),
            None if self.asked.contains_key(handle) => Err(ClientError::NotAccepted),
            None => Err(ClientError::NoContact),
        }
    }
}

/// A prekey as it came.
pub(super) fn parse(bundle: &http::PrekeyBundle) -> Result<Prekey, PrekeyError> {
    Prekey::parse(bundle.record.as_bytes(), bundle.xwing.as_ref().map(Sealed::as_bytes))
}

fn is_request(bytes: &Sealed, id: &RequestId) -> bool {
    ContactRequest::parse(bytes.as_bytes()).is_ok_and(|request| request.id() == *id)
}

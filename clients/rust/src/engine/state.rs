//! Catching up after a connection was lost: what changed meanwhile is asked for, and the list of
//! contacts only if it may be another one (PROTOCOL, `GET /v1/state`).
//!
//! Versions live as long as a run of the program: its first look is always a whole one.

use std::collections::BTreeSet;

use hushwire_wire::UserId;
use hushwire_wire::frame::EventKind;
use hushwire_wire::http::{CHANGES_MAX, Changes};

use super::Engine;
use crate::error::ClientError;

impl Engine {
    /// Takes what changed while there was no connection. It is asked for even if `v`, that of
    /// `welcome`, is the one that is known: the server reads it at the sign-in, and what changes
    /// until the connection hears events would be missed.
    pub(super) async fn catch_up(&mut self, v: u64) -> Result<(), ClientError> {
        match self.known_v {
            Some(known) if known <= v && self.orphans.is_empty() => {
                match self.logs_changed(known).await? {
                    Some((v, users)) => {
                        for user in users {
                            self.log_changed(user).await?;
                        }
                        self.known_v = Some(v);
                        Ok(())
                    }
                    None => self.look_at_all().await,
                }
            }
            _ => self.look_at_all().await,
        }
    }

    async fn look_at_all(&mut self) -> Result<(), ClientError> {
        self.sync_contacts().await?;
        Ok(self.forget_orphans()?)
    }

    /// Whose logs have changed since, if nothing else has; with the version after that.
    async fn logs_changed(
        &mut self,
        known: u64,
    ) -> Result<Option<(u64, BTreeSet<UserId>)>, ClientError> {
        let Changes { v, changes, more, complete } =
            self.get(format!("/v1/state?after={known}")).await?;
        let last = changes.last().map_or(known, |change| change.v);
        if more || !complete || changes.len() > CHANGES_MAX || last != v {
            return Ok(None);
        }
        let me = self.account.user;
        let whose = changes.iter().map(|change| match (change.kind, change.peer) {
            (EventKind::Log, Some(peer)) if peer != me => Some(peer),
            _ => None,
        });
        Ok(whose.collect::<Option<BTreeSet<_>>>().map(|users| (v, users)))
    }

    /// The log of a contact has a new entry.
    pub(super) async fn log_changed(&mut self, user: UserId) -> Result<(), ClientError> {
        if !self.peers.get(&user).is_some_and(|peer| peer.may_have_epochs()) {
            return Ok(());
        }
        match self.renew_log(user).await {
            Err(error @ ClientError::Store(_)) => Err(error),
            Err(error) if error.is_passing() => Err(error),
            // What contradicts was told; somebody else's log does not stop the others.
            _ => Ok(()),
        }
    }
}

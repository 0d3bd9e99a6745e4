//! The engine's `Accounts` port over the store.

use std::sync::Arc;

use async_trait::async_trait;
use hushwire_actors::ports::{Accounts, PairFacts, RosterDevice, SignedIn, Unavailable};
use hushwire_identity::{EpochHeader, verify_login};
use hushwire_schema::{Failure, PairNow, Store};
use hushwire_wire::frame::Hello;
use hushwire_wire::{DeviceId, Nonce, UserId};
use slog::{Logger, error};

use crate::logging::causes;

/// Sign-in and pairs, as the database has them.
#[derive(Clone, Debug)]
pub struct StoreAccounts {
    store: Arc<dyn Store>,
    domain: String,
    log: Logger,
}

impl StoreAccounts {
    /// Over `store`, for signatures that name `domain`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, domain: String, log: Logger) -> Self {
        Self { store, domain, log }
    }

    fn unavailable(&self, failure: &Failure) -> Unavailable {
        error!(self.log, "the store cannot answer"; "why" => causes(failure));
        Unavailable
    }
}

/// The base point of Ed25519: a key that verifies nobody's sign-in, in the time of a real one.
const NOBODY: [u8; 32] = {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    point
};

/// Checks a sign-in: the device's facts if everything holds, `None` for whatever does not
/// (CRYPTO 3, "Login"). A user or device that does not exist takes as long as a wrong signature.
///
/// # Errors
/// If the store cannot answer.
pub(crate) async fn sign_in(
    store: &dyn Store,
    domain: &str,
    user: UserId,
    device: DeviceId,
    nonce: &Nonce,
    signature: &[u8],
) -> Result<Option<SignedIn>, Failure> {
    let found = store.login_key(user, device).await?;
    let key = found.map_or(NOBODY, |found| found.key);
    let verified = verify_login(&key, domain, nonce, &user, &device, signature).is_ok();
    let signed_in = |found: hushwire_schema::LoginKey| SignedIn {
        user,
        device,
        v: found.v,
        since_ms: found.since_ms,
    };
    Ok(found.filter(|_| verified).map(signed_in))
}

#[async_trait]
impl Accounts for StoreAccounts {
    async fn authenticate(
        &self,
        hello: &Hello,
        nonce: &Nonce,
    ) -> Result<Option<SignedIn>, Unavailable> {
        let signature = hello.signature.as_bytes();
        let (store, domain) = (&*self.store, self.domain.as_str());
        sign_in(store, domain, hello.user, hello.device, nonce, signature)
            .await
            .map_err(|failure| self.unavailable(&failure))
    }

    async fn pair(&self, user: UserId, peer: UserId) -> Result<Option<PairFacts>, Unavailable> {
        let now = self.store.pair(user, peer).await.map_err(|f| self.unavailable(&f))?;
        let Some(now) = now else { return Ok(None) };
        let facts = facts(&now).ok_or_else(|| {
            let corrupt = Failure::Corrupt("epochs.header");
            self.unavailable(&corrupt)
        });
        facts.map(Some)
    }
}

/// `None` if the stored header is none.
fn facts(now: &PairNow) -> Option<PairFacts> {
    let header = EpochHeader::parse(&now.epoch.header).ok()?;
    let current = now.points.first() == Some(&header.a) && now.points.get(1) == header.b.as_ref();
    let roster = header.roster.iter().map(|slot| {
        let wrapped = slot.is_wrapped();
        Some(RosterDevice { user: header.user(slot.side)?, device: slot.device, wrapped })
    });
    Some(PairFacts {
        epoch: now.epoch.id,
        n: now.epoch.n,
        heads_current: current,
        roster: roster.collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use hushwire_identity::{Head, LogPoint, Reason, Side, Slot, Suite};
    use hushwire_schema::EpochRow;

    use super::*;

    fn now() -> PairNow {
        let point = |tag: u8| LogPoint { user: UserId([tag; 32]), seq: 0, head: Head([tag; 32]) };
        let slot = |side, tag: u8, prekey| Slot { side, device: DeviceId([tag; 16]), prekey };
        let header = EpochHeader {
            suite: Suite::XWing,
            n: 3,
            prev: [9; 32],
            created_ms: 1,
            creator: 0,
            reason: Reason::Age,
            a: point(1),
            b: Some(point(2)),
            kc: [5; 32],
            roster: vec![slot(Side::A, 1, 7), slot(Side::B, 2, 0)],
        };
        let epoch = EpochRow { id: header.id(), n: 3, header: header.to_bytes() };
        PairNow { epoch, points: vec![point(1), point(2)] }
    }

    #[test]
    fn facts_are_the_headers_and_current_only_with_both_heads() {
        let mut now = now();
        let found = facts(&now).unwrap();
        assert!(found.heads_current);
        assert_eq!((found.epoch, found.n), (now.epoch.id, 3));
        let roster: Vec<_> = found.roster.iter().map(|d| (d.user.0[0], d.wrapped)).collect();
        assert_eq!(roster, [(1, true), (2, false)]);

        now.points[1].seq = 1;
        assert!(!facts(&now).unwrap().heads_current);
        now.points.pop();
        assert!(!facts(&now).unwrap().heads_current);
        now.epoch.header.pop();
        assert!(facts(&now).is_none());
    }

    #[test]
    fn nobody_is_a_point_that_the_library_verifies_against() {
        use hushwire_identity::DeviceLog;
        // Verifying must fail at the signature, not at the key, or it would be faster.
        assert!(DeviceLog::genesis(&[]).is_err());
        let refused = verify_login(
            &NOBODY,
            "d",
            &Nonce([0; 32]),
            &UserId([0; 32]),
            &DeviceId([0; 16]),
            &[0; 64],
        );
        assert!(refused.is_err());
    }
}

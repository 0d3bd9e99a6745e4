//! Reports of abuse: what a person shows of one message, and the server's check that the other
//! device really sent it (CRYPTO 6, "Report").
//!
//! On delivery the server stamps what it carried, without keeping it. A report shows the message
//! key and the padded content; the check derives and seals them again and finds the same stamp.
//! It never opens anything. Nobody but the server can check one.

use std::fmt;

use hushwire_wire::layout::{LayoutError, Reader, Writer};
use hushwire_wire::message::{COMMIT_LEN, HEADER_LEN, Header, PADDED};
use hushwire_wire::{DeviceId, UserId};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::aead;
use crate::code::Code;
use crate::hash::{Label, hash, kdf};
use crate::suite::Suite;

/// The size of a stamp in bytes.
pub const STAMP_LEN: usize = 32;
/// The largest evidence in bytes: 65,536 of content, and 164 around it.
pub const EVIDENCE_MAX: usize = 65_536 + 164;

/// `env`: header, commitment and ciphertext, which tags and stamps cover.
#[must_use]
pub fn envelope(header: &[u8; HEADER_LEN], commit: &[u8; COMMIT_LEN], ct: &[u8]) -> [u8; 32] {
    let len = u32::try_from(ct.len()).unwrap_or(u32::MAX).to_be_bytes();
    hash(Label::Env, &[header, commit, &len, ct])
}

/// Who sent a message to whom, and when the server delivered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The user that sent it.
    pub from_user: UserId,
    /// The device that sent it.
    pub from_device: DeviceId,
    /// The user that received it.
    pub to_user: UserId,
    /// The server's time, in milliseconds since 1970.
    pub time_ms: u64,
}

impl Delivery {
    /// What the server adds to a message that it delivers. `key` is `k_srv`, which only it has.
    #[must_use]
    pub fn stamp(&self, key: &[u8; 32], envelope: &[u8; 32]) -> [u8; STAMP_LEN] {
        let parts: [&[u8]; 5] = [
            envelope,
            self.from_user.as_bytes(),
            self.from_device.as_bytes(),
            self.to_user.as_bytes(),
            &self.time_ms.to_be_bytes(),
        ];
        kdf(key, Label::Frank, &parts)
    }
}

/// What a person shows of a message: `b56 header | b32 commit | b32 MK | v32 padded | b32 stamp |
/// u64 time`. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The message's header.
    pub header: [u8; HEADER_LEN],
    /// Its commitment.
    pub commit: [u8; COMMIT_LEN],
    /// Its key, which opens this one message.
    pub message_key: Zeroizing<[u8; 32]>,
    /// Its content, with padding.
    pub padded: Zeroizing<Vec<u8>>,
    /// The server's stamp.
    pub stamp: [u8; STAMP_LEN],
    /// The time that came with the stamp, in milliseconds since 1970.
    pub time_ms: u64,
}

/// Why evidence proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The commitment is not that of the key.
    #[error("the commitment does not belong to the message key")]
    Commit,
    /// Key and content do not give the ciphertext that was stamped, or it was stamped for others,
    /// at another time, or not by this server.
    #[error("the stamp is not that of this message")]
    Stamp,
}

impl ReportError {
    /// The code of CRYPTO 11.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Commit => Code::BadCommit,
            Self::Stamp => Code::BadTag,
        }
    }
}

impl Evidence {
    /// Reads the layout.
    ///
    /// # Errors
    /// For a header that is none, a content that has no padded size, short or trailing bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut r = Reader::new(bytes);
        let header = r.array("report.header")?;
        Header::parse(&header)?;
        let commit = r.array("report.commit")?;
        let message_key = Zeroizing::new(r.array("report.mk")?);
        let padded = r.v32("report.padded")?;
        if !PADDED.contains(&padded.len()) {
            return Err(LayoutError::new("report.padded", "a padded size of CRYPTO 6"));
        }
        let padded = Zeroizing::new(padded.to_vec());
        let stamp = r.array("report.stamp")?;
        let time_ms = r.u64("report.time")?;
        r.finish("report")?;
        Ok(Self { header, commit, message_key, padded, stamp, time_ms })
    }

    /// The layout.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::with_capacity(EVIDENCE_MAX);
        w.raw(&self.header).raw(&self.commit).raw(&*self.message_key).v32(&self.padded);
        w.raw(&self.stamp).u64(self.time_ms);
        Zeroizing::new(w.finish())
    }

    /// Whether `from_device` of `from_user` sent this to `to_user`, and this server delivered it.
    /// `suite` is that of the epoch that the header names, and `from_device` that epoch's roster
    /// device at the header's sender index: the caller looks both up. `key` is `k_srv`.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn check(
        &self,
        key: &[u8; 32],
        suite: Suite,
        from_user: UserId,
        from_device: DeviceId,
        to_user: UserId,
    ) -> Result<(), ReportError> {
        let commit = kdf(&self.message_key, Label::Commit, &[&self.header]);
        if !bool::from(commit.ct_eq(&self.commit)) {
            return Err(ReportError::Commit);
        }
        let content_key = Zeroizing::new(kdf(&self.message_key, Label::Enc, &[]));
        let ct = aead::seal(suite, &content_key, &self.padded);
        let envelope = envelope(&self.header, &self.commit, &ct);
        let delivery = Delivery { from_user, from_device, to_user, time_ms: self.time_ms };
        if bool::from(delivery.stamp(key, &envelope).ct_eq(&self.stamp)) {
            Ok(())
        } else {
            Err(ReportError::Stamp)
        }
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Evidence(..)")
    }
}

#[cfg(test)]
mod tests {
    use hushwire_wire::message::Class;
    use hushwire_wire::{EpochId, Mid};
    use proptest::prelude::*;

    use super::*;

    const K_SRV: [u8; 32] = [0x5e; 32];
    const FROM: UserId = UserId([1; 32]);
    const DEVICE: DeviceId = DeviceId([2; 16]);
    const TO: UserId = UserId([3; 32]);

    /// An honest message, and the stamp that the server gave it.
    fn evidence(suite: Suite) -> Evidence {
        let header = Header {
            class: Class::Text,
            sender: 0,
            lane: 0,
            counter: 7,
            epoch: EpochId([0xe0; 32]),
            mid: Mid([0x5a; 16]),
        };
        let header = header.to_bytes();
        let message_key = Zeroizing::new([0x4d; 32]);
        let commit = kdf(&message_key, Label::Commit, &[&header]);
        let padded = Zeroizing::new(vec![9; 256]);
        let ct = aead::seal(suite, &kdf(&message_key, Label::Enc, &[]), &padded);
        let delivery =
            Delivery { from_user: FROM, from_device: DEVICE, to_user: TO, time_ms: 1_000 };
        let stamp = delivery.stamp(&K_SRV, &envelope(&header, &commit, &ct));
        Evidence { header, commit, message_key, padded, stamp, time_ms: 1_000 }
    }

    #[test]
    fn what_was_delivered_is_proven_and_nothing_else() {
        for suite in Suite::ORDER {
            let honest = evidence(suite);
            let check = |evidence: &Evidence| evidence.check(&K_SRV, suite, FROM, DEVICE, TO);
            assert_eq!(check(&honest), Ok(()));

            let with = |change: fn(&mut Evidence)| {
                let mut other = honest.clone();
                change(&mut other);
                check(&other)
            };
            assert_eq!(with(|e| e.message_key[0] ^= 1), Err(ReportError::Commit));
            assert_eq!(with(|e| e.header[8] ^= 1), Err(ReportError::Commit));
            assert_eq!(with(|e| e.commit[0] ^= 1), Err(ReportError::Commit));
            assert_eq!(with(|e| e.padded[0] ^= 1), Err(ReportError::Stamp));
            assert_eq!(with(|e| e.padded.resize(512, 0)), Err(ReportError::Stamp));
            assert_eq!(with(|e| e.stamp[31] ^= 1), Err(ReportError::Stamp));
            assert_eq!(with(|e| e.time_ms += 1), Err(ReportError::Stamp));
            // A key of the reporter's own, with its right commitment.
            let own_key = |e: &mut Evidence| {
                e.message_key[0] ^= 1;
                e.commit = kdf(&e.message_key, Label::Commit, &[&e.header]);
            };
            assert_eq!(with(own_key), Err(ReportError::Stamp));

            for (from, device, to) in [
                (UserId([9; 32]), DEVICE, TO),
                (FROM, DeviceId([9; 16]), TO),
                (FROM, DEVICE, UserId([9; 32])),
                (TO, DEVICE, FROM),
            ] {
                let checked = honest.check(&K_SRV, suite, from, device, to);
                assert_eq!(checked, Err(ReportError::Stamp));
            }
            let other_server = honest.check(&[1; 32], suite, FROM, DEVICE, TO);
            assert_eq!(other_server, Err(ReportError::Stamp));
        }
        let other_suite = evidence(Suite::NaCl).check(&K_SRV, Suite::Aes, FROM, DEVICE, TO);
        assert_eq!(other_suite, Err(ReportError::Stamp));
        assert_eq!(ReportError::Commit.code(), Code::BadCommit);
        assert_eq!(ReportError::Stamp.code(), Code::BadTag);
    }

    #[test]
    fn wrong_shapes_are_refused_by_name() {
        let good = evidence(Suite::NaCl).to_bytes().to_vec();
        assert_eq!(good.len(), EVIDENCE_MAX - 65_536 + 256);
        let refuse = |bytes: &[u8]| Evidence::parse(bytes).unwrap_err().field;
        let mut version = good.clone();
        version[0] = 2;
        assert_eq!(refuse(&version), "upload.ver");
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(refuse(&longer), "report");
        assert_eq!(refuse(&good[..good.len() - 1]), "report.time");
        let mut odd = good;
        odd[123] = 1;
        assert_eq!(refuse(&odd), "report.padded");
        assert_eq!(refuse(&[]), "report.header");
    }

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", evidence(Suite::NaCl)), "Evidence(..)");
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_back(at: prop::sample::Index, to: u8) {
            let mut bytes = evidence(Suite::NaCl).to_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(read) = Evidence::parse(&bytes) {
                prop_assert_eq!(read.to_bytes().to_vec(), bytes);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Evidence::parse(&bytes);
        }
    }
}

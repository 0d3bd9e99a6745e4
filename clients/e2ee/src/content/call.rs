//! Call signals: offer, answer, candidates and end, and the checks that bind an answer to its
//! offer and a call to its media (CRYPTO 7, "Call").
//!
//! Payloads of offers and answers are SDP. Of it only one line is read here: the certificate's
//! fingerprint, which the client compares after DTLS, or hangs up.

use std::fmt;

use hushwire_identity::hash::{Label, hash};
use hushwire_wire::layout::{LayoutError, Reader, Writer};
use subtle::ConstantTimeEq;

use super::{CALL_MAX, ContentError};

/// How long after it was sent a signal may still count, at most: 60 s.
pub const EXPIRES_MAX_MS: u64 = 60_000;
/// The size of the offer's hash before an answer's SDP, in bytes.
pub const OFFER_HASH_LEN: usize = 32;
/// The payload of an end for devices that did not answer first.
pub const ELSEWHERE: &[u8] = b"elsewhere";

/// What a call signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CallKind {
    /// Rings. The payload is the caller's SDP.
    Offer = 1,
    /// Takes it. The payload is the hash of the offer's payload, then the callee's SDP.
    Answer = 2,
    /// An ICE candidate.
    Ice = 3,
    /// Ends it. The payload may say why, as [`ELSEWHERE`] does.
    End = 4,
}

/// Type 5: a signal of a call.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The call: equal to the one outside.
    pub call_id: [u8; 16],
    /// What it does.
    pub kind: CallKind,
    /// Until when it counts, in milliseconds since 1970: at most 60 s after it was sent.
    pub expires_ms: u64,
    /// By kind. What fits [`CALL_MAX`] bytes of padded content.
    pub payload: Vec<u8>,
}

/// Why a call signal is not to be acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Its time is over.
    #[error("the call signal has expired")]
    Expired,
    /// Another kind of signal was expected.
    #[error("the call signal is of another kind")]
    Kind,
    /// The answer is to another offer.
    #[error("the answer is not to this offer")]
    Offer,
    /// Not exactly one fingerprint, or not one of SHA-256.
    #[error("the session description has not exactly one SHA-256 fingerprint")]
    Fingerprint,
}

/// The SHA-256 of a certificate, as it stands in an SDP.
pub type Fingerprint = [u8; 32];

impl Call {
    /// Whether the signal still counts.
    ///
    /// # Errors
    /// [`CallError::Expired`].
    pub const fn fresh(&self, now_ms: u64) -> Result<(), CallError> {
        if now_ms <= self.expires_ms { Ok(()) } else { Err(CallError::Expired) }
    }

    /// The SDP of an offer, and its fingerprint.
    ///
    /// # Errors
    /// [`CallError::Kind`] or [`CallError::Fingerprint`].
    pub fn offer(&self) -> Result<(&[u8], Fingerprint), CallError> {
        if self.kind != CallKind::Offer {
            return Err(CallError::Kind);
        }
        Ok((&self.payload, fingerprint(&self.payload)?))
    }

    /// The SDP of an answer to the offer with this payload, and its fingerprint.
    ///
    /// # Errors
    /// [`CallError::Kind`], [`CallError::Offer`] or [`CallError::Fingerprint`].
    pub fn answer(&self, offer_payload: &[u8]) -> Result<(&[u8], Fingerprint), CallError> {
        if self.kind != CallKind::Answer {
            return Err(CallError::Kind);
        }
        let (of, sdp) =
            self.payload.split_first_chunk::<OFFER_HASH_LEN>().ok_or(CallError::Offer)?;
        if !bool::from(of.ct_eq(&offer_hash(offer_payload))) {
            return Err(CallError::Offer);
        }
        Ok((sdp, fingerprint(sdp)?))
    }

    pub(super) fn check(&self, sent_ms: u64) -> Result<(), LayoutError> {
        if self.expires_ms > sent_ms.saturating_add(EXPIRES_MAX_MS) {
            return Err(LayoutError::new("call.expires_ms", "at most 60 s after sent_ms"));
        }
        Ok(())
    }

    pub(super) fn write(&self, w: &mut Writer) -> Result<(), ContentError> {
        if self.payload.len() > CALL_MAX {
            return Err(ContentError::Size);
        }
        if self.kind == CallKind::Answer && self.payload.len() < OFFER_HASH_LEN {
            return Err(ContentError::Size);
        }
        w.raw(&self.call_id).u8(self.kind as u8).u64(self.expires_ms).v16(&self.payload);
        Ok(())
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, LayoutError> {
        let call_id = r.array("call.call_id")?;
        let kind = match r.u8("call.sub")? {
            1 => CallKind::Offer,
            2 => CallKind::Answer,
            3 => CallKind::Ice,
            4 => CallKind::End,
            _ => return Err(LayoutError::new("call.sub", "1 to 4")),
        };
        let expires_ms = r.u64("call.expires_ms")?;
        let payload = r.v16("call.payload")?.to_vec();
        if kind == CallKind::Answer && payload.len() < OFFER_HASH_LEN {
            return Err(LayoutError::new("call.payload", "the offer's hash"));
        }
        Ok(Self { call_id, kind, expires_ms, payload })
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({:?}, ..)", self.kind)
    }
}

/// `H(hw1/env, offer payload)`: what an answer begins with.
#[must_use]
pub fn offer_hash(offer_payload: &[u8]) -> [u8; OFFER_HASH_LEN] {
    hash(Label::Env, &[offer_payload])
}

/// The payload of an answer with this SDP.
#[must_use]
pub fn answer_payload(offer_payload: &[u8], sdp: &[u8]) -> Vec<u8> {
    [&offer_hash(offer_payload), sdp].concat()
}

/// The one fingerprint of an SDP. Lines end in CR LF or LF. Any second line of fingerprints, of
/// whatever hash, is refused: a media stack could take that one.
///
/// # Errors
/// [`CallError::Fingerprint`].
pub fn fingerprint(sdp: &[u8]) -> Result<Fingerprint, CallError> {
    const ANY: &[u8] = b"a=fingerprint:";
    let mut lines = sdp
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .map(<[u8]>::trim_ascii)
        .filter(|line| line.get(..ANY.len()).is_some_and(|start| start.eq_ignore_ascii_case(ANY)));
    let line = lines.next().ok_or(CallError::Fingerprint)?;
    if lines.next().is_some() {
        return Err(CallError::Fingerprint);
    }
    let value = line.strip_prefix(b"a=fingerprint:sha-256 ").ok_or(CallError::Fingerprint)?;
    let mut out = [0; 32];
    let mut bytes = value.split(|byte| *byte == b':');
    for byte in &mut out {
        *byte = bytes.next().and_then(hex_byte).ok_or(CallError::Fingerprint)?;
    }
    if bytes.next().is_some() { Err(CallError::Fingerprint) } else { Ok(out) }
}

fn hex_byte(text: &[u8]) -> Option<u8> {
    let [high, low] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

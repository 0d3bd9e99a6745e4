//! Sealing and opening messages (CRYPTO 6).
//!
//! Opening checks the tag before anything else and works on copies: the chain moves only when
//! the content is out and its layout is right.

use std::fmt;

use hushwire_identity::{Code, aead};
use hushwire_wire::message::{
    Class, Delivered, HEADER_LEN, Header, LANE_DURABLE, LANE_EPHEMERAL, write_upload,
};
use hushwire_wire::{DeviceId, EpochId, LayoutError, Mid, UserId};
use subtle::ConstantTimeEq;

use crate::content::{Content, ContentError};
use crate::seal;
use crate::secret::Secret;
use crate::state::{EpochState, Step};

pub use crate::content::Received;

/// How far a lane-0 counter may be ahead of the next expected one.
pub const SKIP_DURABLE: u32 = 1024;
/// How far a lane-1 counter may be ahead.
pub const SKIP_EPHEMERAL: u32 = 4096;

/// A message ready to be persisted, then sent. `Debug` shows no ciphertext.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedMessage {
    /// CRYPTO 6, `upload`.
    pub upload: Vec<u8>,
    /// The message's id: the header's salt.
    pub mid: Mid,
    /// Its counter in this device's chain of the lane.
    pub counter: u32,
    /// The state must be stored before the message leaves: always on lane 0; on lane 1 once in
    /// [`RESERVED`](crate::state::RESERVED) messages.
    pub store_first: bool,
}

impl fmt::Debug for SealedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedMessage")
            .field("mid", &self.mid)
            .field("counter", &self.counter)
            .finish_non_exhaustive()
    }
}

/// A message that was opened. The state has moved on; persist both in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What it says, or why it is to be dropped.
    pub content: Received,
    /// The user that wrote it.
    pub user: UserId,
    /// The device that wrote it.
    pub device: DeviceId,
    /// The message's id.
    pub mid: Mid,
    /// The kind outside.
    pub class: Class,
    /// The lane.
    pub lane: u8,
    /// Its counter in the sender's chain of the lane.
    pub counter: u32,
}

/// Why a content could not be sealed. The state is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The content does not fit its layout, class or lane.
    #[error("the content cannot be laid out")]
    Content(#[source] ContentError),
    /// The chain's last counter is used.
    #[error("the chain is at its end")]
    Exhausted,
}

/// Why a message could not be opened. The state is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not laid out as a delivered message.
    #[error("the message is not laid out as it should be")]
    Layout(#[source] LayoutError),
    /// Of another epoch: fetch that one and hold the message.
    #[error("the message is of another epoch")]
    Epoch(EpochId),
    /// Not made by the device that it names, for this device.
    #[error("the message is not authentic")]
    Tag,
    /// Received before.
    #[error("the message was received before")]
    Replay,
    /// Too far ahead of what was received.
    #[error("too many messages are missing before this one")]
    SkipLimit,
    /// The commitment does not belong to the message's key.
    #[error("the commitment does not match")]
    Commit,
    /// The ciphertext does not open.
    #[error("the ciphertext does not open")]
    Aead,
    /// The content is not laid out as its type demands.
    #[error("the content is not laid out as it should be")]
    Content(#[source] ContentError),
}

impl OpenError {
    /// The code of CRYPTO 11, for `ack.failed`.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Layout(_) | Self::Content(_) => Code::BadContent,
            Self::Epoch(_) => Code::EpochUnknown,
            Self::Tag => Code::BadTag,
            Self::Replay => Code::Replay,
            Self::SkipLimit => Code::SkipLimit,
            Self::Commit => Code::BadCommit,
            Self::Aead => Code::BadAead,
        }
    }
}

impl EpochState {
    /// Seals `content` as the next message of this device on `lane` and moves the chain on.
    /// `random` is 16 fresh random bytes. Persist state and upload before sending, where
    /// [`SealedMessage::store_first`] says so.
    ///
    /// # Errors
    /// [`SealError`]; the state is then unchanged.
    pub fn seal(
        &mut self,
        class: Class,
        lane: u8,
        content: &Content,
        random: [u8; 16],
    ) -> Result<SealedMessage, SealError> {
        let is_self_pair = self.header().b.is_none();
        if content.body.class_and_lane() != (class, lane) || !content.body.fits_pair(is_self_pair) {
            return Err(SealError::Content(ContentError::Pairing));
        }
        if !content.seen.is_empty() && content.seen.len() != self.header().roster.len() {
            return Err(SealError::Content(ContentError::Size));
        }
        let padded = content.to_padded().map_err(SealError::Content)?;
        self.seal_padded(class, lane, &padded, random)
    }

    /// Seals what is padded already: the part of [`Self::seal`] that knows no contents.
    pub(crate) fn seal_padded(
        &mut self,
        class: Class,
        lane: u8,
        padded: &[u8],
        random: [u8; 16],
    ) -> Result<SealedMessage, SealError> {
        let (chain, counter) = self.sending(lane).ok_or(SealError::Exhausted)?;
        let mid = Mid(seal::salt(chain, &random, padded));
        let header = Header { class, sender: self.me(), lane, counter, epoch: self.id(), mid };
        let bytes = header.to_bytes();
        let key = seal::message_key(&seal::skipped_key(chain), &bytes);
        let ct = aead::seal(self.suite(), seal::content_key(&key).get(), padded);
        let commit = seal::commitment(&key, &bytes);
        let envelope = seal::envelope(&bytes, &commit, &ct);
        let tags: Vec<_> = self.sending_tags().map(|key| seal::tag(key, &envelope)).collect();
        let upload = write_upload(&header, &commit, &ct, &tags);
        let store_first = self.sent_one(lane);
        Ok(SealedMessage { upload, mid, counter, store_first })
    }

    /// Opens a delivered message (`header | commit | v32 ct | tag`) and moves the sender's chain
    /// on. Persist the state before acting on it; a typing sign alone may wait for the next
    /// write. `now_ms` dates the keys that are skipped. The same as [`Self::open_beside`] with no others.
    ///
    /// # Errors
    /// [`OpenError`]; the state is then unchanged.
    pub fn open(&mut self, delivered: &[u8], now_ms: u64) -> Result<Opened, OpenError> {
        self.open_beside(delivered, now_ms, &mut [])
    }

    /// As [`Self::open`], beside the `others` that are kept of the pair: skipped keys are bounded
    /// over all of them, and the oldest go (CRYPTO 6). Those of which [`Self::skipped`] falls have
    /// changed: persist them in the same transaction.
    ///
    /// # Errors
    /// As [`Self::open`]; the others are then unchanged, too.
    pub fn open_beside(
        &mut self,
        delivered: &[u8],
        now_ms: u64,
        others: &mut [Self],
    ) -> Result<Opened, OpenError> {
        let message = Delivered::parse(delivered).map_err(OpenError::Layout)?;
        let Header { class, sender, lane, counter, epoch, mid } = message.header;
        if epoch != self.id() {
            return Err(OpenError::Epoch(epoch));
        }
        let header: &[u8; HEADER_LEN] = message
            .header_bytes
            .as_array()
            .ok_or(OpenError::Layout(LayoutError::new("msg.header", "56 bytes")))?;
        let (slot, tag_key) = self.receiving_from(sender).ok_or(OpenError::Tag)?;
        let envelope = seal::envelope(header, message.commit, message.ct);
        if !bool::from(seal::tag(tag_key, &envelope).ct_eq(message.tag)) {
            return Err(OpenError::Tag);
        }
        let user = self.header().user(slot.side).ok_or(OpenError::Tag)?;
        let device = slot.device;
        let step = self.step(sender, lane, counter)?;
        let content = self.read(step.key(), header, &message)?;
        self.take(step, now_ms, others);
        Ok(Opened { content, user, device, mid, class, lane, counter })
    }

    fn read(
        &self,
        skipped: &Secret<32>,
        header: &[u8; HEADER_LEN],
        message: &Delivered<'_>,
    ) -> Result<Received, OpenError> {
        let key = seal::message_key(skipped, header);
        if !bool::from(seal::commitment(&key, header).ct_eq(message.commit)) {
            return Err(OpenError::Commit);
        }
        let padded = seal::aead_open(self.suite(), &seal::content_key(&key), message.ct)
            .map_err(|seal::Failed| OpenError::Aead)?;
        let received = Content::parse(&padded, message.header.class, message.header.lane)
            .map_err(OpenError::Content)?;
        if let Received::Content(content) = &received
            && !content.seen.is_empty()
            && content.seen.len() != self.header().roster.len()
        {
            let error = LayoutError::new("content.m", "the roster's size");
            return Err(OpenError::Content(ContentError::Layout(error)));
        }
        // Another user's self-sync would speak for the own devices.
        match received {
            Received::Content(content) if !content.body.fits_pair(self.header().b.is_none()) => {
                Ok(Received::Mismatch(content.body.kind()))
            }
            received => Ok(received),
        }
    }

    /// The key for a counter, and what the chain becomes: derived on a copy.
    pub(crate) fn step(&self, sender: u8, lane: u8, counter: u32) -> Result<Step, OpenError> {
        let window = match lane {
            LANE_DURABLE => SKIP_DURABLE,
            LANE_EPHEMERAL => SKIP_EPHEMERAL,
            _ => return Err(OpenError::Tag),
        };
        let (chain, next) = self.chain_of(sender, lane).ok_or(OpenError::Tag)?;
        if counter < next {
            let key = self.skipped_key(sender, lane, counter).ok_or(OpenError::Replay)?;
            return Ok(Step::Late { sender, lane, counter, key: key.clone() });
        }
        if counter - next > window || counter == u32::MAX {
            return Err(OpenError::SkipLimit);
        }
        let mut chain = chain.clone();
        let mut passed = Vec::new();
        for skipped in next..counter {
            passed.push((skipped, seal::skipped_key(&chain)));
            chain = seal::next_chain_key(&chain);
        }
        let key = seal::skipped_key(&chain);
        let next = seal::next_chain_key(&chain);
        Ok(Step::Forward { sender, lane, counter, key, next, passed })
    }
}

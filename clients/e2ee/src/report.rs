//! Making a report: what to show the server of one received message (CRYPTO 6, "Report").
//!
//! Evidence must be made while the message's key can still be derived, so before the message is
//! opened. It opens this one message only, and proves something to this server only.

use hushwire_identity::Evidence;
use hushwire_identity::report::STAMP_LEN;
use hushwire_wire::message::Delivered;
use zeroize::Zeroizing;

use crate::message::OpenError;
use crate::seal;
use crate::state::EpochState;

impl EpochState {
    /// The evidence of a delivered message that was not opened yet, with the stamp and the time
    /// that came with it. The state stays as it is.
    ///
    /// # Errors
    /// As [`EpochState::open`]: what would not be shown to the user cannot be reported.
    pub fn evidence(
        &self,
        delivered: &[u8],
        stamp: [u8; STAMP_LEN],
        time_ms: u64,
    ) -> Result<Evidence, OpenError> {
        let mut copy = self.clone();
        let message = Delivered::parse(delivered).map_err(OpenError::Layout)?;
        let header = message.header.to_bytes();
        // The whole of the checks, on a copy that is thrown away.
        copy.open(delivered, time_ms)?;
        let step = self.step(message.header.sender, message.header.lane, message.header.counter)?;
        let key = seal::message_key(step.key(), &header);
        let padded = seal::aead_open(self.suite(), &seal::content_key(&key), message.ct)
            .map_err(|seal::Failed| OpenError::Aead)?;
        let message_key = Zeroizing::new(*key.get());
        Ok(Evidence { header, commit: *message.commit, message_key, padded, stamp, time_ms })
    }
}

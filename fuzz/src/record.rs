//! What a client opens or keeps: contents, and the states of its store.

use hushwire_e2ee::state::SKIPPED_MAX;
use hushwire_e2ee::{Content, ContentError, EpochState, PrekeySecret, Received};
use hushwire_wire::message::{Class, PADDED};

use crate::fixture::{NOW, text};
use crate::script::Script;

/// `u8 class | u8 lane | content`, zero-filled to a padded size.
pub(crate) fn content(bytes: &[u8]) -> bool {
    let mut script = Script::new(bytes);
    let (class, lane) = (script.byte(), script.byte());
    let Some(class) = Class::from_pair(class, lane) else { return false };
    let mut padded = script.take(usize::MAX).to_vec();
    let Some(size) = PADDED.into_iter().find(|size| *size >= padded.len()) else { return false };
    padded.resize(size, 0);
    let Ok(Received::Content(content)) = Content::parse(&padded, class, lane) else {
        return false;
    };
    let written = match content.to_padded() {
        Ok(written) => written,
        // What is shown of a reaction is the recipient's to cut; a longer text fits no roster.
        Err(error) => {
            assert_eq!(error, ContentError::Size);
            return false;
        }
    };
    assert!(written.len() <= padded.len(), "the smallest size is written");
    assert_eq!(written[..], padded[..written.len()]);
    assert!(padded[written.len()..].iter().all(|byte| *byte == 0));
    true
}

pub(crate) fn epoch_state(bytes: &[u8]) -> bool {
    let Ok(mut state) = EpochState::from_bytes(bytes) else { return false };
    assert_eq!(state.to_bytes()[..], *bytes);
    assert!(state.skipped() <= SKIPPED_MAX);
    assert_eq!(state.seen().len(), state.header().roster.len());
    assert_eq!(state.seen()[usize::from(state.me())], state.sent());
    let sent = state.sent();
    let mut content = text(0);
    content.seen = state.seen();
    let sealed = state.seal(Class::Text, 0, &content, [7; 16]);
    assert_eq!(sealed.is_ok(), sent != u32::MAX);
    assert_eq!(state.sent(), sent.saturating_add(u32::from(sealed.is_ok())));
    if let Ok(sealed) = &sealed {
        assert!(crate::layout::upload(&sealed.upload));
    }
    let (before, gone) = (state.skipped(), state.expire(NOW));
    assert_eq!(state.skipped(), before - gone);
    true
}

pub(crate) fn prekey_secret(bytes: &[u8]) -> bool {
    let Ok(secret) = PrekeySecret::from_bytes(bytes) else { return false };
    assert_eq!(secret.to_bytes()[..], *bytes);
    assert_ne!(secret.id(), 0);
    true
}

//! Texts: ids in base64url, usernames and domains, contact links, what people type, session
//! descriptions, the reasons of closes.

use hushwire_client::backoff::Ending;
use hushwire_e2ee::content::call;
use hushwire_e2ee::{RecoveryWords, WordsError};
use hushwire_identity::entry::is_domain;
use hushwire_identity::{ContactLink, DeviceCode, Handle, contact_link as written_link};
use hushwire_wire::close::CLOSES;
use hushwire_wire::{
    Close, Conn, DeviceId, EpochId, Gen, Mid, NodeId, Nonce, RequestId, Token, UserId,
    from_base64url, to_base64url,
};

pub(crate) fn ids(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let whole = from_base64url(text);
    if let Some(bytes) = &whole {
        assert_eq!(to_base64url(bytes), text, "one text for each byte string");
    }
    macro_rules! check {
        ($($name:ident),+) => {
            [$($name::from_base64url(text).map(|id| id.to_base64url())),+]
        };
    }
    let read = check!(UserId, DeviceId, Mid, EpochId, RequestId, Gen, Conn, NodeId, Nonce, Token);
    assert!(read.iter().flatten().all(|again| again == text));
    let known = whole.is_some_and(|bytes| matches!(bytes.len(), 16 | 32));
    assert_eq!(read.iter().any(Option::is_some), known);
    known
}

pub(crate) fn names(bytes: &[u8]) -> bool {
    let handle = Handle::from_bytes(bytes);
    if let Ok(handle) = &handle {
        assert_eq!(handle.as_str().as_bytes(), bytes);
        assert!((3..=32).contains(&bytes.len()) && is_domain_like(bytes, b"_."));
    }
    let domain = std::str::from_utf8(bytes).is_ok_and(is_domain);
    if domain {
        assert!((1..=253).contains(&bytes.len()) && is_domain_like(bytes, b".-:"));
    }
    handle.is_ok() || domain
}

fn is_domain_like(bytes: &[u8], also: &[u8]) -> bool {
    bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || also.contains(b))
}

pub(crate) fn contact_link(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Some(link) = ContactLink::parse(text) else { return false };
    match &link.names {
        None => assert_eq!(link.handle.as_str(), text),
        Some((domain, user)) => {
            // Capitals may stand only in the base32 part.
            let written = written_link(link.handle.as_str(), domain, user);
            assert_eq!(written, text.to_ascii_lowercase());
            assert_eq!(ContactLink::parse(&written), Some(link));
        }
    }
    true
}

/// Device codes and recovery words.
pub(crate) fn typed(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    if let Some(code) = DeviceCode::parse(text) {
        assert!(code.groups().iter().all(|group| *group < 100_000));
        assert_eq!(DeviceCode::parse(&code.to_string()), Some(code));
        return true;
    }
    match RecoveryWords::parse(text) {
        Ok(words) => {
            let typed: Vec<_> = text.split_whitespace().map(str::to_ascii_lowercase).collect();
            assert_eq!(*words.to_words(), typed.join(" "));
            assert_eq!(RecoveryWords::parse(&words.to_words()), Ok(words));
            true
        }
        Err(WordsError::Count(count)) => {
            assert_ne!(count, 24);
            false
        }
        Err(WordsError::Word(place)) => {
            assert!((1..=24).contains(&place));
            false
        }
        Err(WordsError::Checksum) => false,
    }
}

pub(crate) fn sdp(bytes: &[u8]) -> bool {
    let Ok(print) = call::fingerprint(bytes) else { return false };
    let line = print.map(|byte| format!("{byte:02x}")).join(":");
    let line = format!("a=fingerprint:sha-256 {line}");
    assert!(String::from_utf8_lossy(bytes).to_ascii_lowercase().contains(&line));
    assert_eq!(call::fingerprint(line.as_bytes()), Ok(print));
    assert!(call::fingerprint(format!("{line}\n{line}").as_bytes()).is_err());
    true
}

/// `u16 code | reason`.
pub(crate) fn close(bytes: &[u8]) -> bool {
    let Some((code, reason)) = bytes.split_first_chunk::<2>() else { return false };
    let code = u16::from_be_bytes(*code);
    let Ok(reason) = std::str::from_utf8(reason) else { return false };
    let ending = Ending::of_close(code, reason);
    assert_eq!(ending.code, Some(code));
    assert_eq!(ending.close(), CLOSES.into_iter().find(|close| close.code() == code));
    let Some(close) = Close::from_code(code) else { return false };
    assert_eq!(ending.comes_back(), close.comes_back());
    let ours = close.reason(ending.after_ms);
    assert_eq!(Ending::of_close(code, &ours), ending);
    true
}

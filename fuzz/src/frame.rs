//! Frames in both encodings and the bodies of HTTP: what decodes is encoded, and decodes to the
//! same again; a refusal names a field and repeats nothing.

use std::fmt::Debug;

use hushwire_wire::codec::DecodeError;
use hushwire_wire::frame::{ClientFrame, ServerFrame};
use hushwire_wire::{Encoding, http};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) fn client_json(bytes: &[u8]) -> bool {
    client(Encoding::Json, bytes)
}

pub(crate) fn client_cbor(bytes: &[u8]) -> bool {
    client(Encoding::Cbor, bytes)
}

pub(crate) fn server_json(bytes: &[u8]) -> bool {
    server(Encoding::Json, bytes)
}

pub(crate) fn server_cbor(bytes: &[u8]) -> bool {
    server(Encoding::Cbor, bytes)
}

fn client(encoding: Encoding, bytes: &[u8]) -> bool {
    let Some(frame) = decoded::<ClientFrame>(encoding.decode_client(bytes)) else { return false };
    for encoding in Encoding::ALL {
        let written = encoding.encode_client(&frame);
        assert_eq!(encoding.decode_client(&written).as_ref(), Ok(&frame));
    }
    true
}

fn server(encoding: Encoding, bytes: &[u8]) -> bool {
    let Some(frame) = decoded::<ServerFrame>(encoding.decode_server(bytes)) else { return false };
    for encoding in Encoding::ALL {
        let written = encoding.encode_server(&frame);
        assert_eq!(encoding.decode_server(&written).as_ref(), Ok(&frame));
    }
    true
}

fn decoded<T>(result: Result<T, DecodeError>) -> Option<T> {
    if let Err(DecodeError::Refused { field, .. }) = &result {
        let plain = |c: u8| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b'.' | b'[' | b']')
        };
        assert!((1..=64).contains(&field.len()) && field.bytes().all(plain), "{field:?}");
        assert!(!field.starts_with('.') && !field.ends_with('.'), "{field:?}");
    }
    result.ok()
}

/// The first byte says which body the rest is.
pub(crate) fn http_body(bytes: &[u8]) -> bool {
    let Some((which, json)) = bytes.split_first() else { return false };
    match which % 37 {
        0 => body::<http::ServerCard>(json),
        1 => body::<http::Register>(json),
        2 => body::<http::Registered>(json),
        3 => body::<http::PrekeyBundle>(json),
        4 => body::<http::AuthChallenge>(json),
        5 => body::<http::AuthAnswer>(json),
        6 => body::<http::AuthToken>(json),
        7 => body::<http::LogEntries>(json),
        8 => body::<http::Prekeys>(json),
        9 => body::<http::ContactAsk>(json),
        10 => body::<http::ContactAsked>(json),
        11 => body::<http::ContactAccept>(json),
        12 => body::<http::NewEpoch>(json),
        13 => body::<http::Wrap>(json),
        14 => body::<http::EpochPost>(json),
        15 => body::<http::EpochBundle>(json),
        16 => body::<http::Contacts>(json),
        17 => body::<http::Contact>(json),
        18 => body::<http::EpochRef>(json),
        19 => body::<http::Problem>(json),
        20 => body::<http::ContactState>(json),
        21 => body::<http::PrekeyPut>(json),
        22 => body::<http::Unclaimed>(json),
        23 => body::<http::LogAppend>(json),
        24 => body::<http::LogHead>(json),
        25 => body::<http::ContactDecline>(json),
        26 => body::<http::ContactPeer>(json),
        27 => body::<http::Changes>(json),
        28 => body::<http::Change>(json),
        29 => body::<http::Sessions>(json),
        30 => body::<http::Session>(json),
        31 => body::<http::AccountExport>(json),
        32 => body::<http::ExportedDevice>(json),
        33 => body::<http::ExportedEnd>(json),
        34 => body::<http::ExportedRequest>(json),
        35 => body::<http::ExportedEpoch>(json),
        _ => body::<http::ProblemCode>(json),
    }
}

fn body<T: Serialize + DeserializeOwned + PartialEq + Debug>(json: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<T>(json) else { return false };
    let written = serde_json::to_vec(&value).unwrap_or_default();
    assert_eq!(serde_json::from_slice::<T>(&written).ok(), Some(value));
    true
}

//! The worked bytes of `docs/PROTOCOL.md` are real: each decodes with the types of `wire/` and
//! encodes to the same bytes, in both encodings.

use std::fs;

use hushwire_wire::{Encoding, http};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Fenced blocks: language with its remark, and text.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push((info.to_owned(), body.join("\n")));
        }
    }
    found
}

fn body<T: Serialize + DeserializeOwned>(json: &str) -> String {
    let value: T = serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"));
    serde_json::to_string(&value).unwrap()
}

/// JSON and CBOR of an example, encoded from what was decoded.
fn encoded(kind: &str, json: &str) -> (String, Option<String>) {
    let bytes = json.as_bytes();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match kind {
        "client" => {
            let frame =
                Encoding::Json.decode_client(bytes).unwrap_or_else(|e| panic!("{json}: {e}"));
            let cbor = Encoding::Cbor.encode_client(&frame);
            assert_eq!(Encoding::Cbor.decode_client(&cbor).unwrap(), frame);
            (text(Encoding::Json.encode_client(&frame)), Some(hex::encode(cbor)))
        }
        "server" => {
            let frame =
                Encoding::Json.decode_server(bytes).unwrap_or_else(|e| panic!("{json}: {e}"));
            let cbor = Encoding::Cbor.encode_server(&frame);
            assert_eq!(Encoding::Cbor.decode_server(&cbor).unwrap(), frame);
            (text(Encoding::Json.encode_server(&frame)), Some(hex::encode(cbor)))
        }
        "ServerCard" => (body::<http::ServerCard>(json), None),
        "Register" => (body::<http::Register>(json), None),
        "Registered" => (body::<http::Registered>(json), None),
        "AuthChallenge" => (body::<http::AuthChallenge>(json), None),
        "AuthAnswer" => (body::<http::AuthAnswer>(json), None),
        "AuthToken" => (body::<http::AuthToken>(json), None),
        "LogEntries" => (body::<http::LogEntries>(json), None),
        "Prekeys" => (body::<http::Prekeys>(json), None),
        "PrekeyPut" => (body::<http::PrekeyPut>(json), None),
        "ContactAsk" => (body::<http::ContactAsk>(json), None),
        "ContactAsked" => (body::<http::ContactAsked>(json), None),
        "ContactAccept" => (body::<http::ContactAccept>(json), None),
        "Contacts" => (body::<http::Contacts>(json), None),
        "EpochRef" => (body::<http::EpochRef>(json), None),
        "EpochPost" => (body::<http::EpochPost>(json), None),
        "EpochBundle" => (body::<http::EpochBundle>(json), None),
        "LogAppend" => (body::<http::LogAppend>(json), None),
        "LogHead" => (body::<http::LogHead>(json), None),
        "ContactDecline" => (body::<http::ContactDecline>(json), None),
        "ContactPeer" => (body::<http::ContactPeer>(json), None),
        "Changes" => (body::<http::Changes>(json), None),
        "Sessions" => (body::<http::Sessions>(json), None),
        "AccountExport" => (body::<http::AccountExport>(json), None),
        "Problem" => (body::<http::Problem>(json), None),
        other => panic!("no type is known for the example `{other}`"),
    }
}

#[test]
fn every_example_of_the_protocol_is_real() {
    let text = fs::read_to_string(crate::root().join("docs/PROTOCOL.md")).unwrap();
    let mut cbor = None;
    let mut examples = 0;
    for (info, block) in blocks(&text) {
        if let Some(kind) = info.strip_prefix("json ") {
            let (json, hex) = encoded(kind, &block);
            assert_eq!(json, block, "{kind}");
            cbor = hex;
            examples += 1;
        } else if info == "cbor" {
            let block = block.split_whitespace().collect::<String>();
            assert_eq!(cbor.as_deref(), Some(block.as_str()));
            examples += 1;
        }
    }
    assert!(examples >= 40, "only {examples} examples were found");
}

#[test]
fn every_row_of_the_closed_tables_is_in_the_book() {
    let text = fs::read_to_string(crate::root().join("docs/PROTOCOL.md")).unwrap();
    for close in hushwire_wire::close::CLOSES {
        let row = format!("| {} | {close}", close.code());
        assert!(text.contains(&row), "{row}");
    }
    for name in [
        "rate_limited",
        "daily_limit",
        "trust_too_low",
        "no_credits",
        "not_contact",
        "restricted",
        "epoch_stale",
        "recipient_stale",
        "counter_reuse",
        "queue_full",
        "store_full",
        "too_large",
        "stale_sn",
        "unavailable",
        "bad_request",
        "forbidden",
    ] {
        assert!(text.contains(&format!("\n| `{name}` |")), "{name}");
    }
}

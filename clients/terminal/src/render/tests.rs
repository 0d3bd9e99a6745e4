use hushwire_client::{Code, Trouble, UserId};

use super::*;

fn id() -> Id {
    Id::from_text("AAAAAAAAAAAAAAAAAAAAAA").unwrap()
}

fn message(text: &str) -> Message {
    Message {
        id: id(),
        peer: UserId([1; 32]),
        from: "bob".to_owned(),
        stage: None,
        text: text.to_owned(),
        reply_to: None,
        sent_ms: 1,
        at_ms: 2,
        position: 0,
        from_removed: false,
        since: hushwire_client::Since::default(),
        missed: 0,
    }
}

fn bob() -> String {
    "bob".to_owned()
}

fn all() -> Vec<(Event, &'static str)> {
    let user = UserId([1; 32]);
    let (handle, id) = ("bob".to_owned(), id());
    vec![
        (Event::Connected, r#"{"event":"connected"}"#),
        (
            Event::Disconnected { why: "gone".to_owned(), retry_in_ms: Some(1_500) },
            r#"{"event":"disconnected","why":"gone","retry_in_ms":1500}"#,
        ),
        (
            Event::Disconnected { why: "gone".to_owned(), retry_in_ms: None },
            r#"{"event":"disconnected","why":"gone","retry_in_ms":null}"#,
        ),
        (
            Event::MessageReceived(message("hi")),
            r#"{"event":"message","id":"AAAAAAAAAAAAAAAAAAAAAA","from":"bob","text":"hi","sent_ms":1,"at_ms":2}"#,
        ),
        (
            Event::ContactRequest { handle: handle.clone(), user },
            r#"{"event":"contact_request","from":"bob"}"#,
        ),
        (
            Event::Presence { handle: bob(), on: true },
            r#"{"event":"presence","from":"bob","on":true}"#,
        ),
        (Event::Gap { handle: bob(), count: 3 }, r#"{"event":"gap","with":"bob","count":3}"#),
        (
            Event::ContactAccepted { handle: handle.clone(), user },
            r#"{"event":"contact_accepted","with":"bob"}"#,
        ),
        (
            Event::Read { handle, of: vec![id] },
            r#"{"event":"read","from":"bob","of":["AAAAAAAAAAAAAAAAAAAAAA"]}"#,
        ),
        (
            Event::Edited(message("ho")),
            r#"{"event":"edited","id":"AAAAAAAAAAAAAAAAAAAAAA","from":"bob","text":"ho"}"#,
        ),
        (
            Event::Removed { handle: bob(), id },
            r#"{"event":"removed","id":"AAAAAAAAAAAAAAAAAAAAAA","with":"bob"}"#,
        ),
        (
            Event::Reacted {
                handle: bob(),
                id,
                reaction: Reaction { from: bob(), symbol: "+".to_owned() },
            },
            r#"{"event":"reacted","id":"AAAAAAAAAAAAAAAAAAAAAA","with":"bob","by":"bob","symbol":"+"}"#,
        ),
        (
            Event::TimerSet { handle: bob(), by: bob(), seconds: 60 },
            r#"{"event":"timer","with":"bob","by":"bob","seconds":60}"#,
        ),
        (
            Event::Disappeared { handle: bob(), id },
            r#"{"event":"disappeared","id":"AAAAAAAAAAAAAAAAAAAAAA","with":"bob"}"#,
        ),
        (
            Event::Profile {
                handle: bob(),
                name: Some(hushwire_client::ProfileName("Bob M.".to_owned())),
            },
            r#"{"event":"profile","from":"bob","name":"Bob M."}"#,
        ),
        (
            Event::Profile { handle: bob(), name: None },
            r#"{"event":"profile","from":"bob","name":null}"#,
        ),
        (Event::Typing { handle: bob(), on: true }, r#"{"event":"typing","from":"bob","on":true}"#),
        (Event::Sent(id), r#"{"event":"sent","id":"AAAAAAAAAAAAAAAAAAAAAA"}"#),
        (
            Event::Held { id, for_ms: 7_001 },
            r#"{"event":"held","id":"AAAAAAAAAAAAAAAAAAAAAA","for_ms":7001}"#,
        ),
        (
            Event::Accepted { id, skipped: 0 },
            r#"{"event":"accepted","id":"AAAAAAAAAAAAAAAAAAAAAA"}"#,
        ),
        (
            Event::Accepted { id, skipped: 2 },
            r#"{"event":"accepted","id":"AAAAAAAAAAAAAAAAAAAAAA","skipped":2}"#,
        ),
        (Event::Delivered(id), r#"{"event":"delivered","id":"AAAAAAAAAAAAAAAAAAAAAA"}"#),
        (
            Event::Unreadable { id, code: "X".to_owned() },
            r#"{"event":"unreadable","id":"AAAAAAAAAAAAAAAAAAAAAA","code":"X"}"#,
        ),
        (Event::Expired(id), r#"{"event":"expired","id":"AAAAAAAAAAAAAAAAAAAAAA"}"#),
        (
            Event::Failed { id, code: "too_large", why: "long".to_owned() },
            r#"{"event":"failed","id":"AAAAAAAAAAAAAAAAAAAAAA","code":"too_large","why":"long"}"#,
        ),
        (Event::Resynced { again: 2 }, r#"{"event":"resynced","again":2}"#),
        (
            Event::Alarm { code: Code::Fork, words: "see".to_owned() },
            r#"{"event":"alarm","code":"FORK","words":"see"}"#,
        ),
        (
            Event::Trouble {
                trouble: Trouble::Unreachable,
                handle: Some("bob".to_owned()),
                words: "away".to_owned(),
            },
            r#"{"event":"trouble","trouble":"unreachable","contact":"bob","words":"away"}"#,
        ),
        (
            Event::Trouble { trouble: Trouble::RolledBack, handle: None, words: "old".to_owned() },
            r#"{"event":"trouble","trouble":"rolled_back","words":"old"}"#,
        ),
        (Event::Missed(3), r#"{"event":"missed","count":3}"#),
    ]
}

#[test]
fn events_are_the_promised_lines_of_json() {
    for (event, json) in all() {
        assert_eq!(serde_json::to_string(&Line::from(&event)).unwrap(), json);
    }
    let queued = Line::Queued { id: id(), to: "bob", text: "x", items: &[] };
    assert_eq!(
        serde_json::to_string(&queued).unwrap(),
        r#"{"event":"queued","id":"AAAAAAAAAAAAAAAAAAAAAA","to":"bob","text":"x"}"#
    );
    for line in all().iter().map(|(event, _)| Line::from(event)).chain([
        queued,
        Line::Waiting { from: "b" },
        Line::Withdrawn { id: id() },
        Line::Refused { why: "w" },
        Line::Outbox { unaccepted: 1 },
    ]) {
        let value = serde_json::to_value(&line).unwrap();
        let name = value["event"].as_str().unwrap();
        assert!(EVENTS.contains(&name), "{name} is not in the list that the help is held to");
    }
}

#[test]
fn words_are_one_line_without_colours_and_without_escapes() {
    let progress = Progress::default();
    for (event, _) in all() {
        if let Some(words) = Line::from(&event).words(&progress, Paint::NONE) {
            assert!(!words.chars().any(char::is_control), "{words:?}");
        }
    }
    let held = Line::Held { id: id(), for_ms: 7_001 };
    let words = held.words(&progress, Paint::NONE).unwrap();
    assert_eq!(words, "-- goes in 8 s: an earlier message");
}

#[test]
fn whatever_comes_from_outside_is_escaped() {
    let progress = Progress::default();
    let evil = "x\u{1b}[2J\r\u{202e}y";
    let lines = [
        Line::Disconnected { why: evil, retry_in_ms: None },
        Line::Disconnected { why: evil, retry_in_ms: Some(1) },
        Line::Message {
            id: id(),
            from: evil,
            text: evil,
            sent_ms: 0,
            at_ms: 0,
            reply_to: None,
            from_removed: true,
        },
        Line::Waiting { from: evil },
        Line::Edited { id: id(), from: evil, text: evil },
        Line::Removed { id: id(), with: evil },
        Line::Reacted { id: id(), with: evil, by: evil, symbol: evil },
        Line::Timer { with: evil, by: Some(evil), seconds: 60 },
        Line::Profile { from: evil, name: Some(evil) },
        Line::Read { from: evil, of: &[] },
        Line::Unreadable { id: id(), code: evil },
        Line::Failed { id: id(), code: evil, why: evil },
        Line::ContactRequest { from: evil },
        Line::ContactAccepted { with: evil },
        Line::Alarm { code: evil, words: evil },
        Line::Trouble { trouble: evil, contact: Some(evil), words: evil },
        Line::Refused { why: evil },
    ];
    for line in lines {
        let words = line.words(&progress, Paint::NONE).unwrap();
        assert!(!words.contains(['\u{1b}', '\r', '\u{202e}']), "{words:?}");
    }
}

#[test]
fn a_message_of_a_removed_device_is_marked() {
    let message = Message { from_removed: true, ..message("hi") };
    let line = Line::from(&message);
    let words = line.words(&Progress::default(), Paint::NONE).unwrap();
    assert_eq!(words, "bob: hi (from a device since removed)");
    let json = serde_json::to_value(&line).unwrap();
    assert_eq!(json["from_removed"], true);
}

#[test]
fn a_message_of_several_lines_is_indented() {
    let event = Event::MessageReceived(message("one\nalice: two"));
    let words = Line::from(&event).words(&Progress::default(), Paint::NONE).unwrap();
    assert_eq!(words, "bob: one\n     alice: two");
}

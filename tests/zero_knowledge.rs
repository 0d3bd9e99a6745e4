//! The server cannot read what it routes, and writes none of it down: canaries are searched for
//! in its folder, its log and its memory, beside controls that must be found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use hushwire_wire::frame::{Ack, ClientOp, ServerOp};
use hushwire_wire::{Encoding, to_base64url};
use support::person::{open_text, random_array, seal_text};
use support::{Pair, Person, Server};

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// All bytes of all files in a folder, its log included.
fn files(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.extend(fs::read(&path).unwrap());
        }
    }
    all
}

/// All writable memory of a process that can be read.
fn memory(pid: u32) -> Vec<u8> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let from = u64::from_str_radix(from, 16).unwrap();
        let len = u64::from_str_radix(to, 16).unwrap() - from;
        let mut part = vec![0; len as usize];
        memory.seek(SeekFrom::Start(from)).unwrap();
        if memory.read_exact(&mut part).is_ok() {
            all.extend(part);
        }
    }
    all
}

#[tokio::test]
async fn canaries_are_nowhere_and_controls_are_found() {
    let server = Server::start_with(&[
        ("limits.message_interval_ms", "0"),
        ("log.level", "debug"),
        // This test reads its memory.
        ("server.inspectable", "true"),
    ]);
    let mut pair = Pair::meet(&server.http(), "alice", "bob").await;
    let words = to_base64url(&random_array::<24>());
    let (mut alice, welcome) = pair.alice.connect(Encoding::Cbor).await;
    // One message online, one that stays in the queue.
    let (mut bob, _) = pair.bob.connect(Encoding::Json).await;
    let upload = seal_text(&mut pair.alice_state, &words);
    let id = alice.send(Person::send(&pair.bob.user(), 1, upload)).await;
    let got = bob
        .event(|op| match op {
            ServerOp::Message(message) => Some(message),
            _ => None,
        })
        .await;
    assert_eq!(open_text(&mut pair.bob_state, &got), words);
    bob.send(ClientOp::Ack(Ack { n: 1, failed: vec![] })).await;
    assert!(matches!(alice.answer(id).await, ServerOp::Accepted(_)));
    bob.cut();
    let queued = seal_text(&mut pair.alice_state, &words);
    let answer = alice.ask(Person::send(&pair.bob.user(), 2, queued.clone())).await;
    assert!(matches!(answer, ServerOp::Accepted(_)));

    let seed = pair.alice.key.to_seed();
    let secrets: [(&str, &[u8]); 2] = [("plaintext", words.as_bytes()), ("device key", &seed[..])];
    let ciphertext = &queued[92..140];
    let (disk, ram) = (files(server.folder()), memory(server.pid()));
    for (what, secret) in secrets {
        assert!(!holds(&disk, secret), "{what} on disk");
        assert!(!holds(&ram, secret), "{what} in memory");
    }
    // Ciphertext is in memory, since it is queued, and only there.
    assert!(holds(&ram, ciphertext), "the control: what is queued is in memory");
    assert!(!holds(&disk, ciphertext), "ciphertext on disk");
    // The database is really what was searched.
    assert!(holds(&disk, pair.alice.user().as_bytes()), "the control: the account is on disk");

    // Neither tokens nor ids nor names in the log, at its most talkative.
    let log = server.log();
    assert!(!log.is_empty());
    for secret in [
        welcome.token.to_base64url(),
        pair.alice.user().to_base64url(),
        pair.bob.user().to_base64url(),
        pair.alice.device().to_base64url(),
        "alice".to_owned(),
        "bob".to_owned(),
    ] {
        assert!(!log.contains(&secret), "{secret} in the log:\n{log}");
    }
    for id in [pair.alice.user().as_bytes().to_vec(), pair.bob.device().as_bytes().to_vec()] {
        let hex: String = id[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!log.contains(&hex), "{hex} in the log");
    }
}

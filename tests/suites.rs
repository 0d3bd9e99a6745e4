//! Which suite a conversation uses: the best that the devices of both people offer, computed by
//! each side, and texts arrive in every one of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::{Arc, Mutex};

use hushwire_client::transport::Call;
use hushwire_client::{Device, Event, Outside, StoreKey, Suites, Wishes};
use hushwire_identity::{EpochHeader, Suite};
use hushwire_wire::http::EpochBundle;
use support::Server;
use support::evil::{Evil, PATIENCE};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

async fn until<T>(events: &mut Receiver<Event>, pick: impl Fn(&Event) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = events.recv().await.expect("the client runs");
            if let Some(found) = pick(&event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("the event in time")
}

/// Two people who offer these suites become contacts and talk both ways; the suite of their epoch,
/// as the one who asked gets it.
async fn talk(server: &Server, names: [&str; 2], offers: [u16; 2]) -> Suite {
    let home = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(None));
    let mut people = Vec::new();
    for (name, bits) in names.into_iter().zip(offers) {
        let evil = Evil::before(server);
        let noted = Arc::clone(&seen);
        evil.rule(|rules| {
            rules.reply = Box::new(move |call: &Call, reply| {
                if call.path.starts_with("/v1/epochs/")
                    && let Ok(bundle) = serde_json::from_slice::<EpochBundle>(&reply.body)
                {
                    let header = EpochHeader::parse(bundle.header.as_bytes()).unwrap();
                    *noted.lock().unwrap() = Some(header.suite);
                }
                Ok(reply)
            });
        });
        let outside = Outside::new(Arc::new(evil));
        let at = |what: &str| home.path().join(format!("{name}.{what}"));
        let mut device = Device::open(&at("db"), &StoreKey::File(at("key"))).unwrap();
        let wishes = Wishes { suites: Suites::from_bits(bits).unwrap(), ..Wishes::default() };
        device.register_with(&outside, &server.url, name, wishes).await.unwrap();
        people.push(device.start(outside).unwrap());
    }
    let [(alice, alices), (bob, bobs)] = people.as_mut_slice() else { panic!("two people") };
    alice.contacts_add(names[1]).await.unwrap();
    until(bobs, |event| matches!(event, Event::ContactRequest { .. }).then_some(())).await;
    bob.contacts_accept(names[0]).await.unwrap();
    until(alices, |event| matches!(event, Event::ContactAccepted { .. }).then_some(())).await;
    let text = |event: &Event| match event {
        Event::MessageReceived(message) => Some(message.text.clone()),
        _ => None,
    };
    alice.send_text(names[1], "there").await.unwrap();
    assert_eq!(until(bobs, text).await, "there");
    bob.send_text(names[0], "and back").await.unwrap();
    assert_eq!(until(alices, text).await, "and back");
    seen.lock().unwrap().expect("an epoch was fetched")
}

#[tokio::test]
async fn a_pair_takes_the_best_suite_that_both_offer() {
    let server = Server::start();
    let rows = [
        (0b111, 0b111, Suite::XWing),
        (0b111, 0b011, Suite::NaCl),
        (0b110, 0b010, Suite::Aes),
        (0b010, 0b010, Suite::Aes),
    ];
    for (k, (one, other, suite)) in rows.into_iter().enumerate() {
        let names = [format!("alice{k}"), format!("bob{k}")];
        let names = [names[0].as_str(), names[1].as_str()];
        assert_eq!(talk(&server, names, [one, other]).await, suite, "{one:b} and {other:b}");
    }
}

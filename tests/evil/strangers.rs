//! The first contact: a server that answers in the place of whoever was asked, with keys of its
//! own making.

use hushwire_client::{Event, Standing};
use hushwire_e2ee::Party;
use hushwire_identity::{ContactRequest, DeviceLog, Prekey, contact_link};
use hushwire_wire::Sealed;
use hushwire_wire::http::{
    Contact, ContactAsk, ContactState, Contacts, EpochRef, Prekeys, Register,
};
use serde::de::DeserializeOwned;

use crate::support::Http;
use crate::support::forge::Epoch;
use crate::support::insider::{History, Insider};
use crate::support::person::{Person, both_suites, bundle};
use crate::support::victim::{Victim, server};

fn read<T: DeserializeOwned>(body: &[u8]) -> T {
    serde_json::from_slice(body).unwrap()
}

/// The server makes a Mallory: a log of the right name, with keys of its own. It answers bob's
/// last request with an epoch that names this predecessor, or the request.
async fn imposter(http: &Http, bob: &Victim, prev: Option<[u8; 32]>) -> Person {
    let person = Person::prepare(http, "mallory", both_suites()).await;
    // All that is needed of bob he has posted himself.
    let account: Register = read(&bob.evil.bodies("Post /v1/accounts")[0]);
    let log = DeviceLog::genesis(account.genesis.as_bytes()).unwrap();
    let put = bob.evil.bodies("Put /v1/prekey").pop();
    let prekey = put.map_or(account.prekey, |put| read(&put));
    let xwing = prekey.xwing.as_ref().map(Sealed::as_bytes);
    let bobs = Prekey::parse(prekey.record.as_bytes(), xwing).unwrap();
    let ask: ContactAsk = read(&bob.evil.bodies("Post /v1/contacts/request").pop().unwrap());
    let request = ContactRequest::parse(ask.request.as_bytes()).unwrap();
    let (own, theirs) = ([person.prekey.clone()], [bobs]);
    let mine = Party { log: &person.log, prekeys: &own };
    let peer = Party { log: &log, prekeys: &theirs };
    let prev = prev.unwrap_or(request.id().0);
    let epoch = Epoch::honest(&person.key, &mine, &peer, 0, prev);
    let history = History::of(&person);
    bob.evil.show(&history.path(), &history.entries());
    let prekeys = Prekeys { prekeys: vec![bundle(&person.prekey)] };
    bob.evil.show(&history.path().replace("/log", "/prekeys"), &prekeys);
    let wrap = epoch.wrap(&person.key, &theirs[0]);
    bob.evil.show(&epoch.path(), &epoch.bundle(wrap, &[&person.prekey, &theirs[0]]));
    let newest = Some(EpochRef { n: 0, epoch: epoch.header.id() });
    let (peer, state) = (person.user(), ContactState::Active);
    let contacts = vec![Contact { peer, state, request: ask.request, newest }];
    bob.evil.show("/v1/contacts", &Contacts { v: 9, contacts });
    person
}

/// Bob looks at his contacts, and nobody has answered. Gives what was told.
async fn nobody_answered(bob: &mut Victim) -> Vec<Event> {
    bob.told().await;
    let cards = bob.client.contacts().await.unwrap();
    assert_eq!((cards.len(), cards[0].standing), (1, Standing::Asked));
    assert!(bob.client.send_text("mallory", "to whom?").await.is_err());
    bob.told().await
}

/// Whoever asks by a link is answered by the log that it names, and by no other.
#[tokio::test]
async fn a_link_is_answered_by_its_log_alone() {
    let server = server();
    let mallory = Person::register(&server.http(), "mallory").await;
    let mut bob = Victim::register(&server, "bob").await;
    let link = contact_link("mallory", &mallory.domain, &mallory.user());
    bob.client.contacts_add(&link).await.unwrap();
    imposter(&server.http(), &bob, None).await;
    let before = bob.state("mallory").await;
    assert_eq!(nobody_answered(&mut bob).await, []);
    assert!(bob.state("mallory").await == before);
    bob.evil.rest();
    let mallory = Insider::answer(mallory, &mut bob).await;
    bob.shows(mallory.text(&mallory.epoch, 0, "it is me"), "it is me").await;
}

/// Whoever asks by a name trusts the first answer, as the specification says; but only one that
/// names this very request. A false one does not stand in the way of the true one.
#[tokio::test]
async fn a_name_is_answered_to_this_request_alone() {
    let server = server();
    let http = server.http();
    let mallory = Person::register(&http, "mallory").await;
    let mut bob = Victim::register(&server, "bob").await;
    bob.client.contacts_add("mallory").await.unwrap();
    imposter(&http, &bob, Some([7; 32])).await;
    nobody_answered(&mut bob).await;
    bob.evil.rest();
    let mallory = Insider::answer(mallory, &mut bob).await;
    bob.shows(mallory.text(&mallory.epoch, 0, "it is me"), "it is me").await;
    // Trust on first use.
    let mut ben = Victim::register(&server, "ben").await;
    ben.client.contacts_add("mallory").await.unwrap();
    let imposter = imposter(&http, &ben, None).await;
    ben.client.contacts().await.unwrap();
    let told = ben.told().await;
    let is = |event: &Event| matches!(event, Event::ContactAccepted { user, .. } if *user == imposter.user());
    assert!(told.iter().any(is), "{told:?}");
}

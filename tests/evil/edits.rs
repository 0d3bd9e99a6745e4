//! Contents that change what was said: by whom they may, how often, and in which class. All are
//! authentic, so that their counter is used up; what is not allowed leaves nothing behind that a
//! person sees.

use hushwire_client::{Event, Id};
use hushwire_wire::layout::Writer;

use crate::scene::Scene;
use crate::support::forge::Letter;
use crate::support::insider::Insider;
use crate::support::person::{now_ms, random_array};

const TEXT: u8 = 1;
const EDIT: u8 = 2;
const REMOVE: u8 = 3;
const FILE: u8 = 4;
const CALL: u8 = 5;
const RECEIPT: u8 = 6;
const SELF_SYNC: u8 = 7;
const TYPING: u8 = 8;
const REACTION: u8 = 9;
const TIMER: u8 = 10;
const BATCH: u8 = 11;
const PROFILE: u8 = 12;

/// The common layout of CRYPTO 6 around a body of any type.
fn padded(kind: u8, id: [u8; 16], body: &[u8]) -> Vec<u8> {
    let mut w = Writer::default();
    w.u8(1).u8(kind).u16(0).raw(&id).u64(now_ms()).u32(0).u8(0).v32(body);
    let mut out = w.finish();
    out.resize(256, 0);
    out
}

fn text(words: &str) -> Vec<u8> {
    [&[0; 16][..], words.as_bytes()].concat()
}

fn edit(target: [u8; 16], rev: u16, words: &str) -> Vec<u8> {
    [&target[..], &rev.to_be_bytes(), words.as_bytes()].concat()
}

fn reaction(target: [u8; 16], symbol: &str) -> Vec<u8> {
    [&target[..], &[symbol.len() as u8], symbol.as_bytes()].concat()
}

/// A body of every type that is laid out as it should be, and the class and lane where it belongs.
fn bodies(target: [u8; 16]) -> Vec<(u8, u8, Vec<u8>)> {
    let mut file = Writer::default();
    file.v8(b"text/plain").v16(b"a").u64(1).u64(1 + 17);
    file.raw(&[0; 16]).raw(&[0; 32]).raw(&[0; 24]).raw(&[0; 32]).v16(b"");
    let mut call = Writer::default();
    call.raw(&[1; 16]).u8(4).u64(now_ms() + 1_000).v16(b"");
    let mut batch = Writer::default();
    batch.u8(1).raw(&random_array::<16>()).u8(TEXT).v32(&text("in a batch"));
    vec![
        (TEXT, 1, text("a text")),
        (EDIT, 2, edit(target, 9, "an edit")),
        (REMOVE, 3, target.to_vec()),
        (FILE, 4, file.finish()),
        (CALL, 16, call.finish()),
        (RECEIPT, 17, [&[2, 0, 1][..], &target].concat()),
        (SELF_SYNC, 17, [&[1][..], &0_u32.to_be_bytes()].concat()),
        (TYPING, 17, vec![1]),
        (REACTION, 18, reaction(target, "+")),
        (TIMER, 18, 60_u32.to_be_bytes().to_vec()),
        (BATCH, 1, batch.finish()),
        (PROFILE, 17, vec![3, b'b', b'o', b'b']),
    ]
}

/// What Mallory says next.
struct Says {
    counter: u32,
}

impl Says {
    /// Bob takes it, and tells this of it.
    async fn told(&mut self, scene: &mut Scene, class: u8, padded: Vec<u8>) -> Vec<Event> {
        let epoch = scene.mallory.epoch.clone();
        let letter = Letter { class, padded, ..scene.mallory.letter(&epoch, self.counter, "") };
        self.counter += 1;
        let message = scene.mallory.deliver(&epoch, &epoch.seal(&letter));
        scene.bob.told().await;
        assert_eq!(scene.bob.evil.deliver(message).await, Ok(()));
        scene.bob.told().await
    }
}

/// 27: a type in another class than its own. The class is what the server counts and charges: no
/// type travels cheaper than it should.
#[tokio::test]
async fn no_type_passes_in_another_class() {
    let mut scene = Scene::set().await;
    let mut says = Says { counter: 0 };
    let target = random_array();
    let told = says.told(&mut scene, 1, padded(TEXT, target, &text("stays"))).await;
    assert!(matches!(told.as_slice(), [Event::MessageReceived(_)]), "{told:?}");
    for (kind, own, body) in bodies(target) {
        for class in [1, 2, 3, 4, 5, 6, 17, 18] {
            if class == own && kind != TYPING {
                continue;
            }
            let told = says.told(&mut scene, class, padded(kind, random_array(), &body)).await;
            assert_eq!(told, [], "type {kind} in class {class}");
        }
    }
    assert_eq!(scene.bob.texts("mallory").await, ["stays"]);
    // Each counter was used: what follows has no gap before it.
    let told = says.told(&mut scene, 1, padded(TEXT, random_array(), &text("next"))).await;
    assert!(matches!(told.as_slice(), [Event::MessageReceived(_)]), "{told:?}");
}

/// 27: nobody edits or removes what somebody else wrote: not in this conversation, not in another
/// one, not before it was written. An author does.
#[tokio::test]
async fn only_its_author_changes_a_message() {
    let mut scene = Scene::set().await;
    let carol = Insider::befriend(&scene.server, "carol", &mut scene.bob).await;
    let mut says = Says { counter: 0 };
    let mine: Id = scene.bob.client.send_text("mallory", "bob's words").await.unwrap();
    let accepted = |event: &Event| matches!(event, Event::Accepted { .. }).then_some(());
    scene.bob.until(accepted).await;
    let carols = random_array();
    let epoch = carol.epoch.clone();
    let letter = Letter {
        padded: padded(TEXT, carols, &text("carol's words")),
        ..carol.letter(&epoch, 0, "")
    };
    let early = random_array();
    for target in [mine.0.0, carols, early] {
        for (kind, body) in [(EDIT, edit(target, 1, "mallory's words")), (REMOVE, target.to_vec())]
        {
            let told = says.told(&mut scene, kind, padded(kind, random_array(), &body)).await;
            assert_eq!(told, [], "{kind}");
        }
    }
    scene.bob.shows(carol.deliver(&epoch, &epoch.seal(&letter)), "carol's words").await;
    let letter =
        Letter { padded: padded(TEXT, early, &text("carol's too")), ..carol.letter(&epoch, 1, "") };
    scene.bob.shows(carol.deliver(&epoch, &epoch.seal(&letter)), "carol's too").await;
    for target in [mine.0.0, carols, early] {
        for (kind, body) in [(EDIT, edit(target, 7, "mallory's words")), (REMOVE, target.to_vec())]
        {
            let told = says.told(&mut scene, kind, padded(kind, random_array(), &body)).await;
            assert_eq!(told, [], "{kind}");
        }
    }
    assert_eq!(scene.bob.texts("mallory").await, ["bob's words"]);
    assert_eq!(scene.bob.texts("carol").await, ["carol's words", "carol's too"]);
    // Her own, even under the id of another's.
    let shared = random_array();
    let said = padded(TEXT, shared, &text("carol's last"));
    let letter = Letter { padded: said, ..carol.letter(&epoch, 2, "") };
    scene.bob.shows(carol.deliver(&epoch, &epoch.seal(&letter)), "carol's last").await;
    let told = says.told(&mut scene, 1, padded(TEXT, shared, &text("mallory's own"))).await;
    assert!(matches!(told.as_slice(), [Event::MessageReceived(_)]), "{told:?}");
    let change = padded(EDIT, random_array(), &edit(shared, 1, "mallory's second"));
    let told = says.told(&mut scene, EDIT, change).await;
    assert!(matches!(told.as_slice(), [Event::Edited(_)]), "{told:?}");
    assert_eq!(scene.bob.texts("mallory").await, ["bob's words", "mallory's second"]);
    let told = says.told(&mut scene, REMOVE, padded(REMOVE, random_array(), &shared)).await;
    assert!(matches!(told.as_slice(), [Event::Removed { .. }]), "{told:?}");
    assert_eq!(scene.bob.texts("mallory").await, ["bob's words", ""]);
    let of_carol = ["carol's words", "carol's too", "carol's last"];
    assert_eq!(scene.bob.texts("carol").await, of_carol);
}

/// 27: the highest revision holds, in whatever order the server delivers; an id counts once,
/// outside and inside a batch; nothing comes back after it was removed.
#[tokio::test]
async fn what_was_said_before_does_not_come_back() {
    let mut scene = Scene::set().await;
    let mut says = Says { counter: 0 };
    let id = random_array();
    says.told(&mut scene, 1, padded(TEXT, id, &text("first"))).await;
    for (rev, words, stands) in [
        (3, "third", "third"),
        (2, "second", "third"),
        (3, "third again", "third"),
        (0, "zeroth", "third"),
    ] {
        says.told(&mut scene, EDIT, padded(EDIT, random_array(), &edit(id, rev, words))).await;
        assert_eq!(scene.bob.texts("mallory").await, [stands]);
    }
    // The same id again, alone and in a batch; a batch that repeats an id of its own.
    let once = random_array::<16>();
    let mut batch = Writer::default();
    batch.u8(3).raw(&id).u8(TEXT).v32(&text("again"));
    batch.raw(&once).u8(TEXT).v32(&text("once")).raw(&once).u8(TEXT).v32(&text("twice"));
    let batch = batch.finish();
    assert_eq!(says.told(&mut scene, 1, padded(TEXT, id, &text("again"))).await, []);
    let told = says.told(&mut scene, 1, padded(BATCH, random_array(), &batch)).await;
    assert_eq!(told.len(), 1, "{told:?}");
    let told = says.told(&mut scene, 1, padded(BATCH, random_array(), &batch)).await;
    assert_eq!(told, []);
    assert_eq!(scene.bob.texts("mallory").await, ["third", "once"]);
    says.told(&mut scene, REMOVE, padded(REMOVE, random_array(), &id)).await;
    for (class, kind, body) in [
        (EDIT, EDIT, edit(id, 9, "back")),
        (1, TEXT, text("back")),
        (18, REACTION, reaction(id, "+")),
    ] {
        let again = if kind == TEXT { id } else { random_array() };
        assert_eq!(says.told(&mut scene, class, padded(kind, again, &body)).await, []);
    }
    assert_eq!(scene.bob.texts("mallory").await, ["", "once"]);
}

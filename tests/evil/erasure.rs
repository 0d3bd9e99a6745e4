//! What a thief of a device finds: its store is taken with its key file, and read row by row.
//! What should be gone is in no row, and nothing of the row that held it is left in the file.

use hushwire_client::Event;
use hushwire_identity::hash::{Label, kdf};
use hushwire_wire::DeviceId;

use crate::scene::Scene;
use crate::support::forge::{Epoch, prekey_secrets};
use crate::support::stolen::{EPOCHS, PREKEYS, Stolen, contains, raw};
use crate::support::victim::DAY_MS;

/// `SK` of a counter.
fn skipped(epoch: &Epoch, device: &DeviceId, counter: u32) -> [u8; 32] {
    kdf(&epoch.chain(device, 0, counter), Label::Msg, &[])
}

/// 34: an epoch's key is never stored; a chain's key is gone with the message that used it, a
/// skipped one with the late message, or after 7 days. Nothing is ever there in clear.
#[tokio::test]
async fn keys_that_were_used_are_gone() {
    let mut scene = Scene::set().await;
    let epoch = scene.mallory.epoch.clone();
    let (hers, own) = (scene.mallory.person.device(), scene.mallory.prekey.record.device);
    let chain = |counter| epoch.chain(&hers, 0, counter);
    let secrets: Vec<[u8; 32]> = (0..12).map(chain).chain([epoch.key]).collect();
    let in_clear = |scene: &Scene| {
        let files = raw(scene.bob.home.path());
        secrets.iter().any(|secret| files.iter().any(|file| contains(file, secret)))
    };

    scene.bob.close().await;
    let fresh = Stolen::from(scene.bob.home.path());
    assert!(!fresh.holds(&epoch.key));
    assert!(fresh.holds(&chain(0)) && fresh.holds(&epoch.chain(&own, 0, 0)));
    let before = fresh.of(EPOCHS)[0].sealed.clone();
    assert!(fresh.has_left_of(&before), "it is found where it is");
    scene.bob.start();
    scene.bob.connected().await;

    scene.bob.shows(scene.mallory.text(&epoch, 0, "first"), "first").await;
    assert!(!in_clear(&scene));
    scene.bob.shows(scene.mallory.text(&epoch, 5, "sixth"), "sixth").await;
    assert!(!in_clear(&scene));
    let id = scene.bob.client.send_text("mallory", "mine").await.unwrap();
    let accepted = |event: &Event| matches!(event, Event::Accepted { id: i, .. } if *i == id);
    scene.bob.until(|event| accepted(event).then_some(())).await;
    scene.bob.close().await;
    let used = Stolen::from(scene.bob.home.path());
    assert!(!used.holds(&epoch.key));
    for counter in 0..6 {
        assert!(!used.holds(&chain(counter)), "{counter}");
        let is_skipped = (1..5).contains(&counter);
        assert_eq!(used.holds(&skipped(&epoch, &hers, counter)), is_skipped, "{counter}");
    }
    assert!(used.holds(&chain(6)));
    assert!(!used.holds(&epoch.chain(&own, 0, 0)) && used.holds(&epoch.chain(&own, 0, 1)));
    assert!(!used.has_left_of(&before), "the old row was overwritten");
    scene.bob.start();
    scene.bob.connected().await;

    scene.bob.shows(scene.mallory.text(&epoch, 2, "third"), "third").await;
    scene.bob.close().await;
    let late = Stolen::from(scene.bob.home.path());
    assert!(!late.holds(&skipped(&epoch, &hers, 2)) && late.holds(&skipped(&epoch, &hers, 3)));
    let before = late.of(EPOCHS)[0].sealed.clone();
    scene.bob.clock.forward(7 * DAY_MS);
    scene.bob.start();
    scene.bob.connected().await;
    scene.bob.close().await;
    let expired = Stolen::from(scene.bob.home.path());
    assert!(!expired.holds(&skipped(&epoch, &hers, 3)));
    assert!(!expired.has_left_of(&before));
    assert!(expired.holds(&chain(6)), "the chain goes on");
}

/// 34: the keys of an epoch are gone 7 days after a newer one was taken.
#[tokio::test]
async fn the_keys_of_a_closed_epoch_are_gone() {
    let mut scene = Scene::set().await;
    let zero = scene.mallory.epoch.clone();
    let first = zero.chain(&scene.mallory.person.device(), 0, 0);
    let one = scene.honest();
    scene.takes(&one).await;
    scene.bob.close().await;
    let open = Stolen::from(scene.bob.home.path());
    assert_eq!(open.of(EPOCHS).len(), 2);
    assert!(open.holds(&first));
    let is_zero = |row: &&&crate::support::stolen::Row| row.key == zero.header.id().0;
    let row = open.of(EPOCHS).iter().find(is_zero).unwrap().sealed.clone();
    scene.bob.clock.forward(7 * DAY_MS);
    let drained = scene.bob.drains();
    scene.bob.start();
    drained.notified().await;
    scene.bob.shows(scene.mallory.text(&one, 1, "after the queue"), "after the queue").await;
    scene.bob.close().await;
    let closed = Stolen::from(scene.bob.home.path());
    assert_eq!(closed.of(EPOCHS).len(), 1);
    assert!(!closed.holds(&first));
    assert!(!closed.has_left_of(&row));
}

/// 34: a prekey's secret is gone when a newer one came and nothing that is sealed to it waits; not
/// before, or what waits could not be opened.
#[tokio::test]
async fn an_old_prekey_is_gone_when_nothing_waits_for_it() {
    let mut scene = Scene::set().await;
    scene.bob.close().await;
    let fresh = scene.bob.rows();
    let row = fresh.of(PREKEYS)[0];
    let secret = hushwire_e2ee::PrekeySecret::from_bytes(&row.value).unwrap();
    let (x25519, seed) = prekey_secrets(&secret);
    assert!(fresh.holds(&x25519) && fresh.holds(&seed));
    let sealed = row.sealed.clone();
    // Sealed to it while bob is away.
    let epoch = scene.honest();
    let wrap = scene.mallory.wrap(&epoch);
    assert_eq!(scene.posts(&epoch, &wrap).await, Ok(()));
    scene.bob.evil.lose(&epoch.path());
    scene.bob.start();
    scene.bob.connected().await;
    let waits = scene.bob.rows();
    assert_eq!(waits.of(PREKEYS).len(), 2, "he has a newer one");
    assert!(waits.holds(&x25519) && waits.holds(&seed));
    scene.bob.close().await;
    scene.bob.evil.rest();
    scene.bob.start();
    scene.bob.connected().await;
    let claimed = scene.bob.rows();
    assert!(claimed.of(EPOCHS).iter().any(|row| row.key == epoch.header.id().0));
    assert!(claimed.of(PREKEYS).iter().all(|row| row.key != secret.id().to_be_bytes()));
    assert!(!claimed.holds(&x25519) && !claimed.holds(&seed));
    assert!(!claimed.has_left_of(&sealed), "nor is the row that it was in");
    scene.bob.shows(scene.mallory.text(&epoch, 0, "after all"), "after all").await;
}

//! Epochs that a contact or the server made wrongly. Each is fetched because a message under it
//! came; the message is refused with the epoch's code, and an honest epoch of the same number is
//! taken afterwards.

use hushwire_client::Code;
use hushwire_e2ee::DeviceKey;
use hushwire_identity::{Side, Suite};
use hushwire_wire::http::ProblemCode;
use hushwire_wire::{DeviceId, UserId};

use crate::scene::Scene;
use crate::support::forge::{Epoch, identity_x25519};
use crate::support::insider::Insider;
use crate::support::person::{now_ms, random, random_array};
use crate::support::victim::HOUR_MS;

/// 1, 2: whoever lacks the creator's identity secret cannot make a wrap; whoever has it cannot
/// make one for another device or another epoch.
#[tokio::test]
async fn a_wrap_opens_only_as_its_creator_made_it() {
    let mut scene = Scene::set().await;
    let epoch = scene.honest();
    let mallory = scene.mallory.person.device();
    let prekey = scene.mallory.prekey.clone();
    let stranger = identity_x25519(&DeviceKey::generate(&mut random).unwrap());
    let own = identity_x25519(&scene.mallory.person.key);
    let other = random_array();
    let wraps = [
        // The server's own key under a self-made box, in the creator's name.
        epoch.wrap_of(&other, &stranger, &mallory, &prekey),
        // The right key, and still not the creator's box.
        epoch.wrap_of(&epoch.key, &stranger, &mallory, &prekey),
        // The creator's box in the name of another device.
        epoch.wrap_of(&epoch.key, &own, &DeviceId([7; 16]), &prekey),
        // The wrap of the epoch before.
        scene.mallory.wrap(&scene.mallory.epoch),
        vec![0; 1168],
        vec![0; 80],
        Vec::new(),
    ];
    for wrap in wraps {
        assert_eq!(scene.refuses_wrap(&epoch, wrap, Code::WrapInvalid).await, []);
    }
    scene.takes(&epoch).await;
}

/// 3: a creator who gives a device another key than the one that the header commits to.
#[tokio::test]
async fn a_wrap_of_another_key_than_committed_is_a_kc_mismatch() {
    let mut scene = Scene::set().await;
    let epoch = scene.honest();
    let other = Epoch { key: random_array(), ..epoch.clone() };
    let wrap = scene.mallory.wrap(&other);
    assert_eq!(scene.refuses_wrap(&epoch, wrap, Code::KcMismatch).await, []);
    scene.takes(&epoch).await;
}

/// 4: a device that is on no log, on either side; and a person is told.
#[tokio::test]
async fn a_ghost_in_the_roster_is_refused_and_alarms() {
    let mut scene = Scene::set().await;
    let epoch = scene.honest();
    for side in [Side::A, Side::B] {
        for prekey in [0, 1] {
            let ghost = epoch.seat(side, DeviceId(random_array()), prekey);
            assert_eq!(scene.server_refuses(&ghost).await, ProblemCode::EpochRoster);
            let alarms = scene.refuses(&ghost, Code::EpochRoster).await;
            assert_eq!(alarms, [Code::EpochRoster]);
        }
    }
    scene.takes(&epoch).await;
}

/// 5, for the victim's own device: it cannot be left out.
#[tokio::test]
async fn the_own_device_cannot_be_left_out() {
    let mut scene = Scene::set().await;
    let epoch = scene.honest();
    let bob = scene.mallory.prekey.record.device;
    let without = epoch.unseat(&bob);
    assert_eq!(scene.server_refuses(&without).await, ProblemCode::EpochRoster);
    assert_eq!(scene.refuses(&without, Code::EpochRoster).await, [Code::EpochRoster]);
    scene.takes(&epoch).await;
}

/// 10, in the header: both have suite 3, so that suite 1 is a lie; suite 2 even more.
#[tokio::test]
async fn a_lower_suite_than_the_best_is_refused() {
    let mut scene = Scene::set().await;
    let epoch = scene.honest();
    assert_eq!(epoch.header.suite, Suite::XWing);
    for suite in [Suite::NaCl, Suite::Aes] {
        let lower = epoch.with(|header| header.suite = suite);
        assert_eq!(scene.server_refuses(&lower).await, ProblemCode::BadRequest);
        assert_eq!(scene.refuses(&lower, Code::EpochSuite).await, []);
    }
    scene.takes(&epoch).await;
}

/// E8: an epoch of the day after tomorrow, and one that is older than the one it follows.
#[tokio::test]
async fn times_that_cannot_be_are_refused() {
    let mut scene = Scene::set().await;
    let epoch = scene.honest();
    for created_ms in [now_ms() + 25 * HOUR_MS, scene.mallory.epoch.header.created_ms - 1] {
        let odd = epoch.with(|header| header.created_ms = created_ms);
        assert_eq!(scene.refuses(&odd, Code::EpochStale).await, []);
    }
    scene.takes(&epoch).await;
}

/// 13: an epoch, its wrap and its messages again, and an epoch whose number was passed; after a
/// restart as well.
#[tokio::test]
async fn nothing_old_is_taken_again() {
    let mut scene = Scene::set().await;
    let zero = scene.mallory.epoch.clone();
    // Made in good faith beside epoch 0, and kept back.
    let passed = scene.honest();
    let first = scene.mallory.text(&zero, 0, "once");
    scene.bob.shows(first.clone(), "once").await;
    let one = scene.honest();
    scene.takes(&one).await;
    let two = scene.honest();
    scene.takes(&two).await;
    for restarts in [false, true] {
        if restarts {
            scene.bob.restart().await;
        }
        assert_eq!(scene.refuses(&passed, Code::EpochStale).await, []);
        // Known messages are taken as such, and nothing comes of them.
        scene.bob.told().await;
        let before = scene.bob.state("mallory").await;
        assert_eq!(scene.bob.evil.deliver(first.clone()).await, Ok(()));
        assert_eq!(scene.bob.told().await, []);
        assert!(scene.bob.state("mallory").await == before);
        // The same counter in new clothes.
        let again = scene.mallory.text(&zero, 0, "once more");
        scene.bob.refuses("mallory", again, Code::Replay).await;
    }
    scene.bob.shows(scene.mallory.text(&zero, 1, "late, and new"), "late, and new").await;
}

/// 14: an epoch of another pair, of Mallory with herself, and of bob with himself.
#[tokio::test]
async fn an_epoch_of_another_pair_is_refused() {
    let mut scene = Scene::set().await;
    let carol = Insider::befriend(&scene.server, "carol", &mut scene.bob).await;
    let epoch = scene.honest();
    let of_carol = carol.next(1, &carol.epoch);
    let alone = |user: UserId| {
        epoch.with(|header| {
            let side = if header.a.user == user { Side::A } else { Side::B };
            header.roster.retain(|slot| slot.side == side);
            header.roster[0].side = Side::A;
            header.a = if side == Side::A { header.a } else { header.b.unwrap() };
            (header.b, header.creator) = (None, 0);
        })
    };
    let (hers, his) = (alone(scene.mallory.user()), alone(scene.bob.user));
    for other in [&of_carol, &hers, &his] {
        scene.bob.evil.show(&other.path(), &carol.bundle(other, carol.wrap(&of_carol)));
        // Her text, sealed under an epoch that is hers to name.
        let mut parts = epoch.seal(&scene.mallory.letter(&epoch, 0, "never shown"));
        parts.header[8..40].copy_from_slice(&other.header.id().0);
        let message = scene.mallory.deliver(&epoch, &parts);
        scene.bob.refuses("mallory", message, Code::EpochRoster).await;
    }
    scene.takes(&epoch).await;
    // Carol's is hers.
    let wrap = carol.wrap(&of_carol);
    scene.bob.evil.show(&of_carol.path(), &carol.bundle(&of_carol, wrap));
    scene.bob.shows(carol.text(&of_carol, 0, "honest"), "honest").await;
}

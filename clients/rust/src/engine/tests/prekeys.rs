//! The own prekey: renewed, its older secrets erased, and an old copy of the store found out.

use std::sync::atomic::Ordering;

use hushwire_identity::{Reason, Suites};
use hushwire_wire::Sealed;
use hushwire_wire::http::{PrekeyBundle, PrekeyPut, Prekeys, Problem, ProblemCode, Unclaimed};

use super::friend::{Board, Friend, REQUEST};
use super::hostile::{World, reply};
use super::*;
use crate::event::Trouble;
use crate::record::Standing;
use crate::transport::Method;

const DAY_MS: u64 = 86_400_000;

fn put(unclaimed: &[Unclaimed]) -> Reply {
    reply(200, &PrekeyPut { unclaimed: unclaimed.to_vec(), more: false })
}

pub(super) fn problem(code: ProblemCode) -> Reply {
    let body = Problem {
        r#type: "about:blank".to_owned(),
        title: String::new(),
        status: code.status(),
        code,
        detail: String::new(),
        field: None,
        expected: None,
        retry_after_ms: None,
        header: None,
        log: None,
        rule: None,
        limit: None,
        used: None,
    };
    reply(code.status(), &body)
}

/// Secrets of prekeys as they are stored.
fn stored(world: &mut World) -> Vec<u32> {
    let secrets = account::secrets(&mut world.engine.store).unwrap();
    secrets.iter().map(PrekeySecret::id).collect()
}

#[tokio::test]
async fn a_secret_goes_as_soon_as_nothing_waits_for_it() {
    let mut world = World::new();
    world.script(|_| Some(put(&[])));
    world.engine.upkeep().await.unwrap();
    assert_eq!(stored(&mut world), [2], "the first start renews it, and nothing needs the first");
    world.engine.upkeep().await.unwrap();
    assert_eq!(world.engine.prekey.id, 2, "once in a run");
    for day in 3..6 {
        world.clock.0.fetch_add(DAY_MS, Ordering::Relaxed);
        world.engine.upkeep().await.unwrap();
        assert_eq!(stored(&mut world), [day]);
    }
}

#[tokio::test]
async fn a_secret_stays_while_a_wrap_needs_it_and_31_days_at_most() {
    let mut world = World::new();
    let waits = Unclaimed { epoch: EpochId([9; 32]), prekey: 1 };
    // The server lists a wrap again and again and never gives it.
    world.script(move |call| match call.method {
        Method::Put => Some(put(&[waits])),
        _ => Some(problem(ProblemCode::Unavailable)),
    });
    for day in 0..31 {
        world.engine.upkeep().await.unwrap();
        assert_eq!(stored(&mut world), [1, day + 2], "{day}");
        world.clock.0.fetch_add(DAY_MS, Ordering::Relaxed);
    }
    world.engine.upkeep().await.unwrap();
    assert_eq!(stored(&mut world), [33], "after 31 days it is past its time");
}

#[tokio::test]
async fn a_wrap_that_the_server_does_not_have_keeps_nothing() {
    let mut world = World::new();
    let waits = Unclaimed { epoch: EpochId([9; 32]), prekey: 1 };
    world.script(move |call| match call.method {
        Method::Put => Some(put(&[waits])),
        _ => Some(problem(ProblemCode::NotFound)),
    });
    // Said to be there, and not there: the next look tells.
    world.engine.upkeep().await.unwrap();
    assert_eq!(stored(&mut world), [1, 2]);
    world.script(|_| Some(put(&[])));
    world.engine.upkeep().await.unwrap();
    assert_eq!(stored(&mut world), [2]);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_bytes() {
    let mut world = World::new();
    for _ in 0..3 {
        world.engine.upkeep().await.unwrap();
        assert_eq!(world.engine.prekey.id, 2, "made once, and nobody was there");
        assert!(!world.engine.prekey.published);
    }
    let made = world.engine.prekey.record.clone();
    let (bodies, seen) = std::sync::mpsc::sync_channel(8);
    world.script(move |call| {
        bodies.send(call.body.clone().unwrap()).unwrap();
        Some(put(&[]))
    });
    world.engine.upkeep().await.unwrap();
    let body: PrekeyBundle = serde_json::from_slice(&seen.recv().unwrap()).unwrap();
    assert_eq!(body.record, made);
    assert!(world.engine.prekey.published);
}

#[tokio::test]
async fn the_secret_of_the_prekey_that_stands_is_kept_until_the_next_one_does() {
    let mut world = World::new();
    // An earlier run put prekey 1 and had no answer: it is put first, then the one that is due.
    world.engine.prekey.published = false;
    let mut puts = 0;
    world.script(move |call| {
        puts += u32::from(call.method == Method::Put);
        (puts == 1).then(|| put(&[]))
    });
    world.engine.upkeep().await.unwrap();
    assert_eq!((world.engine.prekey.id, world.engine.prekey.published), (2, false));
    assert_eq!(stored(&mut world), [1, 2], "others still seal to the first");
    world.script(|_| Some(put(&[])));
    world.engine.upkeep().await.unwrap();
    assert!(world.engine.prekey.published);
    assert_eq!(stored(&mut world), [2]);
}

/// The world's own prekey of this id, as another copy of its store would have published it.
fn published_elsewhere(world: &World, id: u32) -> Prekeys {
    let id = std::num::NonZeroU32::new(id).unwrap();
    let mut random = |out: &mut [u8]| SystemRandom.fill(out);
    let secret = PrekeySecret::generate(id, &mut random).unwrap();
    let (key, log) = (&world.engine.key, &world.engine.log);
    let prekey = prekey::own_prekey(&secret, key, log, world.clock.now_ms());
    Prekeys { prekeys: vec![prekey::bundle(&prekey)] }
}

#[tokio::test]
async fn an_old_copy_drops_its_chains_and_goes_on_after_what_stands() {
    let mut world = World::new();
    let bob = world.contact("bob", Standing::Active);
    let made = world.epoch(&bob, 0);
    world.note(bob.0, &made, 0);
    for (id, again) in [(7, false), (20, true)] {
        let standing = published_elsewhere(&world, id);
        let next = id + 1;
        world.script(move |call| match call.method {
            Method::Put => {
                let body = call.body.as_ref().unwrap();
                let body: PrekeyBundle = serde_json::from_slice(body).unwrap();
                let put_id = u32::from_be_bytes(body.record.as_bytes()[49..53].try_into().unwrap());
                Some(if put_id == next { put(&[]) } else { problem(ProblemCode::PrekeyConflict) })
            }
            _ => Some(reply(200, &standing)),
        });
        world.engine.put_here = false;
        world.engine.renewed = false;
        world.engine.renew_prekey().await.unwrap();
        world.engine.settle().unwrap();
        assert_eq!(world.engine.prekey.id, next);
        assert!(world.engine.store.list(Space::Epoch).unwrap().is_empty(), "no key is left");
        assert!(world.engine.epochs.is_empty());
        let peer = &world.engine.peers[&bob.0];
        assert!(peer.newest().unwrap().dropped && peer.heal.wanted.is_some());
        assert!(world.engine.heals.contains_key(&bob.0), "and a new epoch is due at once");
        match (world.told.try_recv().unwrap(), again) {
            (Event::Trouble { trouble: Trouble::RolledBack, .. }, false) => {}
            (Event::Alarm { code: Code::DeviceCloned, .. }, true) => {}
            (other, _) => panic!("{other:?}"),
        }
    }
    // A day later it is a first time again.
    world.clock.0.fetch_add(DAY_MS, Ordering::Relaxed);
    let times: Vec<u64> = world.engine.store.record(Space::Own, b"rollbacks").unwrap().unwrap();
    assert_eq!(times.len(), 2);
}

#[tokio::test]
async fn a_server_cannot_make_a_device_believe_that_it_was_rolled_back() {
    let mut world = World::new();
    let bob = world.contact("bob", Standing::Active);
    let made = world.epoch(&bob, 0);
    world.note(bob.0, &made, 0);
    let own = Prekeys { prekeys: vec![prekey::bundle(&world.engine.prekey)] };
    let mut forged = published_elsewhere(&world, 9);
    let mut bytes = forged.prekeys[0].record.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    forged.prekeys[0].record = Sealed::new(bytes);
    let nothing = Prekeys { prekeys: Vec::new() };
    for shown in [own, forged, nothing] {
        world.script(move |call| match call.method {
            Method::Put => Some(problem(ProblemCode::PrekeyConflict)),
            _ => Some(reply(200, &shown)),
        });
        assert!(world.engine.renew_prekey().await.is_err());
        assert!(!world.engine.peers[&bob.0].newest().unwrap().dropped);
        assert_eq!(world.engine.prekey.id, 2, "the one that waits to be published");
    }
    assert!(world.told.try_recv().is_err());
}

/// A world with a friend of two devices, the second's key, and the prekeys of both.
async fn two_devices() -> (World, Board, Friend, DeviceKey, Vec<PrekeyBundle>) {
    let mut world = World::new();
    let board = Board::of(&world);
    let mut bob = Friend::new(&world, "bob");
    bob.known_to(&mut world, Standing::Active);
    bob.shown_on(&board);
    let first = bob.makes(&world, 0, REQUEST.0);
    bob.posts(&world, &board, &first);
    let other = bob.add_device();
    bob.renew_prekey(&world, 0);
    bob.shown_on(&board);
    let user = bob.user().to_base64url();
    let bundle = published(&world, &bob, &other, 1);
    let both = board.set(|shown| {
        let prekeys = shown.prekeys.get_mut(&user).unwrap();
        prekeys.push(bundle);
        prekeys.clone()
    });
    world.engine.sync_contacts().await.unwrap();
    world.engine.fetch_prekeys(bob.user(), true).await.unwrap();
    assert_eq!(world.engine.peers[&bob.user()].records.len(), 2);
    (world, board, bob, other, both)
}

/// A new prekey of a friend's device, of the day before.
fn published(world: &World, friend: &Friend, key: &DeviceKey, id: u32) -> PrekeyBundle {
    let id = std::num::NonZeroU32::new(id).unwrap();
    let mut random = |out: &mut [u8]| SystemRandom.fill(out);
    let secret = PrekeySecret::generate(id, &mut random).unwrap();
    let day = hushwire_identity::day_of(world.now()) - 1;
    let prekey = secret.publish(key, &friend.log, Suites::HERE, day);
    let record = Sealed::new(prekey.record.to_bytes());
    PrekeyBundle { record, xwing: prekey.xwing.map(Sealed::new) }
}

fn unverified<T: std::fmt::Debug>(done: Result<T, ClientError>) -> Code {
    match done {
        Err(ClientError::Unverified(code)) => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_known_prekey_that_is_left_out_makes_nobody_stale() {
    let (mut world, board, mut bob, other, both) = two_devices().await;
    let user = bob.user().to_base64url();
    for left in [&both[..1], &both[1..], &[]] {
        board.set(|shown| shown.prekeys.insert(user.clone(), left.to_vec()));
        for with_log in [false, true] {
            let looked = world.engine.fetch_prekeys(bob.user(), with_log).await;
            assert_eq!(unverified(looked), Code::PrekeyRollback);
        }
        let made = world.engine.rotate(bob.user(), Reason::Heal).await;
        assert_eq!(unverified(made), Code::PrekeyRollback);
        assert_eq!(board.posted(), []);
    }
    assert_eq!(world.engine.peers[&bob.user()].records.len(), 2);
    // A device that was taken out has none, and what is known of it goes.
    bob.revoke_first(&other);
    board.set(|shown| {
        shown.logs.insert(user.clone(), bob.entries.clone());
        shown.prekeys.insert(user.clone(), both[1..].to_vec());
    });
    world.engine.fetch_prekeys(bob.user(), false).await.unwrap();
    assert_eq!(world.engine.peers[&bob.user()].records, [both[1].record.clone()]);
    // One that is too old may be left out.
    board.set(|shown| shown.prekeys.insert(user.clone(), Vec::new()));
    world.clock.0.fetch_add(29 * DAY_MS, Ordering::Relaxed);
    let looked = world.engine.fetch_prekeys(bob.user(), false).await;
    assert_eq!(unverified(looked), Code::PrekeyRollback, "on its last day");
    world.clock.0.fetch_add(DAY_MS, Ordering::Relaxed);
    world.engine.fetch_prekeys(bob.user(), false).await.unwrap();
}

#[tokio::test]
async fn a_prekey_has_one_content() {
    let (mut world, board, bob, other, mut both) = two_devices().await;
    let user = bob.user().to_base64url();
    for _ in 0..2 {
        world.engine.fetch_prekeys(bob.user(), false).await.unwrap();
    }
    both[1] = published(&world, &bob, &other, 1);
    board.set(|shown| shown.prekeys.insert(user.clone(), both.clone()));
    let looked = world.engine.fetch_prekeys(bob.user(), false).await;
    assert_eq!(unverified(looked), Code::PrekeyInvalid);
    // Nor in one answer.
    both[1] = published(&world, &bob, &other, 2);
    both.push(published(&world, &bob, &other, 2));
    board.set(|shown| shown.prekeys.insert(user.clone(), both.clone()));
    let looked = world.engine.fetch_prekeys(bob.user(), false).await;
    assert_eq!(unverified(looked), Code::PrekeyInvalid);
    both.pop();
    board.set(|shown| shown.prekeys.insert(user, both));
    world.engine.fetch_prekeys(bob.user(), false).await.unwrap();
}

#[tokio::test]
async fn a_lost_claim_is_made_again_until_it_is_answered() {
    let mut world = World::new();
    let bob = world.contact("bob", Standing::Active);
    let made = world.epoch(&bob, 0);
    world.note(bob.0, &made, 0);
    world.engine.upkeep().await.unwrap();
    assert!(world.engine.peers[&bob.0].epochs[0].unclaimed, "nobody was there");
    world.script(|_| Some(put(&[])));
    world.engine.upkeep().await.unwrap();
    assert!(!world.engine.peers[&bob.0].epochs[0].unclaimed);
    let calls = world.script.1.load(Ordering::Relaxed);
    world.engine.upkeep().await.unwrap();
    assert_eq!(world.script.1.load(Ordering::Relaxed), calls);
}

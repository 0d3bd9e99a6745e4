//! Device logs that do not go on from what was verified, and rosters of people with several
//! devices. A log is fetched because an epoch names a newer entry of it.

use std::num::NonZeroU32;

use hushwire_client::{ClientError, Code, Event};
use hushwire_e2ee::{DeviceKey, Party, PrekeySecret};
use hushwire_identity::{
    DeviceKind, EpochHeader, Head, LogPoint, Payload, Prekey, day_of, safety_number,
};
use hushwire_wire::frame::{self, EventKind, ServerOp};
use hushwire_wire::http::{EpochPost, Prekeys};

use crate::scene::Scene;
use crate::support::forge::Epoch;
use crate::support::insider::History;
use crate::support::person::{both_suites, bundle, now_ms, random};
use crate::support::victim::{Victim, alarms};

fn key() -> DeviceKey {
    DeviceKey::generate(&mut random).unwrap()
}

/// Mallory's two devices, as everybody is shown them: the second came by an entry of her log and
/// has a prekey of yesterday.
struct Two {
    scene: Scene,
    history: History,
    second: DeviceKey,
    prekeys: [Prekey; 2],
}

impl Two {
    async fn devices() -> Self {
        let scene = Scene::set().await;
        let first = &scene.mallory.person;
        let second = key();
        let history = History::of(first);
        let history = history.and(history.add(&first.key, &second));
        let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut random).unwrap();
        let yesterday = day_of(now_ms()) - 1;
        let prekey = secret.publish(&second, &history.log, both_suites(), yesterday);
        let prekeys = [first.prekey.clone(), prekey];
        let two = Self { scene, history, second, prekeys };
        two.show(&two.history);
        two
    }

    fn show(&self, history: &History) {
        self.scene.bob.evil.show(&history.path(), &history.entries());
        let path = history.path().replace("/log", "/prekeys");
        let active = |prekey: &&Prekey| history.log.is_active(&prekey.record.device);
        let prekeys = self.prekeys.iter().filter(active).map(bundle).collect();
        self.scene.bob.evil.show(&path, &Prekeys { prekeys });
    }

    /// The next epoch at this state of the log.
    fn next(&self, history: &History) -> Epoch {
        let mine = Party { log: &history.log, prekeys: &self.prekeys };
        self.scene.mallory.next_of(&mine, self.scene.next, &self.scene.mallory.epoch)
    }

    fn show_epoch(&self, epoch: &Epoch) {
        let wrap = self.scene.mallory.wrap(epoch);
        let [first, second] = &self.prekeys;
        let bundle = epoch.bundle(wrap, &[first, second, &self.scene.mallory.prekey]);
        self.scene.bob.evil.show(&epoch.path(), &bundle);
    }

    async fn takes(&mut self, epoch: &Epoch) {
        self.show_epoch(epoch);
        self.scene.takes_shown(epoch).await;
    }

    /// Bob has verified the log with both devices.
    async fn pinned() -> Self {
        let mut two = Self::devices().await;
        two.takes(&two.next(&two.history)).await;
        two
    }
}

/// 5: a device of the other side that is left out, or called stale while it is not. The epoch
/// before is taken first, so that the log is known.
#[tokio::test]
async fn a_device_cannot_be_left_out_or_called_stale() {
    let mut two = Two::pinned().await;
    let epoch = two.next(&two.history);
    let second = two.second.device_id();
    let side = epoch.side_of(&two.scene.mallory.user());
    for lie in [epoch.unseat(&second), epoch.seat(side, second, 0)] {
        two.show_epoch(&lie);
        let alarms = two.scene.refuses_shown(&lie, Code::EpochRoster).await;
        assert_eq!(alarms, [Code::EpochRoster]);
    }
    two.takes(&epoch).await;
}

/// 5: the server keeps the prekey back that would show the lie. Bob has seen it before.
#[tokio::test]
async fn a_prekey_that_was_seen_is_not_forgotten() {
    let mut two = Two::pinned().await;
    let peer = Some(two.scene.mallory.user());
    let news = ServerOp::Event(frame::Event { v: 1, kind: EventKind::Prekey, peer });
    two.scene.bob.evil.say(news).await;
    let path = format!("Get {}", two.history.path().replace("/log", "/prekeys"));
    two.scene.bob.evil.called(&path, 1).await;
    let epoch = two.next(&two.history);
    let side = epoch.side_of(&two.scene.mallory.user());
    let lie = epoch.seat(side, two.second.device_id(), 0);
    let wrap = two.scene.mallory.wrap(&lie);
    let bundle = lie.bundle(wrap, &[&two.prekeys[0], &two.scene.mallory.prekey]);
    two.scene.bob.evil.show(&lie.path(), &bundle);
    assert_eq!(two.scene.refuses_shown(&lie, Code::EpochRoster).await, [Code::EpochRoster]);
    two.takes(&epoch).await;
}

/// E5: an epoch with a head that is older than what bob knows. He reads under it, sends nothing
/// under it, and makes the next one at once.
#[tokio::test]
async fn an_epoch_of_an_older_log_is_read_and_superseded() {
    let mut two = Two::pinned().await;
    let first = two.scene.mallory.person.key.clone();
    let revoked = two.history.and(two.history.revoke(&first, two.second.device_id()));
    two.show(&revoked);
    two.takes(&two.next(&revoked)).await;
    let old = two.next(&two.history);
    two.scene.bob.evil.show("/v1/epochs", &());
    two.takes(&old).await;
    two.scene.names_newest(&old).await;
    two.scene.bob.evil.called("Post /v1/epochs", 1).await;
    let body = two.scene.bob.evil.bodies("Post /v1/epochs").remove(0);
    let post: EpochPost = serde_json::from_slice(&body).unwrap();
    let next = EpochHeader::parse(post.epoch.header.as_bytes()).unwrap();
    assert_eq!((next.n, next.prev), (old.header.n + 1, old.header.id().0));
    let heads = [Some(next.a), next.b];
    assert!(heads.contains(&Some(revoked.log.point())), "the newest head");
    assert!(next.index_of(&two.second.device_id()).is_none(), "the revoked device is out");
    let wrap = post.epoch.wraps[0].wrap.as_bytes();
    let superseding = two.scene.mallory.opens(post.epoch.header.as_bytes(), wrap);
    let bob = &mut two.scene.bob;
    bob.shows(two.scene.mallory.text(&superseding, 0, "without the thief"), "without the thief")
        .await;
}

/// 5, the control: a device without a prekey is called stale by everybody.
#[tokio::test]
async fn a_device_without_a_prekey_is_stale() {
    let mut two = Two::devices().await;
    two.prekeys[1] = two.prekeys[0].clone();
    let epoch = two.next(&two.history);
    let slot = epoch.header.index_of(&two.second.device_id()).unwrap();
    assert!(!epoch.header.roster[usize::from(slot)].is_wrapped());
    two.takes(&epoch).await;
}

/// 6: entries that no valid log has. The old head is kept, nothing is written, and a valid entry
/// in their place is taken.
#[tokio::test]
async fn an_invalid_entry_is_no_entry() {
    let mut two = Two::pinned().await;
    let (first, second) = (two.scene.mallory.person.key.clone(), two.second.clone());
    let revoked = two.history.and(two.history.revoke(&first, second.device_id()));
    two.show(&revoked);
    two.takes(&two.next(&revoked)).await;
    let (new, other) = (key(), key());
    let (kind, suites) = (DeviceKind::PHONE, both_suites());
    let user = revoked.log.user();
    let add = |ik: &DeviceKey| Payload::Add { ik: *ik.public(), kind, suites };
    let claim = new.claim(&user, kind, suites);
    let mut early = revoked.draft(&first, add(&new));
    early.time_ms -= 1;
    let mut unlinked = revoked.draft(&first, add(&new));
    unlinked.prev[0] ^= 1;
    let mut skipping = revoked.draft(&first, add(&new));
    skipping.seq += 1;
    let mut trailing = revoked.add(&first, &new);
    trailing.push(0);
    let entries = [
        // By a device that was revoked, and by one that never was.
        revoked.add(&second, &new),
        revoked.add(&other, &new),
        // In the first device's name.
        other.sign_entry(&revoked.draft(&first, add(&new)), Some(&claim)),
        // A key that did not ask for it, or asked for another log, or was there before.
        first
            .sign_entry(&revoked.draft(&first, add(&new)), Some(&other.claim(&user, kind, suites))),
        first.sign_entry(
            &revoked.draft(&first, add(&new)),
            Some(&new.claim(&two.scene.bob.user, kind, suites)),
        ),
        revoked.add(&first, &second),
        first.sign_entry(&early, Some(&claim)),
        first.sign_entry(&unlinked, Some(&claim)),
        first.sign_entry(&skipping, Some(&claim)),
        trailing,
        Vec::new(),
    ];
    let epoch = two.next(&revoked);
    for entry in entries {
        let (entries, point) = revoked.broken(entry);
        two.scene.bob.evil.show(&revoked.path(), &entries);
        let lie = epoch.naming(point);
        two.show_epoch(&lie);
        assert_eq!(two.scene.refuses_shown(&lie, Code::LogInvalid).await, []);
    }
    let valid = revoked.and(revoked.add(&first, &new));
    two.show(&valid);
    two.takes(&two.next(&valid)).await;
}

/// 7: a log that ends before what was verified. A person is told; what was shown before stays
/// readable, after a restart as well.
#[tokio::test]
async fn a_shorter_log_is_a_rollback() {
    let mut two = Two::pinned().await;
    let first = two.scene.mallory.person.key.clone();
    let longer = two.history.and(two.history.add(&first, &key()));
    two.show(&History::of(&two.scene.mallory.person));
    lies(&mut two, &longer, Code::LogRollback).await;
}

/// 6: with a stolen key the log is forked before the entry that revoked it.
#[tokio::test]
async fn a_log_with_another_past_is_a_fork() {
    let mut two = Two::pinned().await;
    let (first, stolen) = (two.scene.mallory.person.key.clone(), two.second.clone());
    let revoked = two.history.and(two.history.revoke(&first, stolen.device_id()));
    two.show(&revoked);
    two.takes(&two.next(&revoked)).await;
    let forked = two.history.and(two.history.add(&stolen, &key()));
    let forked = forked.and(forked.add(&stolen, &key()));
    two.show(&forked);
    lies(&mut two, &forked, Code::LogFork).await;
    let sent = two.scene.bob.client.send_text("mallory", "to whom?").await;
    assert!(matches!(sent, Err(ClientError::Blocked)), "{sent:?}");
}

/// Bob is shown an epoch at this state of the log, and refuses it with an alarm. All that may
/// change is his mark on the contact: the keys of known epochs are as they were.
async fn lies(two: &mut Two, named: &History, code: Code) {
    let epoch = two.next(named);
    two.show_epoch(&epoch);
    let bob = &mut two.scene.bob;
    let known = two.scene.mallory.epoch.clone();
    let texts = bob.texts("mallory").await;
    let message = two.scene.mallory.text(&epoch, 0, "never shown");
    assert_eq!(bob.evil.deliver(message).await, Err(code.as_str().to_owned()));
    let told = bob.told().await;
    assert_eq!(alarms(&told), [code]);
    assert!(!told.iter().any(|event| matches!(event, Event::MessageReceived(_))));
    assert_eq!(bob.texts("mallory").await, texts);
    bob.restart().await;
    bob.shows(two.scene.mallory.text(&known, 1, "still readable"), "still readable").await;
}

/// 6: whoever meets Mallory for the first time is shown the fork, and cannot know; the safety
/// number says so.
#[tokio::test]
async fn a_fork_that_a_new_contact_is_shown_changes_the_safety_number() {
    let two = Two::devices().await;
    let (first, stolen) = (two.scene.mallory.person.key.clone(), two.second.clone());
    let revoked = two.history.and(two.history.revoke(&first, stolen.device_id()));
    let forked = two.history.and(two.history.add(&stolen, &key()));
    let mallory = &two.scene.mallory.person;
    for (name, shown) in [("carol", &revoked), ("dora", &forked)] {
        let mut new = Victim::register(&two.scene.server, name).await;
        new.evil.show(&shown.path(), &shown.entries());
        let prekeys = Prekeys { prekeys: vec![bundle(&two.prekeys[0])] };
        new.evil.show(&shown.path().replace("/log", "/prekeys"), &prekeys);
        // The honest server would refuse an epoch with such a head.
        new.evil.show("/v1/contacts/accept", &());
        assert!(mallory.ask(&mallory.request(name)).await.status.is_success());
        new.until(|event| matches!(event, Event::ContactRequest { .. }).then_some(())).await;
        new.client.contacts_accept("mallory").await.unwrap();
        // What Mallory reads on her own first device. A log's first head is its user.
        let point = LogPoint { user: new.user, seq: 0, head: Head(new.user.0) };
        let hers = safety_number(&revoked.log.point(), &point).to_string();
        let theirs = new.client.safety_number("mallory").await.unwrap();
        assert_eq!(theirs.number == hers, name == "carol");
        assert_eq!(theirs.peer.seq, revoked.log.seq(), "the numbers of entries do not tell");
    }
}

//! What contents do to the history, with real keys: who may change what, in which order it may
//! come, what disappears when, and every bound.

use std::sync::atomic::Ordering;

use hushwire_e2ee::content::{FileContent, Item};
use hushwire_e2ee::file::FileKey;
use hushwire_e2ee::{Body, Content, ContentId, Created, History, Offered, Party};
use hushwire_identity::Prekey;
use hushwire_wire::message::Upload;
use hushwire_wire::{DeviceId, Sealed, frame};

use super::hostile::World;
use super::*;
use crate::client::Act;
use crate::engine::content::own;
use crate::engine::early::{CHANGES_BYTES_MAX, CHANGES_MAX, EARLY_BYTES_MAX, EARLY_MAX};
use crate::message::Change;
use crate::record::Standing;

/// Alice's engine, and bob with a device of his own.
struct Talk {
    world: World,
    bob: UserId,
    device: DeviceId,
    state: EpochState,
    n: u8,
    contact: (UserId, DeviceLog, Prekey),
}

/// Bob's keys of an epoch that alice made.
fn theirs(
    world: &World,
    (_, log, prekey): &(UserId, DeviceLog, Prekey),
    made: &Created,
) -> EpochState {
    let key = world.last_key.clone().unwrap();
    let secrets = [world.last_secret.clone().unwrap()];
    let (mine, theirs) = ([prekey.clone()], [world.engine.own_prekey().unwrap()]);
    let offered = Offered {
        header: &made.header,
        wrap: &made.wraps[0].1,
        me: &key,
        secrets: &secrets,
        mine: Party { log, prekeys: &mine },
        peer: Some(Party { log: &world.engine.log, prekeys: &theirs }),
        history: History { request: Some(hushwire_wire::RequestId([7; 32])), known: &[] },
        now_ms: world.now(),
    };
    hushwire_e2ee::open(&offered).unwrap().state
}

impl Talk {
    fn new() -> Self {
        let mut world = World::new();
        let contact = world.contact("bob", Standing::Active);
        let made = world.epoch(&contact, 0);
        world.note(contact.0, &made, 0);
        let state = theirs(&world, &contact, &made);
        let device = world.last_key.as_ref().unwrap().device_id();
        Self { world, bob: contact.0, device, state, n: 0, contact }
    }

    fn content(&mut self, id: u8, body: Body) -> Content {
        let sent_ms = self.world.now();
        Content { id: ContentId([id; 16]), sent_ms, prev_sent: 0, seen: Vec::new(), body }
    }

    /// What the server delivers of a content of bob's.
    fn sealed(&mut self, content: &Content) -> frame::Message {
        let (class, lane) = content.body.class_and_lane();
        self.n += 1;
        let sealed = self.state.seal(class, lane, content, [self.n; 16]).unwrap();
        let upload = Upload::parse(&Sealed::new(sealed.upload)).unwrap();
        let mut msg = upload.shared.as_bytes().to_vec();
        msg.extend_from_slice(&upload.tag(0).unwrap());
        frame::Message {
            n: self.n.into(),
            at: self.world.now(),
            peer: self.bob,
            from_user: self.bob,
            from_device: self.device,
            msg: Sealed::new(msg),
        }
    }

    async fn take(&mut self, message: frame::Message) {
        self.world.engine.message(message).await.unwrap().unwrap();
        self.world.engine.settle().unwrap();
        self.world.engine.tell_unshown();
    }

    /// Bob says something, and it arrives.
    async fn says(&mut self, id: u8, body: Body) {
        let content = self.content(id, body);
        let message = self.sealed(&content);
        self.take(message).await;
    }

    fn told(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.world.told.try_recv().ok()).collect()
    }

    /// How each event begins, without what it holds.
    fn names(&mut self) -> Vec<String> {
        let name = |event: Event| {
            let shown = format!("{event:?}");
            shown.split(['(', ' ']).next().unwrap().to_owned()
        };
        self.told().into_iter().map(name).collect()
    }

    async fn history(&mut self) -> Vec<Message> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.world.engine.command(Command::History("bob".to_owned(), 100, reply)).await.unwrap();
        self.world.engine.settle().unwrap();
        answer.await.unwrap().unwrap()
    }

    async fn texts(&mut self) -> Vec<String> {
        self.history().await.into_iter().map(|message| message.text).collect()
    }

    /// Alice says something; it waits in the outbox.
    async fn sends(&mut self, texts: &[&str]) -> Vec<Id> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let texts = texts.iter().map(|text| ((*text).to_owned(), None)).collect();
        let command = Command::Texts("bob".to_owned(), texts, reply);
        self.world.engine.command(command).await.unwrap();
        self.world.engine.settle().unwrap();
        answer.await.unwrap().unwrap().items
    }

    async fn acts(&mut self, act: Act) -> Result<Option<Id>, ClientError> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.world.engine.command(Command::Act("bob".to_owned(), act, reply)).await.unwrap();
        self.world.engine.settle().unwrap();
        answer.await.unwrap()
    }

    fn stage(&mut self, id: Id, stage: Stage) {
        let mut batch = Batch::default();
        self.world.engine.put_stage(id, stage, None, &mut batch).unwrap();
        self.world.engine.store.add(&batch).unwrap();
    }

    /// The messages of bob's that changes wait for.
    fn early(&mut self) -> Vec<Id> {
        let named = self.world.engine.early_index(&self.bob).unwrap();
        named.messages.into_iter().map(|of| of.id).collect()
    }

    /// As a change by one of bob's devices that comes before its message.
    fn change(&mut self, target: Id, device: u8, change: Change) {
        let change = own(self.bob, DeviceId([device; 16]), change);
        self.world.engine.take_change(&self.bob, target, change).unwrap();
    }

    fn later(&mut self, ms: u64) {
        self.world.clock.0.fetch_add(ms, Ordering::Relaxed);
        self.world.engine.expire().unwrap();
        self.world.engine.settle().unwrap();
    }

    async fn shown(&mut self, position: u64) {
        let (reply, _answer) = tokio::sync::oneshot::channel();
        let at = (self.bob, position);
        self.world.engine.command(Command::Shown(at, reply)).await.unwrap();
    }

    /// As after a restart of the program.
    fn restart(self) -> Self {
        Self { world: self.world.restarted(), ..self }
    }
}

fn text(words: &str) -> Body {
    Body::Text { reply_to: None, text: words.to_owned() }
}

fn edit(target: u8, rev: u16, words: &str) -> Body {
    Body::Edit { target: ContentId([target; 16]), rev, text: words.to_owned() }
}

fn remove(target: u8) -> Body {
    Body::Remove { target: ContentId([target; 16]) }
}

fn react(target: u8, symbol: &str) -> Body {
    Body::Reaction { target: ContentId([target; 16]), symbol: symbol.to_owned() }
}

#[tokio::test]
async fn edits_reactions_and_removals_change_the_history_and_are_told() {
    let mut talk = Talk::new();
    talk.says(1, text("frist")).await;
    assert_eq!(talk.names(), ["MessageReceived"]);
    talk.says(2, edit(1, 1, "first")).await;
    talk.says(3, edit(1, 1, "too late")).await;
    talk.says(4, react(1, "+")).await;
    assert_eq!(talk.names(), ["Edited", "Reacted"], "the edit that does not hold is not told");
    let message = talk.history().await.remove(0);
    assert_eq!((message.text.as_str(), message.since.edit.unwrap().rev), ("first", 1));
    assert_eq!(message.since.reactions[0].from, "bob");
    talk.says(5, remove(1)).await;
    talk.says(6, edit(1, 9, "back")).await;
    talk.says(7, react(1, "-")).await;
    assert_eq!(talk.names(), ["Removed"]);
    let message = talk.history().await.remove(0);
    assert!(message.since.removed && message.text.is_empty() && message.since.reactions.is_empty());
    // It was not looked at before: nobody is shown it any more, after a restart neither.
    assert!(talk.world.engine.unshown.is_empty());
    let mut talk = talk.restart();
    talk.world.engine.tell_unshown();
    assert_eq!(talk.names(), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_edits_or_removes_what_another_wrote() {
    let mut talk = Talk::new();
    let id = talk.sends(&["alice's own"]).await[0];
    let target = id.0;
    let content = talk.content(1, Body::Edit { target, rev: 9, text: "forged".to_owned() });
    let message = talk.sealed(&content);
    talk.take(message).await;
    let content = talk.content(2, Body::Remove { target });
    let message = talk.sealed(&content);
    talk.take(message).await;
    let message = talk.history().await.remove(0);
    assert_eq!((message.text.as_str(), message.since.removed), ("alice's own", false));
    assert_eq!(talk.names(), Vec::<String>::new());
    // A reaction is for both.
    let content = talk.content(3, Body::Reaction { target, symbol: "+".to_owned() });
    let message = talk.sealed(&content);
    talk.take(message).await;
    assert_eq!(talk.names(), ["Reacted"]);
    // Nor does alice touch what bob wrote.
    talk.says(4, text("bob's own")).await;
    let theirs = Id(ContentId([4; 16]));
    let refused = talk.acts(Act::Edit { id: theirs, text: "forged".to_owned() }).await;
    assert!(matches!(refused, Err(ClientError::NotOwn)), "{refused:?}");
    let refused = talk.acts(Act::Remove { id: theirs }).await;
    assert!(matches!(refused, Err(ClientError::NotOwn)), "{refused:?}");
    let nobody = Id(ContentId([9; 16]));
    for act in [
        Act::Edit { id: nobody, text: "x".to_owned() },
        Act::Remove { id: nobody },
        Act::React { id: nobody, symbol: "+".to_owned() },
    ] {
        let refused = talk.acts(act).await;
        assert!(matches!(refused, Err(ClientError::NoMessage)), "{refused:?}");
    }
    for symbol in ["ab", &"\u{301}".repeat(40)] {
        let refused = talk.acts(Act::React { id: theirs, symbol: symbol.to_owned() }).await;
        assert!(matches!(refused, Err(ClientError::Reaction)), "{refused:?}");
    }
    for text in [String::new(), "x".repeat(70_000)] {
        let refused = talk.acts(Act::Edit { id, text }).await;
        assert!(matches!(refused, Err(ClientError::TextSize { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn changes_that_come_before_their_message_are_kept_for_it() {
    let mut talk = Talk::new();
    talk.says(2, edit(1, 2, "second words")).await;
    talk.says(3, react(1, "+")).await;
    talk.says(4, remove(5)).await;
    // Only its author's count, whoever sent them first.
    let target = talk.sends(&["alice's"]).await[0].0;
    let content = talk.content(6, Body::Remove { target });
    let message = talk.sealed(&content);
    talk.take(message).await;
    assert_eq!(talk.names(), Vec::<String>::new());
    let mut talk = talk.restart();
    talk.says(1, text("first words")).await;
    assert_eq!(talk.names(), ["MessageReceived"]);
    talk.says(5, text("never seen")).await;
    assert_eq!(talk.names(), Vec::<String>::new());
    let history = talk.history().await;
    let texts: Vec<_> = history.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["alice's", "second words", ""]);
    assert_eq!(history[1].since.reactions.len(), 1);
    assert!(history[2].since.removed);
    assert!(!talk.world.engine.unshown.values().any(|(_, position)| *position == 2));
    assert_eq!(talk.early().len(), 1, "bob's removal of what is not his");
}

#[tokio::test]
async fn a_change_of_what_waits_behind_a_gap_is_kept_too() {
    let mut talk = Talk::new();
    let (lost, held) = (talk.content(1, text("lost")), talk.content(2, text("held")));
    let (lost, held) = (talk.sealed(&lost), talk.sealed(&held));
    let change = talk.content(3, edit(2, 1, "held and edited"));
    let change = talk.sealed(&change);
    talk.take(held).await;
    talk.take(change).await;
    assert_eq!(talk.texts().await, Vec::<String>::new());
    talk.take(lost).await;
    assert_eq!(talk.texts().await, ["lost", "held and edited"]);
}

fn edited(rev: u16, text: &str) -> Change {
    Change::Edit { rev, text: text.to_owned() }
}

fn nth(n: usize) -> Id {
    let mut id = [0xee; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    Id(ContentId(id))
}

#[tokio::test]
async fn of_early_changes_only_those_that_matter_are_kept() {
    let mut talk = Talk::new();
    let one = Id(ContentId([1; 16]));
    let many = u16::try_from(2 * CHANGES_MAX).unwrap();
    talk.change(one, 1, edited(many + 1, "highest, and first"));
    for rev in 0..=many {
        talk.change(one, 1, edited(rev, "lower"));
        talk.change(one, 2, edited(rev, "lower, too"));
        talk.change(one, 2, Change::React { symbol: "+".to_owned() });
    }
    let rows = talk.world.engine.store.records::<serde_json::Value>(Space::Early).unwrap();
    let of_one = rows.iter().find_map(|(_, row)| row.get("changes")).unwrap();
    assert_eq!(of_one.as_array().unwrap().len(), 3, "an edit of each device, a reaction");
    talk.says(1, text("it")).await;
    assert_eq!(talk.texts().await, ["highest, and first"]);
    assert!(talk.world.engine.store.list(Space::Early).unwrap().is_empty());

    // A removal stays whatever comes after it.
    let two = Id(ContentId([2; 16]));
    talk.change(two, 1, edited(1, "before"));
    talk.change(two, 1, Change::Remove);
    for device in 0..=u8::try_from(CHANGES_MAX).unwrap() {
        talk.change(two, device, edited(2, "after"));
    }
    talk.says(2, text("never seen")).await;
    assert_eq!(talk.texts().await, ["highest, and first", ""]);
}

#[tokio::test]
async fn the_bounds_on_early_changes_bite() {
    let mut talk = Talk::new();
    let one = Id(ContentId([1; 16]));
    // Of one message, by number and by size; a control character is stored as six bytes.
    for device in 0..=u8::try_from(CHANGES_MAX).unwrap() {
        talk.change(one, device, edited(1 + u16::from(device), "x"));
    }
    let changes = |talk: &mut Talk| {
        let key = content::index(&talk.bob, &one);
        let kept = talk.world.engine.store.get(Space::Early, &key).unwrap().unwrap();
        assert!(kept.len() <= CHANGES_BYTES_MAX);
        crate::record::from_json::<crate::message::Early>(&kept).unwrap().changes
    };
    let kept = changes(&mut talk);
    assert_eq!((kept.len(), kept[0].device), (CHANGES_MAX, DeviceId([1; 16])), "the oldest went");
    let longest = "\u{1}".repeat(hushwire_e2ee::content::EDIT_MAX);
    for device in 1..=2 {
        talk.change(one, device, edited(99, &longest));
    }
    let kept = changes(&mut talk);
    assert_eq!((kept.len(), kept[0].device), (1, DeviceId([2; 16])), "the newest is kept");
    // Of one contact, by size.
    let whole = |talk: &mut Talk| -> usize {
        let rows = talk.world.engine.store.list(Space::Early).unwrap();
        rows.iter().filter(|(key, _)| key.len() > 32).map(|(_, value)| value.len()).sum()
    };
    for n in 0..4 {
        talk.change(nth(n), 1, edited(1, &longest));
        assert!(whole(&mut talk) <= EARLY_BYTES_MAX);
    }
    assert_eq!(talk.early(), [nth(2), nth(3)]);
    // And by number, after a restart, too.
    for n in 4..EARLY_MAX {
        talk.change(nth(n), 1, edited(1, "x"));
    }
    let mut talk = talk.restart();
    for n in EARLY_MAX..EARLY_MAX + 10 {
        talk.change(nth(n), 1, edited(1, "x"));
    }
    assert_eq!(talk.early(), (10..EARLY_MAX + 10).map(nth).collect::<Vec<_>>());
    let rows = talk.world.engine.store.list(Space::Early).unwrap().len();
    assert_eq!(rows, EARLY_MAX + 1, "those, and the row that names them");
}

#[tokio::test]
async fn nobody_pushes_the_early_changes_of_another_out() {
    let mut talk = Talk::new();
    talk.says(2, remove(1)).await;
    let carol = talk.world.contact("carol", Standing::Active).0;
    for n in 0..=EARLY_MAX {
        let change = own(carol, DeviceId([3; 16]), edited(1, "x"));
        talk.world.engine.take_change(&carol, nth(n), change).unwrap();
    }
    talk.says(1, text("never seen")).await;
    assert_eq!(talk.texts().await, [""]);
}

#[tokio::test]
async fn a_batch_is_several_messages_with_ids_of_their_own() {
    let mut talk = Talk::new();
    let item = |id: u8, body| Item { id: ContentId([id; 16]), body };
    let batch = Body::Batch(vec![
        item(1, text("one")),
        item(2, text("two")),
        item(3, react(1, "+")),
        item(2, text("two again")),
    ]);
    let content = talk.content(9, batch);
    let message = talk.sealed(&content);
    talk.take(message).await;
    assert_eq!(talk.names(), ["MessageReceived", "MessageReceived"]);
    let reactions = talk.history().await.remove(0).since.reactions;
    assert_eq!(reactions.len(), 1, "it is told as it stands: with its reaction");
    talk.says(4, edit(2, 1, "two, edited")).await;
    assert_eq!(talk.texts().await, ["one", "two, edited"]);
    // The same content, encrypted again, and an item on its own.
    let again = talk.sealed(&content);
    talk.take(again).await;
    talk.says(1, text("one again")).await;
    assert_eq!(talk.texts().await, ["one", "two, edited"]);

    // The own one: one entry of the outbox, and each text has its way.
    let sent = talk.sends(&["three", "four"]).await;
    assert_eq!(sent.len(), 2);
    let (id, said) = {
        let entry = talk.world.engine.outbox.entries().next().unwrap().1;
        (entry.id, entry.said.clone())
    };
    assert!(!sent.contains(&id) && said.is_paced());
    talk.stage(id, Stage::Delivered);
    let history = talk.history().await;
    assert!(history[2..].iter().all(|message| message.stage == Some(Stage::Delivered)));
    let (reply, answer) = tokio::sync::oneshot::channel();
    let texts = vec![("x".to_owned(), None); 17];
    talk.world.engine.command(Command::Texts("bob".to_owned(), texts, reply)).await.unwrap();
    talk.world.engine.settle().unwrap();
    let refused = answer.await.unwrap();
    assert!(matches!(refused, Err(ClientError::BatchSize { max: 16 })), "{refused:?}");
}

#[tokio::test]
async fn own_acts_change_the_history_at_once_and_enter_the_outbox() {
    let mut talk = Talk::new();
    let id = talk.sends(&["frist"]).await[0];
    talk.stage(id, Stage::Accepted);
    // As if it had been sent: it cannot be withdrawn any more.
    let order = talk.world.engine.outbox.entries().next().unwrap().0;
    talk.world.engine.outbox.tick(0);
    let effects = talk.world.engine.seal(order, false).await.unwrap();
    talk.world.engine.carry_out(effects).await.unwrap();
    assert!(talk.acts(Act::Edit { id, text: "first".to_owned() }).await.unwrap().is_some());
    assert!(talk.acts(Act::Edit { id, text: "first!".to_owned() }).await.unwrap().is_some());
    assert!(talk.acts(Act::React { id, symbol: "+".to_owned() }).await.unwrap().is_some());
    let message = talk.history().await.remove(0);
    assert_eq!((message.text.as_str(), message.since.edit.unwrap().rev), ("first!", 2));
    assert_eq!(message.since.reactions[0].from, "alice");
    let paced = |talk: &Talk| -> Vec<_> {
        talk.world.engine.outbox.entries().map(|(_, entry)| entry.said.is_paced()).collect()
    };
    assert_eq!(paced(&talk), [true, true, true, false], "text, edits; reaction");
    assert!(talk.acts(Act::Remove { id }).await.unwrap().is_some());
    assert_eq!(talk.texts().await, [""]);
    let refused = talk.acts(Act::Remove { id }).await;
    assert!(matches!(refused, Err(ClientError::NoMessage)), "{refused:?}");
    assert_eq!(paced(&talk), [true, false], "text, removal: what had not left never does");
}

#[tokio::test]
async fn what_has_not_left_is_withdrawn() {
    let mut talk = Talk::new();
    let id = talk.sends(&["on second thoughts"]).await[0];
    assert_eq!(talk.acts(Act::Remove { id }).await.unwrap(), None);
    assert_eq!(talk.world.engine.outbox.entries().count(), 0);
    assert!(talk.world.engine.store.list(Space::Outbox).unwrap().is_empty());
    let message = talk.history().await.remove(0);
    assert!(message.since.removed && message.stage == Some(Stage::Failed));
}

#[tokio::test]
async fn the_changes_of_what_is_withdrawn_do_not_leave_either() {
    let mut talk = Talk::new();
    let edit = |id, text: &str| Act::Edit { id, text: text.to_owned() };
    let id = talk.sends(&["first"]).await[0];
    let other = talk.sends(&["stays"]).await[0];
    talk.acts(edit(id, "secret")).await.unwrap();
    talk.acts(edit(other, "stays, edited")).await.unwrap();
    talk.acts(Act::React { id, symbol: "+".to_owned() }).await.unwrap();
    talk.told();
    assert_eq!(talk.acts(Act::Remove { id }).await.unwrap(), None);
    let told = talk.told();
    let is_end = |event: &Event| matches!(event, Event::Failed { code: "withdrawn", .. });
    assert!(told.len() == 2 && told.iter().all(is_end), "its edit and its reaction: {told:?}");
    let left = |talk: &Talk| -> Vec<_> {
        let entries = talk.world.engine.outbox.entries();
        entries.map(|(_, entry)| serde_json::to_string(&entry.said).unwrap()).collect()
    };
    assert_eq!(left(&talk).len(), 2, "{:?}", left(&talk));
    assert!(left(&talk).iter().all(|said| said.contains("stays")));
    assert_eq!(talk.world.engine.store.list(Space::Outbox).unwrap().len(), 2);

    // The text has left, its edit has not: the edit never does, and the removal follows.
    let order = talk.world.engine.outbox.entries().next().unwrap().0;
    talk.world.engine.seal(order, false).await.unwrap();
    assert!(talk.acts(Act::Remove { id: other }).await.unwrap().is_some());
    let said: Vec<_> = talk.world.engine.outbox.entries().map(|(_, e)| e.said.target()).collect();
    assert_eq!(said, [None, Some(&other)], "the text, and its removal");
    assert!(!left(&talk).iter().any(|said| said.contains("edited")));

    // A reaction of the own text went ahead of it: the text never leaves, and the removal does.
    let id = talk.sends(&["never"]).await[0];
    talk.acts(Act::React { id, symbol: "+".to_owned() }).await.unwrap();
    let order = talk.world.engine.outbox.entries().last().unwrap().0;
    talk.world.engine.seal(order, false).await.unwrap();
    assert!(talk.acts(Act::Remove { id }).await.unwrap().is_some());
    assert!(!left(&talk).iter().any(|said| said.contains("never")));
}

#[tokio::test]
async fn messages_disappear_when_their_time_has_come_and_not_before() {
    let mut talk = Talk::new();
    talk.says(1, text("from before")).await;
    talk.says(2, Body::Timer { seconds: 60 }).await;
    assert!(matches!(talk.told().pop(), Some(Event::TimerSet { seconds: 60, .. })));
    talk.says(3, text("for a minute")).await;
    let own = talk.sends(&["mine, for a minute"]).await[0];
    talk.shown(0).await;
    // Neither seen nor sent: the time has not begun.
    talk.later(3_600_000);
    assert_eq!(talk.texts().await.len(), 3);
    talk.shown(1).await;
    talk.stage(own, Stage::Accepted);
    talk.later(59_999);
    assert_eq!(talk.texts().await.len(), 3);
    let mut talk = talk.restart();
    assert!(talk.world.engine.wake().is_some());
    talk.later(1);
    assert_eq!(talk.texts().await, ["from before"]);
    assert_eq!(talk.names(), ["Disappeared", "Disappeared"]);
    assert!(talk.world.engine.store.list(Space::Leaving).unwrap().is_empty());
    assert_eq!(talk.world.engine.store.list(Space::History).unwrap().len(), 1);
    // Neither a copy nor a change brings it back.
    talk.says(3, text("for a minute")).await;
    talk.says(4, edit(3, 1, "again")).await;
    assert_eq!(talk.texts().await, ["from before"]);
    assert!(talk.early().is_empty());
    let refused = talk.acts(Act::Edit { id: own, text: "x".to_owned() }).await;
    assert!(matches!(refused, Err(ClientError::NoMessage)), "{refused:?}");
}

#[tokio::test]
async fn the_clock_hides_a_message_even_before_it_is_erased() {
    let mut talk = Talk::new();
    talk.says(1, Body::Timer { seconds: 60 }).await;
    talk.says(2, text("for a minute")).await;
    talk.shown(0).await;
    talk.world.clock.0.fetch_add(60_000, Ordering::Relaxed);
    assert_eq!(talk.texts().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_later_timer_holds_whatever_the_clocks_say() {
    let mut talk = Talk::new();
    let mut ahead = talk.content(1, Body::Timer { seconds: 60 });
    ahead.sent_ms += 3_600_000;
    let message = talk.sealed(&ahead);
    talk.take(message).await;
    assert!(talk.acts(Act::Timer { seconds: 0 }).await.unwrap().is_some());
    assert_eq!(talk.world.engine.peers[&talk.bob].talk.timer.seconds, 0);
    let sent = talk.world.engine.outbox.entries().next().unwrap().1.sent_ms;
    assert_eq!(sent, ahead.sent_ms + 1, "later than the one before");
    // From before: it does not hold any more.
    let message = {
        let mut old = talk.content(2, Body::Timer { seconds: 5 });
        old.sent_ms -= 1;
        talk.sealed(&old)
    };
    talk.take(message).await;
    assert_eq!(talk.world.engine.peers[&talk.bob].talk.timer.seconds, 0);
    // One that claims to be from the end of time can be replaced tomorrow.
    let mut never = talk.content(3, Body::Timer { seconds: 5 });
    never.sent_ms = u64::MAX;
    let message = talk.sealed(&never);
    talk.take(message).await;
    assert!(talk.world.engine.peers[&talk.bob].talk.timer.at_ms <= talk.world.now() + 86_400_000);
}

#[tokio::test]
async fn profile_names_go_to_contacts_once_and_come_from_them() {
    let mut talk = Talk::new();
    talk.says(1, Body::Profile { name: "Bob M.".to_owned() }).await;
    let Some(Event::Profile { name: Some(name), .. }) = talk.told().pop() else { panic!() };
    assert_eq!(name.0, "Bob M.");
    talk.says(2, Body::Profile { name: String::new() }).await;
    assert!(matches!(talk.told().pop(), Some(Event::Profile { name: None, .. })));
    let too_long = talk.world.engine.set_profile("x".repeat(256));
    assert!(matches!(too_long, Err(ClientError::NameSize { max: 255 })));
    talk.world.engine.tell_profile().await.unwrap();
    assert_eq!(talk.world.engine.outbox.entries().count(), 0, "there is none yet");
    talk.world.engine.set_profile("Alice".to_owned()).unwrap();
    let mut talk = talk.restart();
    for _ in 0..2 {
        talk.world.engine.tell_profile().await.unwrap();
        let said: Vec<_> =
            talk.world.engine.outbox.entries().map(|(_, entry)| entry.said.clone()).collect();
        assert_eq!(said, [crate::said::Said::Profile { name: "Alice".to_owned() }]);
    }
}

#[tokio::test]
async fn typing_is_told_and_kept_nowhere() {
    let mut talk = Talk::new();
    let mut batch = Batch::default();
    let peer = to_json(&talk.world.engine.peers[&talk.bob]);
    batch.put(Space::Peer, talk.bob.as_bytes(), peer);
    talk.world.engine.store.add(&batch).unwrap();
    let before = talk.world.engine.store.list(Space::Epoch).unwrap();
    for on in [true, false] {
        talk.says(1, Body::Typing { on }).await;
        let told = talk.told().pop();
        assert!(matches!(told, Some(Event::Typing { on: is, .. }) if is == on), "{told:?}");
    }
    for space in [Space::Content, Space::Mid] {
        assert!(talk.world.engine.store.list(space).unwrap().is_empty(), "{space:?}");
    }
    assert!(talk.world.engine.store.list(Space::Epoch).unwrap() == before, "it may wait");
    // After a restart the chain goes on over what was not stored of it.
    let mut talk = talk.restart();
    talk.says(1, Body::Typing { on: true }).await;
    assert_eq!(talk.names(), ["Typing"]);
    // The durable lane has no gap.
    talk.says(2, text("hello")).await;
    assert_eq!(talk.texts().await, ["hello"]);
}

#[tokio::test]
async fn what_this_client_does_not_use_is_dropped_and_fills_its_counter() {
    let mut talk = Talk::new();
    let file = FileContent {
        mime: String::new(),
        name: String::new(),
        size: 1,
        blob: [0; 16],
        key: FileKey::new([0; 32], [0; 24], [0; 32]),
        thumbnail: Vec::new(),
    };
    talk.says(2, Body::File(Box::new(file))).await;
    talk.says(3, text("hello")).await;
    assert_eq!(talk.names(), ["MessageReceived"]);
    assert_eq!(talk.texts().await, ["hello"]);
}

#[tokio::test]
async fn skipped_keys_are_bounded_for_all_epochs_of_a_pair_together() {
    let mut talk = Talk::new();
    let first = talk.state.id();
    let made = talk.world.epoch(&talk.contact, 0);
    talk.world.note(talk.bob, &made, 0);
    let mut second = theirs(&talk.world, &talk.contact, &made);
    // So many of bob's messages are lost, and the next one comes.
    for (id, lost, is_second) in [(1, 1_000, false), (2, 1_000, false), (3, 100, true)] {
        if is_second {
            std::mem::swap(&mut talk.state, &mut second);
        }
        talk.world.clock.0.fetch_add(1, Ordering::Relaxed);
        let content = talk.content(id, text("x"));
        let (class, lane) = content.body.class_and_lane();
        for _ in 0..lost {
            talk.state.seal(class, lane, &content, [0; 16]).unwrap();
        }
        talk.says(id, text("x")).await;
    }
    for _ in 0..2 {
        let mut kept = Vec::new();
        for id in [first, made.id] {
            kept.push(talk.world.engine.epoch_state(&id).unwrap().unwrap().skipped());
        }
        assert_eq!(kept, [1_948, 100], "the oldest went, 2,048 stay");
        // And so it is stored.
        talk.world.engine.epochs.clear();
    }
}

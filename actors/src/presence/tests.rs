//! Who hears of whom, against a model that knows everything at once.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn user(k: u8) -> UserId {
    UserId([k; 32])
}

fn conn(k: u8) -> Conn {
    Conn([k; 16])
}

fn users(list: &[u8]) -> Vec<UserId> {
    list.iter().copied().map(user).collect()
}

/// Looks everything up that is due; `contacts` are.
fn settle(presence: &mut Presence<u8>, contacts: &[(u8, u8)]) -> Vec<Heard<u8>> {
    let mut heard = Vec::new();
    while let Some(due) = presence.next_due() {
        let are = contacts.iter().any(|(a, b)| pair(user(*a), user(*b)) == due);
        heard.extend(presence.looked_up(due, are));
    }
    heard
}

fn told(heard: Vec<Heard<u8>>) -> Vec<(u8, u8, bool)> {
    let mut told: Vec<_> = heard.iter().map(|h| (h.way, h.user.0[0], h.on)).collect();
    told.sort_unstable();
    told
}

#[test]
fn both_must_name_each_other_and_be_contacts() {
    let mut presence = Presence::new(100);
    assert_eq!(presence.show(user(1), conn(10), 10, users(&[2, 3, 4, 1])), Ok(vec![]));
    assert_eq!(presence.next_due(), None, "nobody is asked for who does not name it");
    assert_eq!(presence.show(user(2), conn(20), 20, users(&[1])), Ok(vec![]));
    assert_eq!(presence.show(user(3), conn(30), 30, users(&[1])), Ok(vec![]));
    assert_eq!(told(settle(&mut presence, &[(1, 2)])), [(10, 2, true), (20, 1, true)]);
    // Another device, then the first leaves: the user is still there.
    assert_eq!(told(presence.show(user(2), conn(21), 21, users(&[1])).unwrap()), [(21, 1, true)]);
    assert_eq!(presence.hide(user(2), conn(20)), []);
    assert_eq!(told(presence.hide(user(2), conn(21))), [(10, 2, false)]);
    assert_eq!(presence.hide(user(2), conn(21)), [], "twice is once");
}

#[test]
fn a_new_list_replaces_the_last_one() {
    let mut presence = Presence::new(100);
    presence.show(user(1), conn(10), 10, users(&[2, 3])).unwrap();
    presence.show(user(2), conn(20), 20, users(&[1])).unwrap();
    presence.show(user(3), conn(30), 30, users(&[1])).unwrap();
    settle(&mut presence, &[(1, 2), (1, 3)]);
    let heard = presence.show(user(1), conn(10), 10, users(&[3])).unwrap();
    assert_eq!(told(heard), [(10, 3, true), (20, 1, false)]);
    assert_eq!(presence.names(), 3);
}

#[test]
fn a_parted_pair_hears_nothing_more_at_once() {
    let mut presence = Presence::new(100);
    presence.show(user(1), conn(10), 10, users(&[2])).unwrap();
    presence.show(user(2), conn(20), 20, users(&[1])).unwrap();
    settle(&mut presence, &[(1, 2)]);
    let key = pair(user(1), user(2));
    assert_eq!(told(presence.changed(key, true)), [(10, 2, false), (20, 1, false)]);
    assert_eq!(settle(&mut presence, &[]), []);
    // A new epoch is no news: nobody flickers.
    assert_eq!(presence.changed(key, false), []);
    assert_eq!(told(settle(&mut presence, &[(1, 2)])), [(10, 2, true), (20, 1, true)]);
    assert_eq!(presence.changed(key, false), []);
    assert_eq!(settle(&mut presence, &[(1, 2)]), []);
    // But it is looked up again, and what was asked before the change is not believed.
    assert_eq!(presence.changed(key, false), []);
    assert_eq!(presence.next_due(), Some(key));
    assert_eq!(presence.changed(key, false), []);
    assert_eq!(presence.looked_up(key, true), []);
    assert_eq!(told(settle(&mut presence, &[])), [(10, 2, false), (20, 1, false)]);
    // Nor what was asked before they parted.
    presence.changed(key, false);
    assert_eq!(presence.next_due(), Some(key));
    assert_eq!(presence.changed(key, true), []);
    assert_eq!(presence.looked_up(key, true), []);
    assert_eq!(settle(&mut presence, &[]), []);
}

#[test]
fn what_was_being_looked_up_is_due_again_after_a_restart() {
    let mut presence = Presence::new(100);
    presence.show(user(1), conn(10), 10, users(&[2])).unwrap();
    presence.show(user(2), conn(20), 20, users(&[1])).unwrap();
    assert!(presence.next_due().is_some() && presence.next_due().is_none());
    presence.restart();
    assert_eq!(settle(&mut presence, &[(1, 2)]).len(), 2);
    presence.restart();
    assert_eq!(presence.next_due(), None);
}

#[test]
fn all_lists_together_are_bounded() {
    let mut presence = Presence::new(5);
    presence.show(user(1), conn(10), 10, users(&[2, 3, 4])).unwrap();
    assert_eq!(presence.show(user(2), conn(20), 20, users(&[1, 3, 4])), Err(Full));
    assert_eq!(presence.names(), 3);
    presence.show(user(1), conn(10), 10, users(&[2, 3, 4, 5, 6])).expect("its own count once");
    assert_eq!(presence.show(user(2), conn(20), 20, users(&[1])), Err(Full));
    presence.hide(user(1), conn(10));
    assert_eq!(presence.names(), 0);
    assert!(presence.shown.is_empty() && presence.mutual.is_empty() && presence.due.is_empty());
}

#[derive(Clone, Debug)]
enum Event {
    Show(u8, Vec<u8>),
    Hide(u8),
    Befriend(u8, u8, bool),
    Settle,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..6u8, proptest::collection::vec(0..4u8, 0..4)).prop_map(|(c, to)| Event::Show(c, to)),
        1 => (0..6u8).prop_map(Event::Hide),
        1 => (0..4u8, 0..4u8, any::<bool>()).prop_map(|(a, b, on)| Event::Befriend(a, b, on)),
        2 => Just(Event::Settle),
    ]
}

proptest! {
    /// Six connections of four users. What each heard last is, once all is looked up, exactly
    /// who names it back and is a contact; and at no time does it hear of a stranger.
    #[test]
    fn everybody_knows_exactly_what_it_may(events in proptest::collection::vec(event(), 0..60)) {
        let owner = |c: u8| c % 4;
        let mut presence = Presence::new(1_000);
        let mut lists: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        let mut contacts: BTreeSet<Pair> = BTreeSet::new();
        let mut knows: BTreeMap<u8, BTreeSet<UserId>> = BTreeMap::new();
        for event in events.into_iter().chain([Event::Settle]) {
            let mut heard = Vec::new();
            match event {
                Event::Show(c, to) => {
                    knows.insert(c, BTreeSet::new());
                    lists.insert(c, to.clone());
                    heard = presence.show(user(owner(c)), conn(c), c, users(&to)).unwrap();
                }
                Event::Hide(c) => {
                    knows.remove(&c);
                    lists.remove(&c);
                    heard = presence.hide(user(owner(c)), conn(c));
                }
                Event::Befriend(a, b, on) => {
                    let key = pair(user(a), user(b));
                    let changed = if on { contacts.insert(key) } else { contacts.remove(&key) };
                    if changed {
                        heard = presence.changed(key, !on);
                    }
                }
                Event::Settle => {
                    while let Some(due) = presence.next_due() {
                        heard.extend(presence.looked_up(due, contacts.contains(&due)));
                    }
                }
            }
            for Heard { way, user: about, on } in heard {
                let known = knows.get_mut(&way).expect("only who shows itself hears");
                prop_assert!(lists[&way].contains(&about.0[0]), "only of whom it names");
                if on { known.insert(about); } else { known.remove(&about); }
            }
            for (c, known) in &knows {
                for about in known {
                    prop_assert!(contacts.contains(&pair(user(owner(*c)), *about)));
                }
            }
        }
        for (c, to) in &lists {
            let me = owner(*c);
            let expected: BTreeSet<_> = to.iter().filter(|peer| {
                let back = lists.iter().any(|(d, list)| owner(*d) == **peer && list.contains(&me));
                back && **peer != me && contacts.contains(&pair(user(me), user(**peer)))
            }).copied().map(user).collect();
            prop_assert_eq!(&knows[c], &expected);
        }
        prop_assert!(presence.mutual.len() * 2 <= presence.names());
    }
}

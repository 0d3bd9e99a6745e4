//! Whoever is unknown, removed or blocking costs an asker the same statements: nothing can be
//! learned from how long an answer takes.

use std::sync::{Arc, Mutex};

use diesel::SqliteConnection;
use diesel::connection::InstrumentationEvent;
use diesel::prelude::*;
use hushwire_wire::{EpochId, RequestId, UserId};

use super::queries::{accounts, contacts, epochs, partings};
use super::{MIGRATIONS, write_connection};
use crate::conformance::{NOW, account, ask, epoch, user};

/// The statements that `act` makes, without what is bound to them.
fn steps<T>(
    conn: &mut SqliteConnection,
    act: impl FnOnce(&mut SqliteConnection) -> T,
) -> (Vec<String>, T) {
    let made = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&made);
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let text = query.to_string();
            let statement = text.split("-- binds").next().unwrap_or_default().to_owned();
            seen.lock().unwrap().push(statement);
        }
    });
    let result = act(conn);
    conn.set_instrumentation(|_: InstrumentationEvent<'_>| {});
    let made = made.lock().unwrap().clone();
    assert!(!made.is_empty());
    (made, result)
}

/// 1 was a contact of 2, who removed it, and of 3, who blocks it; 9 is nobody.
fn scene(conn: &mut SqliteConnection) {
    for tag in 1..=4 {
        accounts::register(conn, &account(tag)).unwrap();
    }
    for (peer, id) in [(2, 0x10), (3, 0x20)] {
        let request = ask(1, peer, 1);
        contacts::request(conn, &request).unwrap();
        let asked = contacts::asked(conn, &user(peer), &request.id, NOW).unwrap().unwrap();
        let first = epoch(id, 0, peer, &[1], &[(1, 1), (peer, 1)]);
        contacts::accept(conn, &user(peer), &request.id, &asked.keys.stamp, &first).unwrap();
    }
    partings::remove(conn, &user(2), &user(1), NOW).unwrap();
    partings::block(conn, &user(3), &user(1), NOW).unwrap();
}

const UNREACHABLE: [u8; 3] = [9, 2, 3];

#[test]
fn reading_and_sending_cost_the_same_for_unknown_removed_and_blocking() {
    let dir = tempfile::tempdir().unwrap();
    let mut conn = write_connection(&dir.path().join("db")).unwrap();
    crate::migrations::run(&mut conn, MIGRATIONS).unwrap();
    scene(&mut conn);
    let me = user(1);
    let all = UNREACHABLE.map(|tag| {
        let peer = user(tag);
        let log = steps(&mut conn, |conn| accounts::log(conn, &me, &peer, None).is_err());
        let prekeys = steps(&mut conn, |conn| accounts::prekeys(conn, &me, &peer).is_err());
        let pair = steps(&mut conn, |conn| epochs::pair(conn, &me, &peer).unwrap().is_none());
        let keys =
            steps(&mut conn, |conn| epochs::pair_keys(conn, &me, &peer, NOW).unwrap().is_none());
        let id = if tag == 2 { [0x10; 32] } else { [0x20; 32] };
        let found = steps(&mut conn, |conn| {
            let device = crate::conformance::device(1);
            epochs::find(conn, &me, &device, &EpochId(id)).is_err()
        });
        let all = [log, prekeys, pair, keys, found];
        assert!(all.iter().all(|(_, refused)| *refused));
        all
    });
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
}

#[test]
fn a_request_costs_the_same_whoever_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut conn = write_connection(&dir.path().join("db")).unwrap();
    crate::migrations::run(&mut conn, MIGRATIONS).unwrap();
    scene(&mut conn);
    // A name that nobody has, somebody who blocks, somebody who was removed by, and a stranger.
    let unknown = steps(&mut conn, |conn| contacts::request(conn, &ask(1, 9, 1)).is_ok());
    for tag in [3, 2, 4] {
        let known = steps(&mut conn, |conn| contacts::request(conn, &ask(1, tag, 5)).is_ok());
        assert_eq!(known, unknown, "{tag}");
    }
    // And a link to another log than the one that has the name.
    let mut misdirected = ask(1, 4, 6);
    (misdirected.to, misdirected.id) = (Some(UserId([8; 32])), RequestId([8; 32]));
    let known = steps(&mut conn, |conn| contacts::request(conn, &misdirected).is_ok());
    assert_eq!(known, unknown);
}

//! Bounds that take thousands of rows to reach.

use diesel::connection::SimpleConnection as _;

use super::queries::{accounts, contacts, partings};
use super::{MIGRATIONS, write_connection};
use crate::conformance::{NOW, account, ask, user};
use crate::contact::{BLOCKED_MAX, BlockError};

#[test]
fn no_more_are_blocked_than_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let mut conn = write_connection(&dir.path().join("db")).unwrap();
    crate::migrations::run(&mut conn, MIGRATIONS).unwrap();
    for tag in [1, 2, 3] {
        accounts::register(&mut conn, &account(tag)).unwrap();
    }
    for asker in [2, 3] {
        contacts::request(&mut conn, &ask(asker, 1, 1)).unwrap();
    }
    let count = BLOCKED_MAX - 1;
    conn.batch_execute(&format!(
        "PRAGMA foreign_keys = OFF; WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 \
         FROM n WHERE i < {count}) INSERT INTO blocks SELECT (SELECT log_id FROM users WHERE \
         handle = 'user1'), CAST(i AS BLOB), x'00', 0 FROM n;"
    ))
    .unwrap();
    partings::block(&mut conn, &user(1), &user(2), NOW).unwrap();
    let refused = partings::block(&mut conn, &user(1), &user(3), NOW);
    assert!(matches!(refused, Err(BlockError::TooMany)), "{refused:?}");
    assert!(partings::block(&mut conn, &user(1), &user(2), NOW).is_ok(), "a repeat");
}

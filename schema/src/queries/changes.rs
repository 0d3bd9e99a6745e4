//! Queries on what changed: a version for each user, and a row for each of its rises.
//!
//! [`tell`] does the same statements for a user that there is not, and changes nothing then: who
//! asks for somebody unknown waits as long as who asks for somebody known.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};
use hushwire_wire::UserId;
use hushwire_wire::frame::EventKind;

use super::column;
use super::tables::{changes, users};
use super::{Conn, sql};
use crate::account::ReadError;
use crate::change::{CHANGES_KEPT, CHANGES_KEPT_MS, ChangeList, ChangeRow, Told};
use crate::failure::Failure;

/// Rows that one prune deletes, at most.
const PRUNED_MAX: i64 = 1000;

/// The contacts of the user `?1`, for a query.
const CONTACTS: &str = "(SELECT b FROM pairs WHERE a = ?1 AND request_id IS NOT NULL AND ended_ms \
    IS NULL UNION SELECT a FROM pairs WHERE b = ?1 AND request_id IS NOT NULL AND ended_ms IS NULL)";

/// Counts a change that a user's devices are told of, and keeps it for those that are away.
/// `None` if there is no such user.
pub(crate) fn tell(
    conn: &mut Conn,
    user: &UserId,
    kind: EventKind,
    peer: &UserId,
    now_ms: u64,
) -> Result<Option<Told>, Failure> {
    let v: Option<i64> = diesel::update(users::table.find(user.as_ref()))
        .set(users::v.eq(users::v + 1))
        .returning(users::v)
        .get_result(conn)
        .optional()?;
    let row = (
        users::log_id,
        users::v,
        number(kind)?.into_sql::<BigInt>(),
        peer.as_ref().into_sql::<Binary>().nullable(),
        column::ms(now_ms).into_sql::<BigInt>(),
    );
    users::table
        .find(user.as_ref())
        .select(row)
        .insert_into(changes::table)
        .into_columns((changes::log_id, changes::v, changes::kind, changes::peer, changes::at_ms))
        .execute(conn)?;
    let oldest = v.unwrap_or(0) - column::ms(CHANGES_KEPT);
    diesel::delete(changes::table.find((user.as_ref(), oldest))).execute(conn)?;
    let told = |v| Ok(Told { user: *user, v: column::n64(v, "v")?, kind, peer: *peer });
    v.map(told).transpose()
}

/// [`tell`] for all contacts of a user at once, who is the `peer`: at most
/// [`crate::CONTACTS_MAX`].
pub(crate) fn tell_contacts(
    conn: &mut Conn,
    user: &UserId,
    kind: EventKind,
    now_ms: u64,
) -> Result<Vec<Told>, Failure> {
    let of = user.as_ref();
    sql(format!("UPDATE users SET v = v + 1 WHERE log_id IN {CONTACTS}"))
        .bind::<Binary, _>(of)
        .execute(conn)?;
    sql(format!(
        "INSERT INTO changes (log_id, v, kind, peer, at_ms) \
         SELECT log_id, v, ?2, ?1, ?3 FROM users WHERE log_id IN {CONTACTS}"
    ))
    .bind::<Binary, _>(of)
    .bind::<BigInt, _>(number(kind)?)
    .bind::<BigInt, _>(column::ms(now_ms))
    .execute(conn)?;
    sql(format!(
        "DELETE FROM changes WHERE (log_id, v) IN \
         (SELECT log_id, v - ?2 FROM users WHERE log_id IN {CONTACTS})"
    ))
    .bind::<Binary, _>(of)
    .bind::<BigInt, _>(column::ms(CHANGES_KEPT))
    .execute(conn)?;
    let rows: Vec<Version> =
        sql(format!("SELECT log_id, v FROM users WHERE log_id IN {CONTACTS} ORDER BY log_id"))
            .bind::<Binary, _>(of)
            .load(conn)?;
    let told = |row: Version| {
        let (contact, v) = (column::user(&row.log_id)?, column::n64(row.v, "v")?);
        Ok(Told { user: contact, v, kind, peer: *user })
    };
    rows.into_iter().map(told).collect()
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Binary)]
    log_id: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    v: i64,
}

pub(crate) fn list(
    conn: &mut Conn,
    user: &UserId,
    after: u64,
    most: usize,
) -> Result<ChangeList, ReadError> {
    let v: Option<i64> = users::table
        .find(user.as_ref())
        .filter(users::gone_ms.is_null())
        .select(users::v)
        .first(conn)
        .optional()?;
    let v = column::n64(v.ok_or(ReadError::NotFound)?, "v")?;
    let kept = changes::table.filter(changes::log_id.eq(user.as_ref()));
    let oldest: Option<i64> = kept.select(diesel::dsl::min(changes::v)).first(conn)?;
    let oldest = oldest.map(|v| column::n64(v, "v")).transpose()?;
    // Versions have no gaps, so that all are there if the next one is. A version that is not
    // reached yet is of a database that was put back to an older state.
    let complete = after <= v && oldest.unwrap_or(v.saturating_add(1)) <= after.saturating_add(1);
    if !complete {
        return Ok(ChangeList { v, changes: Vec::new(), complete });
    }
    let changes = rows(conn, user, after, most)?;
    Ok(ChangeList { v, changes, complete })
}

/// The changes of a user after a version, in order.
pub(crate) fn rows(
    conn: &mut Conn,
    user: &UserId,
    after: u64,
    most: usize,
) -> Result<Vec<ChangeRow>, Failure> {
    let rows: Vec<(i64, i64, Option<Vec<u8>>, i64)> = changes::table
        .filter(changes::log_id.eq(user.as_ref()))
        .filter(changes::v.gt(column::ms(after)))
        .order(changes::v)
        .limit(i64::try_from(most).unwrap_or(i64::MAX))
        .select((changes::v, changes::kind, changes::peer, changes::at_ms))
        .load(conn)?;
    let row = |(v, kind, peer, at): (i64, i64, Option<Vec<u8>>, i64)| {
        Ok(ChangeRow {
            v: column::n64(v, "v")?,
            kind: event(kind)?,
            peer: peer.as_deref().map(column::user).transpose()?,
            at_ms: column::n64(at, "at_ms")?,
        })
    };
    rows.into_iter().map(row).collect()
}

pub(crate) fn prune(conn: &mut Conn, now_ms: u64) -> Result<(), Failure> {
    sql("DELETE FROM changes WHERE (log_id, v) IN \
         (SELECT log_id, v FROM changes WHERE at_ms < ?1 LIMIT ?2)")
    .bind::<BigInt, _>(column::ms(now_ms.saturating_sub(CHANGES_KEPT_MS)))
    .bind::<BigInt, _>(PRUNED_MAX)
    .execute(conn)?;
    Ok(())
}

/// A kind as it is stored. The others change no version.
fn number(kind: EventKind) -> Result<i64, Failure> {
    match kind {
        EventKind::Request => Ok(1),
        EventKind::Accepted => Ok(2),
        EventKind::Epoch => Ok(3),
        EventKind::Log => Ok(4),
        EventKind::Block => Ok(5),
        EventKind::Removed => Ok(6),
        EventKind::Prekey | EventKind::State => Err(Failure::Corrupt("kind")),
    }
}

fn event(number: i64) -> Result<EventKind, Failure> {
    match number {
        1 => Ok(EventKind::Request),
        2 => Ok(EventKind::Accepted),
        3 => Ok(EventKind::Epoch),
        4 => Ok(EventKind::Log),
        5 => Ok(EventKind::Block),
        6 => Ok(EventKind::Removed),
        _ => Err(Failure::Corrupt("kind")),
    }
}

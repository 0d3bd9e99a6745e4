//! Queries that delete an account, and that read all that is held of one.

use diesel::prelude::*;
use diesel::sql_types::Binary;
use hushwire_identity::Handle;
use hushwire_wire::UserId;
use hushwire_wire::frame::EventKind;

use super::tables::{
    blocks, changes as changes_table, devices, epochs, log_entries, pairs, prekeys, requests,
    users, wraps,
};
use super::{Conn, sql};
use super::{accounts, changes, column, contacts, entries};
use crate::account::ReadError;
use crate::change::CHANGES_KEPT;
use crate::ending::{Deleted, DeviceRow, EndedRow, Export, ExportedEpoch};
use crate::epoch::EpochRow;
use crate::failure::Failure;

pub(crate) fn delete_account(
    conn: &mut Conn,
    user: &UserId,
    now_ms: u64,
) -> Result<Option<Deleted>, Failure> {
    let of = user.as_ref();
    let there = users::table.find(of).filter(users::gone_ms.is_null());
    let gone = diesel::update(there)
        .set((
            users::gone_ms.eq(column::ms(now_ms)),
            // An epoch that was checked before is not of the newest keys.
            users::keys_v.eq(users::keys_v + 1),
            users::asked_day.eq(0),
            users::asked_count.eq(0),
        ))
        .execute(conn)?;
    if gone == 0 {
        return Ok(None);
    }
    let told = changes::tell_contacts(conn, user, EventKind::Removed, now_ms)?;
    let all: Vec<(Vec<u8>, Option<i64>)> = devices::table
        .filter(devices::log_id.eq(of))
        .order(devices::device_id)
        .select((devices::device_id, devices::revoked_seq))
        .load(conn)?;
    let ids: Vec<&[u8]> = all.iter().map(|(id, _)| id.as_slice()).collect();
    // Wraps, and which prekeys an epoch names, go with the epochs.
    sql("DELETE FROM epochs WHERE (a, b) IN (SELECT a, b FROM pairs WHERE a = ?1 OR b = ?1)")
        .bind::<Binary, _>(of)
        .execute(conn)?;
    diesel::delete(pairs::table.filter(pairs::a.eq(of).or(pairs::b.eq(of)))).execute(conn)?;
    diesel::delete(requests::table.filter(requests::asker.eq(of))).execute(conn)?;
    diesel::update(requests::table.filter(requests::answerer.eq(of)))
        .set(requests::answerer.eq(None::<Vec<u8>>))
        .execute(conn)?;
    diesel::delete(blocks::table.filter(blocks::blocker.eq(of).or(blocks::blocked.eq(of))))
        .execute(conn)?;
    diesel::delete(changes_table::table.filter(changes_table::log_id.eq(of))).execute(conn)?;
    diesel::delete(prekeys::table.filter(prekeys::device_id.eq_any(&ids))).execute(conn)?;
    diesel::delete(devices::table.filter(devices::log_id.eq(of))).execute(conn)?;
    diesel::delete(log_entries::table.filter(log_entries::log_id.eq(of))).execute(conn)?;
    let active = all.iter().filter(|(_, revoked)| revoked.is_none());
    let devices = active.map(|(id, _)| column::device(id)).collect::<Result<_, _>>()?;
    Ok(Some(Deleted { devices, told }))
}

pub(crate) fn device_rows(conn: &mut Conn, user: &UserId) -> Result<Vec<DeviceRow>, Failure> {
    let rows: Vec<(Vec<u8>, i64, Option<i64>)> = devices::table
        .filter(devices::log_id.eq(user.as_ref()))
        .order(devices::device_id)
        .select((devices::device_id, devices::since_ms, devices::revoked_seq))
        .load(conn)?;
    rows.into_iter()
        .map(|(id, since, revoked)| {
            let unclaimed: i64 =
                wraps::table.filter(wraps::device_id.eq(&id)).count().get_result(conn)?;
            Ok(DeviceRow {
                device: column::device(&id)?,
                since_ms: column::n64(since, "since_ms")?,
                revoked_seq: revoked.map(|seq| column::n32(seq, "revoked_seq")).transpose()?,
                unclaimed: column::n64(unclaimed, "wraps")?,
            })
        })
        .collect()
}

pub(crate) fn export(conn: &mut Conn, user: &UserId) -> Result<Export, ReadError> {
    let of = user.as_ref();
    let found: Option<(String, i64, i64, i64)> = users::table
        .find(of)
        .filter(users::gone_ms.is_null())
        .select((users::handle, users::since_ms, users::v, users::asked_count))
        .first(conn)
        .optional()?;
    let (handle, since, v, asked_count) = found.ok_or(ReadError::NotFound)?;
    let prekeys: Vec<_> = prekeys::table
        .inner_join(devices::table)
        .filter(devices::log_id.eq(of))
        .order((prekeys::device_id, prekeys::id))
        .select((prekeys::device_id, prekeys::id, prekeys::record, prekeys::xwing))
        .load(conn)?;
    let asked: Vec<(Vec<u8>, i64)> = requests::table
        .filter(requests::asker.eq(of))
        .order((requests::asked_ms, requests::request_id))
        .select((requests::request, requests::asked_ms))
        .load(conn)?;
    let asked = asked.into_iter().map(|(bytes, at)| Ok((bytes, column::n64(at, "asked_ms")?)));
    let kept = usize::try_from(CHANGES_KEPT).unwrap_or(usize::MAX);
    Ok(Export {
        handle: Handle::parse(&handle).map_err(|_| Failure::Corrupt("handle"))?,
        since_ms: column::n64(since, "since_ms")?,
        v: column::n64(v, "v")?,
        log: entries::after(conn, user, None)?,
        devices: device_rows(conn, user)?,
        prekeys: prekeys.into_iter().map(accounts::prekey_row).collect::<Result<_, _>>()?,
        contacts: contacts::list(conn, user)?.contacts,
        ended: ended(conn, user)?,
        asked: asked.collect::<Result<_, Failure>>()?,
        asked_that_day: column::n32(asked_count, "asked_count")?,
        changes: changes::rows(conn, user, 0, kept)?,
    })
}

/// The other user's columns, the request, the last number, when it ended.
type EndedColumns = (Vec<u8>, Vec<u8>, Option<Vec<u8>>, i64, Option<i64>);

fn ended(conn: &mut Conn, user: &UserId) -> Result<Vec<EndedRow>, Failure> {
    let rows: Vec<EndedColumns> = pairs::table
        .filter(pairs::a.eq(user.as_ref()).or(pairs::b.eq(user.as_ref())))
        .filter(pairs::ended_ms.is_not_null())
        .select((pairs::a, pairs::b, pairs::request, pairs::newest_n, pairs::ended_ms))
        .load(conn)?;
    let row = |(a, b, request, n, at): EndedColumns| {
        let (a, b) = (column::user(&a)?, column::user(&b)?);
        Ok(EndedRow {
            peer: if a == *user { b } else { a },
            request: request.ok_or(Failure::Corrupt("request"))?,
            n: column::n32(n, "newest_n")?,
            at_ms: column::n64(at.ok_or(Failure::Corrupt("ended_ms"))?, "ended_ms")?,
        })
    };
    let mut rows: Vec<EndedRow> = rows.into_iter().map(row).collect::<Result<_, Failure>>()?;
    rows.sort_by_key(|row| row.peer);
    Ok(rows)
}

pub(crate) fn pair_epochs(
    conn: &mut Conn,
    user: &UserId,
    peer: &UserId,
) -> Result<Vec<ExportedEpoch>, Failure> {
    let (a, b) = column::ordered(*user, *peer);
    let rows: Vec<(Vec<u8>, i64, Vec<u8>, i64)> = epochs::table
        .filter(epochs::a.eq(a.as_ref()))
        .filter(epochs::b.eq(b.as_ref()))
        .order(epochs::n)
        .select((epochs::epoch_id, epochs::n, epochs::header, epochs::posted_ms))
        .load(conn)?;
    let row = |(id, n, header, at): (Vec<u8>, i64, Vec<u8>, i64)| {
        let epoch = EpochRow { id: column::epoch(&id)?, n: column::n32(n, "n")?, header };
        Ok(ExportedEpoch { epoch, posted_ms: column::n64(at, "posted_ms")? })
    };
    rows.into_iter().map(row).collect()
}

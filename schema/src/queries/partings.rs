//! Queries that end what two users have with one another: decline, remove, block, unblock.
//!
//! The other side must not be able to tell: its open request keeps counting against it, and a
//! contact that ended reads like one that never was.

use diesel::dsl::{exists, select};
use diesel::prelude::*;
use hushwire_wire::frame::EventKind;
use hushwire_wire::{DeviceId, RequestId, UserId};

use super::Conn;
use super::tables::{blocks, devices, epochs, pairs, requests};
use super::{changes, column};
use crate::change::Told;
use crate::contact::{BLOCKED_MAX, BlockError, Blocked};
use crate::failure::Failure;

pub(crate) fn decline(
    conn: &mut Conn,
    user: &UserId,
    request: &RequestId,
    now_ms: u64,
) -> Result<Option<Told>, Failure> {
    let waiting =
        requests::table.find(request.as_ref()).filter(requests::answerer.eq(user.as_ref()));
    let asker: Option<Vec<u8>> = diesel::update(waiting)
        .set(requests::answerer.eq(None::<Vec<u8>>))
        .returning(requests::asker)
        .get_result(conn)
        .optional()?;
    let Some(asker) = asker else { return Ok(None) };
    changes::tell(conn, user, EventKind::Removed, &column::user(&asker)?, now_ms)
}

pub(crate) fn remove(
    conn: &mut Conn,
    user: &UserId,
    peer: &UserId,
    now_ms: u64,
) -> Result<Option<Told>, Failure> {
    if !end(conn, user, peer, now_ms)? {
        return Ok(None);
    }
    changes::tell(conn, user, EventKind::Removed, peer, now_ms)
}

pub(crate) fn block(
    conn: &mut Conn,
    user: &UserId,
    peer: &UserId,
    now_ms: u64,
) -> Result<Blocked, BlockError> {
    let devices = active_devices(conn, user)?;
    if select(exists(blocks::table.find((user.as_ref(), peer.as_ref())))).get_result(conn)? {
        return Ok(Blocked { told: None, devices });
    }
    let request = began(conn, user, peer)?.ok_or(BlockError::NotFound)?;
    let count: i64 =
        blocks::table.filter(blocks::blocker.eq(user.as_ref())).count().get_result(conn)?;
    if usize::try_from(count).unwrap_or(usize::MAX) >= BLOCKED_MAX {
        return Err(BlockError::TooMany);
    }
    diesel::insert_into(blocks::table)
        .values((
            blocks::blocker.eq(user.as_ref()),
            blocks::blocked.eq(peer.as_ref()),
            blocks::request.eq(request),
            blocks::since_ms.eq(column::ms(now_ms)),
        ))
        .execute(conn)?;
    end(conn, user, peer, now_ms)?;
    for (asker, answerer) in [(peer, user), (user, peer)] {
        diesel::update(requests::table)
            .filter(requests::answerer.eq(answerer.as_ref()))
            .filter(requests::asker.eq(asker.as_ref()))
            .set(requests::answerer.eq(None::<Vec<u8>>))
            .execute(conn)?;
    }
    let told = changes::tell(conn, user, EventKind::Block, peer, now_ms)?;
    Ok(Blocked { told, devices })
}

pub(crate) fn unblock(
    conn: &mut Conn,
    user: &UserId,
    peer: &UserId,
    now_ms: u64,
) -> Result<Option<Told>, Failure> {
    let block = blocks::table.find((user.as_ref(), peer.as_ref()));
    if diesel::delete(block).execute(conn)? == 0 {
        return Ok(None);
    }
    changes::tell(conn, user, EventKind::Block, peer, now_ms)
}

/// The request that began what the two have or had; or with which `peer` asks.
fn began(conn: &mut Conn, user: &UserId, peer: &UserId) -> Result<Option<Vec<u8>>, Failure> {
    let (a, b) = column::ordered(*user, *peer);
    let pair: Option<Option<Vec<u8>>> = pairs::table
        .find((a.as_ref(), b.as_ref()))
        .select(pairs::request)
        .first(conn)
        .optional()?;
    if let Some(request) = pair.flatten() {
        return Ok(Some(request));
    }
    let waiting = requests::table
        .filter(requests::answerer.eq(user.as_ref()))
        .filter(requests::asker.eq(peer.as_ref()))
        .select(requests::request);
    Ok(waiting.first(conn).optional()?)
}

/// Ends a contact: its epochs and their wraps go, its row keeps the last number. Whether it was
/// one.
fn end(conn: &mut Conn, user: &UserId, peer: &UserId, now_ms: u64) -> QueryResult<bool> {
    let (a, b) = column::ordered(*user, *peer);
    let pair = pairs::table
        .find((a.as_ref(), b.as_ref()))
        .filter(pairs::request_id.is_not_null())
        .filter(pairs::ended_ms.is_null());
    let ended = diesel::update(pair).set(pairs::ended_ms.eq(column::ms(now_ms))).execute(conn)? > 0;
    if ended {
        diesel::delete(epochs::table)
            .filter(epochs::a.eq(a.as_ref()))
            .filter(epochs::b.eq(b.as_ref()))
            .execute(conn)?;
    }
    Ok(ended)
}

fn active_devices(conn: &mut Conn, user: &UserId) -> Result<Vec<DeviceId>, Failure> {
    let rows: Vec<Vec<u8>> = devices::table
        .filter(devices::log_id.eq(user.as_ref()))
        .filter(devices::revoked_seq.is_null())
        .order(devices::device_id)
        .select(devices::device_id)
        .load(conn)?;
    rows.iter().map(|id| column::device(id)).collect()
}

//! Queries on pairs, epochs and wraps.

use diesel::dsl::{exists, not, select};
use diesel::prelude::*;
use hushwire_identity::{Head, LogPoint};
use hushwire_wire::frame::EventKind;
use hushwire_wire::{DeviceId, EpochId, RequestId, UserId};

use super::Conn;
use super::tables::{
    devices, epoch_prekeys, epochs as epochs_table, log_entries, pairs, prekeys, requests, users,
    wraps,
};
use super::{accounts, changes, column, entries};
use crate::account::{ReadError, UnclaimedRow};
use crate::change::Told;
use crate::contact::RequestBounds;
use crate::epoch::{
    ClaimError, EpochFound, EpochRow, NewEpoch, PairKeys, PairNow, PairStamp, PostEpochError,
    SideKeys,
};
use crate::failure::Failure;

const DAY_MS: u64 = 86_400_000;
/// How long a wrap waits to be claimed.
const WRAP_KEPT_MS: u64 = 30 * DAY_MS;
/// How long an epoch is kept after a newer one.
const EPOCH_KEPT_MS: u64 = 61 * DAY_MS;
/// Rows that one prune deletes of each kind, at most: the writer is not held up for long.
const PRUNED_MAX: i64 = 1000;
/// Posts of a day that a snapshot lists, at most.
const POSTS_LISTED: i64 = 256;

pub(crate) fn pair_keys(
    conn: &mut Conn,
    user: &UserId,
    peer: &UserId,
    now_ms: u64,
) -> Result<Option<PairKeys>, Failure> {
    if user != peer {
        let (a, b) = column::ordered(*user, *peer);
        let contact = pairs::table.find((a.as_ref(), b.as_ref())).filter(pairs::ended_ms.is_null());
        if !select(exists(contact)).get_result::<bool>(conn)? {
            return Ok(None);
        }
    }
    snapshot(conn, user, peer, now_ms).map(Some)
}

/// What an epoch of `caller` and `peer`, who both exist, is checked against.
pub(crate) fn snapshot(
    conn: &mut Conn,
    caller: &UserId,
    peer: &UserId,
    now_ms: u64,
) -> Result<PairKeys, Failure> {
    let (a, b) = column::ordered(*caller, *peer);
    let standing = standing(conn, &a, &b)?;
    let newest = match &standing {
        Some(pair) if pair.ended.is_none() => Some(row(conn, pair)?),
        _ => None,
    };
    let posted: Vec<i64> = epochs_table::table
        .filter(epochs_table::a.eq(a.as_ref()))
        .filter(epochs_table::b.eq(b.as_ref()))
        .filter(epochs_table::creator.eq(caller.as_ref()))
        .filter(epochs_table::posted_ms.gt(column::ms(now_ms.saturating_sub(DAY_MS))))
        .order(epochs_table::n.desc())
        .limit(POSTS_LISTED)
        .select(epochs_table::posted_ms)
        .load(conn)?;
    let stamp = PairStamp {
        a,
        b,
        a_keys_v: keys_v(conn, &a)?,
        b_keys_v: keys_v(conn, &b)?,
        newest: standing.as_ref().map(|pair| (pair.newest, pair.ended)),
    };
    Ok(PairKeys {
        a: side(conn, a)?,
        b: if a == b { None } else { Some(side(conn, b)?) },
        newest,
        next_n: standing.map_or(0, |pair| pair.n.saturating_add(1)),
        posted_ms: posted
            .into_iter()
            .map(|at| column::n64(at, "posted_ms"))
            .collect::<Result<_, _>>()?,
        stamp,
    })
}

fn side(conn: &mut Conn, user: UserId) -> Result<SideKeys, Failure> {
    let log = entries::after(conn, &user, None)?;
    let prekeys = accounts::current_prekeys(conn, &user)?;
    Ok(SideKeys { user, log, prekeys: prekeys.into_iter().map(|prekey| prekey.record).collect() })
}

fn keys_v(conn: &mut Conn, user: &UserId) -> QueryResult<i64> {
    users::table.find(user.as_ref()).select(users::keys_v).first(conn)
}

/// A pair's newest epoch, and when the contact ended, if it did: the epoch is gone then.
struct Standing {
    newest: EpochId,
    n: u32,
    ended: Option<i64>,
}

fn standing(conn: &mut Conn, a: &UserId, b: &UserId) -> Result<Option<Standing>, Failure> {
    let found: Option<(Vec<u8>, i64, Option<i64>)> = pairs::table
        .find((a.as_ref(), b.as_ref()))
        .select((pairs::newest_epoch, pairs::newest_n, pairs::ended_ms))
        .first(conn)
        .optional()?;
    let standing = |(id, n, ended): (Vec<u8>, i64, Option<i64>)| {
        Ok(Standing { newest: column::epoch(&id)?, n: column::n32(n, "newest_n")?, ended })
    };
    found.map(standing).transpose()
}

fn row(conn: &mut Conn, pair: &Standing) -> Result<EpochRow, Failure> {
    let header =
        epochs_table::table.find(pair.newest.as_ref()).select(epochs_table::header).first(conn)?;
    Ok(EpochRow { id: pair.newest, n: pair.n, header })
}

/// Whether the pair is as the stamp says.
pub(crate) fn is_current(conn: &mut Conn, stamp: &PairStamp) -> Result<bool, Failure> {
    let newest = standing(conn, &stamp.a, &stamp.b)?.map(|pair| (pair.newest, pair.ended));
    Ok(newest == stamp.newest
        && keys_v(conn, &stamp.a)? == stamp.a_keys_v
        && keys_v(conn, &stamp.b)? == stamp.b_keys_v)
}

pub(crate) fn post(
    conn: &mut Conn,
    stamp: &PairStamp,
    epoch: &NewEpoch,
) -> Result<Vec<Told>, PostEpochError> {
    let contact = stamp.a == stamp.b || matches!(stamp.newest, Some((_, None)));
    if !contact || !is_current(conn, stamp)? {
        return Err(PostEpochError::Moved);
    }
    insert(conn, stamp, epoch, None)?;
    let (kind, now_ms) = (EventKind::Epoch, epoch.now_ms);
    let mut told: Vec<Told> =
        changes::tell(conn, &stamp.a, kind, &stamp.b, now_ms)?.into_iter().collect();
    if stamp.b != stamp.a {
        told.extend(changes::tell(conn, &stamp.b, kind, &stamp.a, now_ms)?);
    }
    Ok(told)
}

/// Makes `epoch` the newest of the pair, and the pair if there is none; a pair of two users is
/// begun by a request, and begun again by another.
pub(crate) fn insert(
    conn: &mut Conn,
    stamp: &PairStamp,
    epoch: &NewEpoch,
    request: Option<(&RequestId, &[u8])>,
) -> QueryResult<()> {
    let (a, b) = (stamp.a.as_ref(), stamp.b.as_ref());
    let (n, now) = (i64::from(epoch.n), column::ms(epoch.now_ms));
    if stamp.newest.is_some() {
        diesel::update(epochs_table::table)
            .filter(epochs_table::a.eq(a))
            .filter(epochs_table::b.eq(b))
            .filter(epochs_table::superseded_ms.is_null())
            .set(epochs_table::superseded_ms.eq(now))
            .execute(conn)?;
        diesel::update(pairs::table.find((a, b)))
            .set((pairs::newest_n.eq(n), pairs::newest_epoch.eq(epoch.id.as_ref())))
            .execute(conn)?;
        if let Some((id, bytes)) = request {
            diesel::update(pairs::table.find((a, b)))
                .set((
                    pairs::request_id.eq(id.as_ref()),
                    pairs::request.eq(bytes),
                    pairs::since_ms.eq(now),
                    pairs::ended_ms.eq(None::<i64>),
                ))
                .execute(conn)?;
        }
    } else {
        diesel::insert_into(pairs::table)
            .values((
                pairs::a.eq(a),
                pairs::b.eq(b),
                pairs::request_id.eq(request.map(|(id, _)| AsRef::<[u8]>::as_ref(id))),
                pairs::request.eq(request.map(|(_, bytes)| bytes)),
                pairs::since_ms.eq(now),
                pairs::newest_n.eq(n),
                pairs::newest_epoch.eq(epoch.id.as_ref()),
            ))
            .execute(conn)?;
    }
    diesel::insert_into(epochs_table::table)
        .values((
            epochs_table::epoch_id.eq(epoch.id.as_ref()),
            epochs_table::a.eq(a),
            epochs_table::b.eq(b),
            epochs_table::n.eq(n),
            epochs_table::creator.eq(epoch.creator.as_ref()),
            epochs_table::header.eq(&epoch.header),
            epochs_table::posted_ms.eq(now),
        ))
        .execute(conn)?;
    for (device, prekey) in &epoch.named {
        diesel::insert_into(epoch_prekeys::table)
            .values((
                epoch_prekeys::epoch_id.eq(epoch.id.as_ref()),
                epoch_prekeys::device_id.eq(device.as_ref()),
                epoch_prekeys::prekey_id.eq(i64::from(*prekey)),
            ))
            .execute(conn)?;
    }
    for wrap in &epoch.wraps {
        diesel::insert_into(wraps::table)
            .values((
                wraps::epoch_id.eq(epoch.id.as_ref()),
                wraps::device_id.eq(wrap.device.as_ref()),
                wraps::wrap.eq(&wrap.wrap),
                wraps::posted_ms.eq(now),
            ))
            .execute(conn)?;
    }
    Ok(())
}

pub(crate) fn find(
    conn: &mut Conn,
    user: &UserId,
    device: &DeviceId,
    epoch: &EpochId,
) -> Result<EpochFound, ReadError> {
    let header = header_for(conn, user, epoch)?.ok_or(ReadError::NotFound)?;
    let wrap = wraps::table
        .find((epoch.as_ref(), device.as_ref()))
        .select(wraps::wrap)
        .first(conn)
        .optional()?;
    let prekeys: Vec<_> = epoch_prekeys::table
        .inner_join(
            prekeys::table.on(prekeys::device_id
                .eq(epoch_prekeys::device_id)
                .and(prekeys::id.eq(epoch_prekeys::prekey_id))),
        )
        .filter(epoch_prekeys::epoch_id.eq(epoch.as_ref()))
        .order(prekeys::device_id)
        .select((prekeys::device_id, prekeys::id, prekeys::record, prekeys::xwing))
        .load(conn)?;
    let prekeys = prekeys.into_iter().map(accounts::prekey_row).collect::<Result<_, _>>()?;
    Ok(EpochFound { header, wrap, prekeys })
}

pub(crate) fn claim(
    conn: &mut Conn,
    user: &UserId,
    device: &DeviceId,
    epoch: &EpochId,
) -> Result<(), ClaimError> {
    header_for(conn, user, epoch)?.ok_or(ClaimError::NotFound)?;
    diesel::delete(wraps::table.find((epoch.as_ref(), device.as_ref()))).execute(conn)?;
    Ok(())
}

pub(crate) fn unclaimed(
    conn: &mut Conn,
    device: &DeviceId,
    prekey: u32,
    most: usize,
) -> Result<Vec<UnclaimedRow>, Failure> {
    let rows: Vec<(Vec<u8>, i64)> = wraps::table
        .inner_join(
            epoch_prekeys::table.on(epoch_prekeys::epoch_id
                .eq(wraps::epoch_id)
                .and(epoch_prekeys::device_id.eq(wraps::device_id))),
        )
        .filter(wraps::device_id.eq(device.as_ref()))
        .filter(epoch_prekeys::prekey_id.lt(i64::from(prekey)))
        .order((wraps::posted_ms, wraps::epoch_id))
        .limit(i64::try_from(most).unwrap_or(i64::MAX))
        .select((wraps::epoch_id, epoch_prekeys::prekey_id))
        .load(conn)?;
    let row = |(epoch, prekey): (Vec<u8>, i64)| {
        let (epoch, prekey) = (column::epoch(&epoch)?, column::n32(prekey, "prekey_id")?);
        Ok(UnclaimedRow { epoch, prekey })
    };
    rows.into_iter().map(row).collect()
}

/// The header of an epoch of one of the user's pairs.
fn header_for(conn: &mut Conn, user: &UserId, epoch: &EpochId) -> QueryResult<Option<Vec<u8>>> {
    epochs_table::table
        .find(epoch.as_ref())
        .filter(epochs_table::a.eq(user.as_ref()).or(epochs_table::b.eq(user.as_ref())))
        .select(epochs_table::header)
        .first(conn)
        .optional()
}

pub(crate) fn pair(
    conn: &mut Conn,
    user: &UserId,
    peer: &UserId,
) -> Result<Option<PairNow>, Failure> {
    let (a, b) = column::ordered(*user, *peer);
    let standing = standing(conn, &a, &b)?.filter(|pair| pair.ended.is_none());
    let Some(standing) = standing else { return Ok(None) };
    let epoch = row(conn, &standing)?;
    let mut points = vec![point(conn, a)?];
    if a != b {
        points.push(point(conn, b)?);
    }
    Ok(Some(PairNow { epoch, points }))
}

fn point(conn: &mut Conn, user: UserId) -> Result<LogPoint, Failure> {
    let (seq, head): (i64, Vec<u8>) = log_entries::table
        .filter(log_entries::log_id.eq(user.as_ref()))
        .order(log_entries::seq.desc())
        .select((log_entries::seq, log_entries::head))
        .first(conn)?;
    let head = Head(column::b32(&head, "head")?);
    Ok(LogPoint { user, seq: column::n32(seq, "seq")?, head })
}

pub(crate) fn prune(conn: &mut Conn, now_ms: u64) -> Result<(), Failure> {
    let before = |kept: u64| column::ms(now_ms.saturating_sub(kept));
    diesel::delete(requests::table)
        .filter(requests::asked_ms.lt(before(RequestBounds::KEPT_MS)))
        .execute(conn)?;
    diesel::delete(wraps::table).filter(wraps::posted_ms.lt(before(WRAP_KEPT_MS))).execute(conn)?;
    let old: Vec<Vec<u8>> = epochs_table::table
        .filter(epochs_table::superseded_ms.lt(before(EPOCH_KEPT_MS)))
        .limit(PRUNED_MAX)
        .select(epochs_table::epoch_id)
        .load(conn)?;
    diesel::delete(epochs_table::table)
        .filter(epochs_table::epoch_id.eq_any(&old))
        .execute(conn)?;
    let current = devices::table
        .filter(devices::device_id.eq(prekeys::device_id))
        .filter(devices::prekey_id.eq(prekeys::id))
        .filter(devices::revoked_seq.is_null());
    let named = epoch_prekeys::table
        .filter(epoch_prekeys::device_id.eq(prekeys::device_id))
        .filter(epoch_prekeys::prekey_id.eq(prekeys::id));
    diesel::delete(prekeys::table)
        .filter(not(exists(current)))
        .filter(not(exists(named)))
        .execute(conn)?;
    changes::prune(conn, now_ms)
}

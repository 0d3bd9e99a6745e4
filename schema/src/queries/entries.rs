//! Queries on device logs: their entries, and the devices and keys that these add and take out.

use diesel::dsl::{exists, not, select};
use diesel::prelude::*;
use hushwire_identity::Head;
use hushwire_wire::frame::EventKind;
use hushwire_wire::{DeviceId, UserId};

use super::Conn;
use super::tables::{devices, epoch_prekeys, log_entries, log_keys, prekeys, users, wraps};
use super::{accounts, changes, column};
use crate::change::Told;
use crate::entry::{AppendError, EntryAct, NewEntry};

/// A log's entries after `after`, or all.
pub(crate) fn after(
    conn: &mut Conn,
    user: &UserId,
    after: Option<u32>,
) -> QueryResult<Vec<Vec<u8>>> {
    log_entries::table
        .filter(log_entries::log_id.eq(user.as_ref()))
        .filter(log_entries::seq.gt(after.map_or(-1, i64::from)))
        .order(log_entries::seq)
        .select(log_entries::wire)
        .load(conn)
}

pub(crate) fn append(conn: &mut Conn, entry: &NewEntry) -> Result<Vec<Told>, AppendError> {
    let newest: Option<(i64, Vec<u8>)> = log_entries::table
        .filter(log_entries::log_id.eq(entry.user.as_ref()))
        .order(log_entries::seq.desc())
        .select((log_entries::seq, log_entries::head))
        .first(conn)
        .optional()?;
    let follows =
        |(seq, head): (i64, Vec<u8>)| seq + 1 == i64::from(entry.seq) && head == entry.prev.0;
    if !newest.is_some_and(follows) {
        return Err(AppendError::Moved);
    }
    let new = match &entry.act {
        EntryAct::Add { device, ik, .. } => Some((ik, device)),
        EntryAct::RecoveryAdd { id, rk } => Some((rk, id)),
        EntryAct::Revoke { .. } | EntryAct::RecoveryDel => None,
    };
    if let Some((key, id)) = new {
        if knows_key(conn, key, id)? {
            return Err(AppendError::KeyKnown);
        }
        insert_key(conn, &entry.user, key, id)?;
    }
    match &entry.act {
        EntryAct::Add { device, ik, prekey } => {
            insert_device(conn, &entry.user, device, ik, entry.now_ms)?;
            if let Some(prekey) = prekey {
                accounts::insert_prekey(conn, prekey)?;
            }
        }
        EntryAct::Revoke { devices } => {
            for device in devices {
                revoke(conn, &entry.user, device, entry.seq)?;
            }
        }
        EntryAct::RecoveryAdd { .. } | EntryAct::RecoveryDel => {}
    }
    insert(conn, &entry.user, entry.seq, &entry.head, &entry.wire)?;
    diesel::update(users::table.find(entry.user.as_ref()))
        .set(users::keys_v.eq(users::keys_v + 1))
        .execute(conn)?;
    let own = changes::tell(conn, &entry.user, EventKind::Log, &entry.user, entry.now_ms)?;
    let mut told: Vec<Told> = own.into_iter().collect();
    told.extend(changes::tell_contacts(conn, &entry.user, EventKind::Log, entry.now_ms)?);
    Ok(told)
}

/// Appends the bytes of an entry.
pub(crate) fn insert(
    conn: &mut Conn,
    user: &UserId,
    seq: u32,
    head: &Head,
    wire: &[u8],
) -> QueryResult<()> {
    diesel::insert_into(log_entries::table)
        .values((
            log_entries::log_id.eq(user.as_ref()),
            log_entries::seq.eq(i64::from(seq)),
            log_entries::head.eq(&head.0[..]),
            log_entries::wire.eq(wire),
        ))
        .execute(conn)?;
    Ok(())
}

/// Adds an active device that has no prekey yet.
pub(crate) fn insert_device(
    conn: &mut Conn,
    user: &UserId,
    device: &DeviceId,
    ik: &[u8; 32],
    now_ms: u64,
) -> QueryResult<()> {
    diesel::insert_into(devices::table)
        .values((
            devices::device_id.eq(device.as_ref()),
            devices::log_id.eq(user.as_ref()),
            devices::ik.eq(&ik[..]),
            devices::since_ms.eq(column::ms(now_ms)),
            devices::prekey_id.eq(0),
        ))
        .execute(conn)?;
    Ok(())
}

/// Whether some log knows this key.
pub(crate) fn knows_key(conn: &mut Conn, key: &[u8; 32], id: &DeviceId) -> QueryResult<bool> {
    let known =
        log_keys::table.filter(log_keys::key.eq(&key[..]).or(log_keys::key_id.eq(id.as_ref())));
    select(exists(known)).get_result(conn)
}

/// Writes down that a log knows a key: no log may ever know it again.
pub(crate) fn insert_key(
    conn: &mut Conn,
    user: &UserId,
    key: &[u8; 32],
    id: &DeviceId,
) -> QueryResult<()> {
    diesel::insert_into(log_keys::table)
        .values((
            log_keys::key.eq(&key[..]),
            log_keys::key_id.eq(id.as_ref()),
            log_keys::log_id.eq(user.as_ref()),
        ))
        .execute(conn)?;
    Ok(())
}

/// Takes a device out. Prekeys that a kept epoch names stay as long as it does.
fn revoke(conn: &mut Conn, user: &UserId, device: &DeviceId, seq: u32) -> QueryResult<()> {
    let of_user = devices::table.find(device.as_ref()).filter(devices::log_id.eq(user.as_ref()));
    diesel::update(of_user).set(devices::revoked_seq.eq(i64::from(seq))).execute(conn)?;
    diesel::delete(wraps::table.filter(wraps::device_id.eq(device.as_ref()))).execute(conn)?;
    let named = epoch_prekeys::table
        .filter(epoch_prekeys::device_id.eq(prekeys::device_id))
        .filter(epoch_prekeys::prekey_id.eq(prekeys::id));
    diesel::delete(prekeys::table)
        .filter(prekeys::device_id.eq(device.as_ref()))
        .filter(not(exists(named)))
        .execute(conn)?;
    Ok(())
}

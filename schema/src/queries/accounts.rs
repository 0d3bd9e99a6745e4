//! Queries on accounts, devices and prekeys.

use diesel::dsl::{exists, select};
use diesel::prelude::*;
use hushwire_wire::{DeviceId, UserId};

use super::tables::{
    devices, epoch_prekeys, meta, pairs, prekeys as prekeys_table, requests, users,
};
use super::{Conn, column, entries, takes_writes};
use crate::account::{
    DomainError, LoginKey, NewAccount, PrekeyRow, PutPrekeyError, ReadError, RegisterError,
};
use crate::failure::Failure;

const DOMAIN: &str = "domain";

pub(crate) fn settle_domain(conn: &mut Conn, domain: &str) -> Result<(), DomainError> {
    let stored: Option<String> =
        meta::table.find(DOMAIN).select(meta::value).first(conn).optional()?;
    match stored {
        Some(stored) if stored == domain => Ok(()),
        Some(stored) => Err(DomainError::Other { stored }),
        None => {
            diesel::insert_into(meta::table)
                .values((meta::name.eq(DOMAIN), meta::value.eq(domain)))
                .execute(conn)?;
            Ok(())
        }
    }
}

pub(crate) fn register(conn: &mut Conn, account: &NewAccount) -> Result<(), RegisterError> {
    let user = account.user.as_ref();
    let there = users::table.find(user).filter(users::gone_ms.is_null());
    if select(exists(there)).get_result(conn)? {
        return Ok(());
    }
    let handle = account.handle.as_str();
    if select(exists(users::table.filter(users::handle.eq(handle)))).get_result(conn)? {
        return Err(RegisterError::HandleTaken);
    }
    if entries::knows_key(conn, &account.ik, &account.device)? {
        return Err(RegisterError::KeyKnown);
    }
    diesel::insert_into(users::table)
        .values((
            users::log_id.eq(user),
            users::handle.eq(handle),
            users::v.eq(1),
            users::keys_v.eq(1),
            users::since_ms.eq(column::ms(account.now_ms)),
        ))
        .execute(conn)?;
    entries::insert(conn, &account.user, 0, &account.head, &account.genesis)?;
    entries::insert_key(conn, &account.user, &account.ik, &account.device)?;
    entries::insert_device(conn, &account.user, &account.device, &account.ik, account.now_ms)?;
    insert_prekey(conn, &account.prekey)?;
    Ok(())
}

pub(crate) fn login_key(
    conn: &mut Conn,
    user: &UserId,
    device: &DeviceId,
) -> Result<Option<LoginKey>, Failure> {
    let row: Option<(Vec<u8>, i64, i64)> = devices::table
        .inner_join(users::table)
        .filter(devices::device_id.eq(device.as_ref()))
        .filter(devices::log_id.eq(user.as_ref()))
        .filter(devices::revoked_seq.is_null())
        .select((devices::ik, users::v, devices::since_ms))
        .first(conn)
        .optional()?;
    row.map(|(key, v, since)| {
        Ok(LoginKey {
            key: column::b32(&key, "ik")?,
            v: column::n64(v, "v")?,
            since_ms: column::n64(since, "since_ms")?,
        })
    })
    .transpose()
}

pub(crate) fn log(
    conn: &mut Conn,
    reader: &UserId,
    user: &UserId,
    after: Option<u32>,
) -> Result<Vec<Vec<u8>>, ReadError> {
    if !may_read(conn, reader, user)? {
        return Err(ReadError::NotFound);
    }
    Ok(entries::after(conn, user, after)?)
}

pub(crate) fn prekeys(
    conn: &mut Conn,
    reader: &UserId,
    user: &UserId,
) -> Result<Vec<PrekeyRow>, ReadError> {
    if !may_read(conn, reader, user)? {
        return Err(ReadError::NotFound);
    }
    Ok(current_prekeys(conn, user)?)
}

pub(crate) fn put_prekey(
    conn: &mut Conn,
    user: &UserId,
    prekey: &PrekeyRow,
) -> Result<Option<Vec<u8>>, PutPrekeyError> {
    let device = prekey.device.as_ref();
    let current: Option<i64> = devices::table
        .find(device)
        .filter(devices::log_id.eq(user.as_ref()))
        .filter(devices::revoked_seq.is_null())
        .select(devices::prekey_id)
        .first(conn)
        .optional()?;
    let current = current.ok_or(PutPrekeyError::NoDevice)?;
    let new = i64::from(prekey.id);
    if new == current {
        let same: bool = select(exists(
            prekeys_table::table
                .find((device, current))
                .filter(prekeys_table::record.eq(&prekey.record)),
        ))
        .get_result(conn)?;
        if same {
            return Ok(None);
        }
    }
    if new != current + 1 {
        let next = current.saturating_add(1).min(i64::from(u32::MAX));
        return Err(PutPrekeyError::NotNext { next: column::n32(next, "prekey_id")? });
    }
    let replaced = prekeys_table::table
        .find((device, current))
        .select(prekeys_table::record)
        .first(conn)
        .optional()?;
    insert_prekey(conn, prekey)?;
    diesel::update(users::table.find(user.as_ref()))
        .set(users::keys_v.eq(users::keys_v + 1))
        .execute(conn)?;
    let named = epoch_prekeys::table
        .filter(epoch_prekeys::device_id.eq(device))
        .filter(epoch_prekeys::prekey_id.eq(current));
    if !select(exists(named)).get_result::<bool>(conn)? {
        diesel::delete(prekeys_table::table.find((device, current))).execute(conn)?;
    }
    Ok(replaced)
}

pub(crate) fn ping(conn: &mut Conn) -> Result<(), Failure> {
    let _domain: Option<String> =
        meta::table.find(DOMAIN).select(meta::value).first(conn).optional()?;
    takes_writes(conn)
}

/// Oneself, accepted contacts, and somebody who waits for the reader's answer.
fn may_read(conn: &mut Conn, reader: &UserId, user: &UserId) -> QueryResult<bool> {
    if reader == user {
        let there = users::table.find(user.as_ref()).filter(users::gone_ms.is_null());
        return select(exists(there)).get_result(conn);
    }
    let (a, b) = column::ordered(*reader, *user);
    let contact = pairs::table.find((a.as_ref(), b.as_ref())).filter(pairs::ended_ms.is_null());
    if select(exists(contact)).get_result(conn)? {
        return Ok(true);
    }
    let waits = requests::table
        .filter(requests::answerer.eq(reader.as_ref()))
        .filter(requests::asker.eq(user.as_ref()));
    select(exists(waits)).get_result(conn)
}

/// The current prekeys of a user's active devices, in the order of device ids.
pub(crate) fn current_prekeys(conn: &mut Conn, user: &UserId) -> Result<Vec<PrekeyRow>, Failure> {
    prekeys_table::table
        .inner_join(devices::table)
        .filter(devices::log_id.eq(user.as_ref()))
        .filter(devices::revoked_seq.is_null())
        .filter(prekeys_table::id.eq(devices::prekey_id))
        .order(devices::device_id)
        .select((
            prekeys_table::device_id,
            prekeys_table::id,
            prekeys_table::record,
            prekeys_table::xwing,
        ))
        .load(conn)?
        .into_iter()
        .map(prekey_row)
        .collect()
}

/// A row of `prekeys`.
pub(crate) fn prekey_row(
    (device, id, record, xwing): (Vec<u8>, i64, Vec<u8>, Option<Vec<u8>>),
) -> Result<PrekeyRow, Failure> {
    Ok(PrekeyRow { device: column::device(&device)?, id: column::n32(id, "id")?, record, xwing })
}

/// Makes a prekey the current one of its device.
pub(crate) fn insert_prekey(conn: &mut Conn, prekey: &PrekeyRow) -> QueryResult<()> {
    diesel::insert_into(prekeys_table::table)
        .values((
            prekeys_table::device_id.eq(prekey.device.as_ref()),
            prekeys_table::id.eq(i64::from(prekey.id)),
            prekeys_table::record.eq(&prekey.record),
            prekeys_table::xwing.eq(prekey.xwing.as_deref()),
        ))
        .execute(conn)?;
    diesel::update(devices::table.find(prekey.device.as_ref()))
        .set(devices::prekey_id.eq(i64::from(prekey.id)))
        .execute(conn)?;
    Ok(())
}

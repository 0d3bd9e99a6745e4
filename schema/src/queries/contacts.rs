//! Queries on contact requests and contacts.

use diesel::dsl::{exists, select};
use diesel::prelude::*;
use hushwire_wire::frame::EventKind;
use hushwire_wire::http::{ContactState, EpochRef};
use hushwire_wire::{RequestId, UserId};

use super::Conn;
use super::tables::{blocks, epochs as epochs_table, pairs, requests, users};
use super::{changes, column, epochs};
use crate::account::ReadError;
use crate::change::{Acquaintance, Told};
use crate::contact::{
    AcceptError, Asked, CONTACTS_MAX, ContactList, ContactRow, NewRequest, RequestBounds,
    RequestError, Requested,
};
use crate::epoch::{NewEpoch, PairStamp};
use crate::failure::Failure;

const DAY_MS: u64 = 86_400_000;

pub(crate) fn request(conn: &mut Conn, new: &NewRequest) -> Result<Requested, RequestError> {
    let asker = new.asker.as_ref();
    let handle = new.handle.as_str();
    let repeat = requests::table.find(new.id.as_ref()).filter(requests::asker.eq(asker));
    let accepted = pairs::table
        .filter(pairs::request_id.eq(new.id.as_ref()))
        .filter(pairs::a.eq(asker).or(pairs::b.eq(asker)));
    if select(exists(repeat)).get_result(conn)? || select(exists(accepted)).get_result(conn)? {
        return Ok(Requested::Silent);
    }
    count_today(conn, new)?;
    let asked = named(conn, new)?;
    // Whoever cannot be reached is looked at like somebody who can: the same statements, with a
    // user that there is not.
    let other = asked.unwrap_or(UserId::ZERO);
    let (a, b) = column::ordered(new.asker, other);
    let contact = pairs::table.find((a.as_ref(), b.as_ref())).filter(pairs::ended_ms.is_null());
    let is_contact: bool = select(exists(contact)).get_result(conn)?;
    let is_blocked: bool =
        select(exists(blocks::table.find((other.as_ref(), asker)))).get_result(conn)?;
    if select(exists(blocks::table.find((asker, other.as_ref())))).get_result(conn)? {
        return Err(RequestError::Blocking);
    }
    if let Some(first) = asked_by(conn, &other, &new.asker)? {
        return Ok(Requested::Crossed(first));
    }
    // One open request per username: a newer one takes the place of the older.
    diesel::delete(requests::table.filter(requests::asker.eq(asker)))
        .filter(requests::handle.eq(handle))
        .execute(conn)?;
    check_open(conn, new)?;
    let has_room = has_room(conn, &other, new.bounds.waiting)?;
    let answerer = asked.filter(|_| !is_contact && !is_blocked && has_room);
    diesel::insert_into(requests::table)
        .values((
            requests::request_id.eq(new.id.as_ref()),
            requests::asker.eq(asker),
            requests::handle.eq(handle),
            requests::answerer.eq(answerer.as_ref().map(AsRef::<[u8]>::as_ref)),
            requests::request.eq(&new.bytes),
            requests::asked_ms.eq(column::ms(new.now_ms)),
        ))
        .execute(conn)?;
    let told = answerer.unwrap_or(UserId::ZERO);
    let told = changes::tell(conn, &told, EventKind::Request, &new.asker, new.now_ms)?;
    Ok(told.map_or(Requested::Silent, Requested::Delivered))
}

/// Counts a request, whatever becomes of it.
fn count_today(conn: &mut Conn, new: &NewRequest) -> Result<(), RequestError> {
    let asker = users::table.find(new.asker.as_ref()).filter(users::gone_ms.is_null());
    let day = new.now_ms / DAY_MS;
    let (counted, count): (i64, i64) =
        asker.select((users::asked_day, users::asked_count)).first(conn)?;
    let made = if counted == column::ms(day) { column::n32(count, "asked_count")? } else { 0 };
    if new.bounds.per_day > 0 && made >= new.bounds.per_day {
        let retry_after_ms = (day + 1) * DAY_MS - new.now_ms;
        return Err(RequestError::TooManyToday { made, retry_after_ms });
    }
    diesel::update(asker)
        .set((users::asked_day.eq(column::ms(day)), users::asked_count.eq(i64::from(made) + 1)))
        .execute(conn)?;
    Ok(())
}

/// The user of this name, if the request means that one, and it is somebody else.
fn named(conn: &mut Conn, new: &NewRequest) -> Result<Option<UserId>, Failure> {
    let found: Option<Vec<u8>> = users::table
        .filter(users::handle.eq(new.handle.as_str()))
        .filter(users::gone_ms.is_null())
        .select(users::log_id)
        .first(conn)
        .optional()?;
    let Some(found) = found else { return Ok(None) };
    let found = column::user(&found)?;
    Ok((found != new.asker && new.to.is_none_or(|to| to == found)).then_some(found))
}

/// The request with which `asker` waits for an answer of `answerer`.
fn asked_by(
    conn: &mut Conn,
    asker: &UserId,
    answerer: &UserId,
) -> Result<Option<RequestId>, Failure> {
    let found: Option<Vec<u8>> = requests::table
        .filter(requests::answerer.eq(answerer.as_ref()))
        .filter(requests::asker.eq(asker.as_ref()))
        .select(requests::request_id)
        .first(conn)
        .optional()?;
    found.map(|id| column::request(&id)).transpose()
}

fn check_open(conn: &mut Conn, new: &NewRequest) -> Result<(), RequestError> {
    let asker = new.asker.as_ref();
    let kept_since = column::ms(new.now_ms.saturating_sub(RequestBounds::KEPT_MS));
    diesel::delete(requests::table.filter(requests::asker.eq(asker)))
        .filter(requests::asked_ms.lt(kept_since))
        .execute(conn)?;
    let open_since = column::ms(new.now_ms.saturating_sub(new.bounds.open_ms));
    let times: Vec<i64> = requests::table
        .filter(requests::asker.eq(asker))
        .filter(requests::asked_ms.gt(open_since))
        .order(requests::asked_ms)
        .select(requests::asked_ms)
        .load(conn)?;
    let open = u32::try_from(times.len()).unwrap_or(u32::MAX);
    if open < new.bounds.asked {
        return Ok(());
    }
    let oldest = times.first().copied().unwrap_or_default();
    let until = column::n64(oldest, "asked_ms")?.saturating_add(new.bounds.open_ms);
    Err(RequestError::TooMany { open, retry_after_ms: until.saturating_sub(new.now_ms).max(1) })
}

fn has_room(conn: &mut Conn, answerer: &UserId, bound: u32) -> QueryResult<bool> {
    let waiting: i64 = requests::table
        .filter(requests::answerer.eq(answerer.as_ref()))
        .count()
        .get_result(conn)?;
    Ok(waiting < i64::from(bound))
}

/// `a`, `b`, the request, and the newest epoch's number and id.
type ActiveColumns = (Vec<u8>, Vec<u8>, Option<Vec<u8>>, i64, Vec<u8>);

pub(crate) fn list(conn: &mut Conn, user: &UserId) -> Result<ContactList, ReadError> {
    let there = users::table.find(user.as_ref()).filter(users::gone_ms.is_null());
    let v: Option<i64> = there.select(users::v).first(conn).optional()?;
    let v = column::n64(v.ok_or(ReadError::NotFound)?, "v")?;
    let active: Vec<ActiveColumns> = pairs::table
        .filter(pairs::a.eq(user.as_ref()).or(pairs::b.eq(user.as_ref())))
        .filter(pairs::request_id.is_not_null())
        .filter(pairs::ended_ms.is_null())
        .select((pairs::a, pairs::b, pairs::request, pairs::newest_n, pairs::newest_epoch))
        .load(conn)?;
    let mut contacts = Vec::with_capacity(active.len());
    for (a, b, request, n, epoch) in active {
        let (a, b) = (column::user(&a)?, column::user(&b)?);
        contacts.push(ContactRow {
            peer: if a == *user { b } else { a },
            state: ContactState::Active,
            request: request.ok_or(Failure::Corrupt("request"))?,
            newest: Some(EpochRef { n: column::n32(n, "n")?, epoch: column::epoch(&epoch)? }),
        });
    }
    contacts.sort_by_key(|contact| contact.peer);
    let blocked: Vec<(Vec<u8>, Vec<u8>)> = blocks::table
        .filter(blocks::blocker.eq(user.as_ref()))
        .order(blocks::blocked)
        .select((blocks::blocked, blocks::request))
        .load(conn)?;
    for (peer, request) in blocked {
        let (peer, state) = (column::user(&peer)?, ContactState::Blocked);
        contacts.push(ContactRow { peer, state, request, newest: None });
    }
    let waiting: Vec<(Vec<u8>, Vec<u8>)> = requests::table
        .filter(requests::answerer.eq(user.as_ref()))
        .order((requests::asked_ms, requests::request_id))
        .select((requests::asker, requests::request))
        .load(conn)?;
    for (asker, request) in waiting {
        let (peer, state) = (column::user(&asker)?, ContactState::Requested);
        let newest = last_epoch(conn, user, &peer)?;
        contacts.push(ContactRow { peer, state, request, newest });
    }
    Ok(ContactList { v, contacts })
}

/// The last epoch of a contact that ended: whoever accepts again goes on counting from there.
fn last_epoch(conn: &mut Conn, user: &UserId, peer: &UserId) -> Result<Option<EpochRef>, Failure> {
    let (a, b) = column::ordered(*user, *peer);
    let last: Option<(i64, Vec<u8>)> = pairs::table
        .find((a.as_ref(), b.as_ref()))
        .select((pairs::newest_n, pairs::newest_epoch))
        .first(conn)
        .optional()?;
    let last = last.map(|(n, epoch)| {
        Ok::<_, Failure>(EpochRef { n: column::n32(n, "newest_n")?, epoch: column::epoch(&epoch)? })
    });
    last.transpose()
}

pub(crate) fn asked(
    conn: &mut Conn,
    answerer: &UserId,
    request: &RequestId,
    now_ms: u64,
) -> Result<Option<Asked>, Failure> {
    let waiting: Option<Vec<u8>> = requests::table
        .find(request.as_ref())
        .filter(requests::answerer.eq(answerer.as_ref()))
        .select(requests::asker)
        .first(conn)
        .optional()?;
    let (asker, accepted) = match waiting {
        Some(asker) => (column::user(&asker)?, false),
        None => match accepted_before(conn, answerer, request)? {
            Some(asker) => (asker, true),
            None => return Ok(None),
        },
    };
    let keys = epochs::snapshot(conn, answerer, &asker, now_ms)?;
    Ok(Some(Asked { asker, accepted, keys }))
}

/// The other user of the contact that this request began.
fn accepted_before(
    conn: &mut Conn,
    user: &UserId,
    request: &RequestId,
) -> Result<Option<UserId>, Failure> {
    let pair: Option<(Vec<u8>, Vec<u8>)> = pairs::table
        .filter(pairs::request_id.eq(request.as_ref()))
        .filter(pairs::ended_ms.is_null())
        .select((pairs::a, pairs::b))
        .first(conn)
        .optional()?;
    let Some((a, b)) = pair else { return Ok(None) };
    let (a, b) = (column::user(&a)?, column::user(&b)?);
    Ok(if a == *user {
        Some(b)
    } else if b == *user {
        Some(a)
    } else {
        None
    })
}

pub(crate) fn accept(
    conn: &mut Conn,
    answerer: &UserId,
    request: &RequestId,
    stamp: &PairStamp,
    epoch: &NewEpoch,
) -> Result<Vec<Told>, AcceptError> {
    let waiting: Option<(Vec<u8>, Vec<u8>)> = requests::table
        .find(request.as_ref())
        .filter(requests::answerer.eq(answerer.as_ref()))
        .select((requests::asker, requests::request))
        .first(conn)
        .optional()?;
    let (asker, bytes) = waiting.ok_or(AcceptError::NotFound)?;
    let asker = column::user(&asker)?;
    if !epochs::is_current(conn, stamp)? || (stamp.a, stamp.b) != column::ordered(*answerer, asker)
    {
        return Err(AcceptError::Moved);
    }
    for user in [answerer, &asker] {
        let contacts: i64 = pairs::table
            .filter(pairs::a.eq(user.as_ref()).or(pairs::b.eq(user.as_ref())))
            .filter(pairs::ended_ms.is_null())
            .count()
            .get_result(conn)?;
        if usize::try_from(contacts).unwrap_or(usize::MAX) >= CONTACTS_MAX {
            return Err(AcceptError::TooMany);
        }
    }
    epochs::insert(conn, stamp, epoch, Some((request, &bytes)))?;
    diesel::delete(requests::table.find(request.as_ref())).execute(conn)?;
    let mut told = Vec::with_capacity(2);
    for (user, peer) in [(answerer, &asker), (&asker, answerer)] {
        told.extend(changes::tell(conn, user, EventKind::Accepted, peer, epoch.now_ms)?);
    }
    Ok(told)
}

pub(crate) fn acquainted(
    conn: &mut Conn,
    user: &UserId,
    most: usize,
) -> Result<Vec<Acquaintance>, Failure> {
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = pairs::table
        .inner_join(epochs_table::table.on(epochs_table::epoch_id.eq(pairs::newest_epoch)))
        .filter(pairs::a.eq(user.as_ref()).or(pairs::b.eq(user.as_ref())))
        .filter(pairs::request_id.is_not_null())
        .filter(pairs::ended_ms.is_null())
        .order((epochs_table::posted_ms.desc(), pairs::a, pairs::b))
        .limit(i64::try_from(most).unwrap_or(i64::MAX))
        .select((pairs::a, pairs::b))
        .load(conn)?;
    let mut told = Vec::with_capacity(pairs.len());
    for (a, b) in pairs {
        let (a, b) = (column::user(&a)?, column::user(&b)?);
        let other = if a == *user { b } else { a };
        let v = users::table.find(other.as_ref()).select(users::v).first(conn)?;
        told.push(Acquaintance { user: other, v: column::n64(v, "v")? });
    }
    Ok(told)
}

//! `POST /v1/log`: the next entry of the caller's own log (CRYPTO 3).
//!
//! Whatever the log's rules allow is taken, whichever of its keys signed it. The database comes
//! first, then the engine, then the answer. If the process ends in between, a repeat of the same
//! entry is answered as the first was, and cuts what it revokes once more.

use actix_web::{HttpResponse, web};
use hushwire_identity::log::device_id;
use hushwire_identity::{DeviceLog, Entry, LogError, Payload};
use hushwire_schema::{AppendError, EntryAct, NewEntry, PrekeyRow};
use hushwire_wire::EntryHash;
use hushwire_wire::http::{LogAppend, LogHead, PrekeyBundle, ProblemCode};

use super::accounts::{AHEAD_MAX_MS, verified};
use super::body::Signed;
use super::caller::Caller;
use super::posting::TRIES;
use super::problem::{Bound, Refusal};
use super::users::own_log;
use super::{State, too_often};

pub(super) async fn append(
    state: web::Data<State>,
    Signed(caller, append): Signed<LogAppend>,
) -> Result<HttpResponse, Refusal> {
    let bytes = append.entry.as_bytes();
    let entry = Entry::parse(bytes).map_err(|error| Refusal::field("entry", error.to_string()))?;
    let draft = &entry.draft;
    if draft.log != caller.user {
        return Err(Refusal::field("entry", "an entry of the caller's own log"));
    }
    if draft.time_ms > state.now_ms().saturating_add(AHEAD_MAX_MS) {
        return Err(Refusal::field("entry", "a time that is at most 24 hours ahead"));
    }
    let mut admitted = false;
    let appended = LogHead { seq: draft.seq, head: EntryHash(entry.head.0) };
    for _ in 0..TRIES {
        let log = own_log(&state, caller).await?;
        if log.head_at(draft.seq) == Some(entry.head) {
            // An answer was lost: the same entry again.
            cut(&state, caller, &draft.payload).await?;
            return Ok(HttpResponse::Created().json(appended));
        }
        if !std::mem::replace(&mut admitted, true) {
            admit(&state, caller)?;
        }
        let next = extended(&log, bytes, &draft.payload, state.settings.limits.devices)?;
        let prekey = first_prekey(append.prekey.as_ref(), &draft.payload, &next)?;
        let new = NewEntry {
            user: caller.user,
            seq: draft.seq,
            prev: log.head(),
            head: entry.head,
            wire: bytes.to_vec(),
            act: act(&draft.payload, prekey)?,
            now_ms: state.now_ms(),
        };
        match state.store.append(new).await {
            Ok(told) => {
                // Every epoch of every pair names a head that is not the newest any more.
                let pairs = told.iter().map(|told| (caller.user, told.user)).collect();
                let told = state.tell(pairs, told).await;
                cut(&state, caller, &draft.payload).await?;
                told?;
                return Ok(HttpResponse::Created().json(appended));
            }
            Err(AppendError::Moved) => {}
            Err(AppendError::KeyKnown) => {
                let detail = "Some account knows this key already. Make a new one.";
                return Err(Refusal::new(ProblemCode::KeyKnown, detail));
            }
            Err(AppendError::Failed(failure)) => return Err(Refusal::unavailable(failure)),
        }
    }
    Err(Refusal::unavailable("the log kept changing"))
}

/// Each entry is verified by everybody who looks at the log, and told to all contacts.
fn admit(state: &State, caller: Caller) -> Result<(), Refusal> {
    let rate = state.settings.limits.log_entries_per_hour;
    state.log_entries.admit(caller.user, state.now_ms()).map_err(|ms| {
        too_often("Entries of one log in an hour", "limits.log_entries_per_hour", rate, ms)
    })
}

/// The log with the entry, if it keeps every rule.
fn extended(
    log: &DeviceLog,
    bytes: &[u8],
    payload: &Payload,
    devices: u32,
) -> Result<DeviceLog, Refusal> {
    let used = u32::try_from(log.devices().count()).unwrap_or(u32::MAX);
    let mut next = log.clone();
    match next.extend(bytes) {
        Err(LogError::Link) => {
            let detail = "The entry does not follow the newest one. Fetch the log, verify it, and \
                          make the entry again.";
            let head = LogHead { seq: log.seq(), head: EntryHash(log.head().0) };
            Err(Refusal::new(ProblemCode::LogConflict, detail).log(head))
        }
        Ok(()) | Err(LogError::Limit)
            if matches!(payload, Payload::Add { .. }) && used >= devices =>
        {
            Err(Refusal::reached("Devices", Bound::new("limits.devices", devices, used)))
        }
        Err(error) => Err(Refusal::field("entry", error.to_string())),
        Ok(()) => Ok(next),
    }
}

/// The first prekey of a device that is added, if it came along.
fn first_prekey(
    bundle: Option<&PrekeyBundle>,
    payload: &Payload,
    log: &DeviceLog,
) -> Result<Option<PrekeyRow>, Refusal> {
    let Some(bundle) = bundle else { return Ok(None) };
    let Payload::Add { ik, .. } = payload else {
        return Err(Refusal::field("prekey", "nothing, unless a device is added"));
    };
    let prekey = verified(bundle, log)?;
    if prekey.device != device_id(ik) || prekey.id != 1 {
        return Err(Refusal::field("prekey.record", "the id 1, for the device that is added"));
    }
    Ok(Some(prekey))
}

/// What the store does with the entry.
fn act(payload: &Payload, prekey: Option<PrekeyRow>) -> Result<EntryAct, Refusal> {
    Ok(match payload {
        Payload::Genesis { .. } => return Err(Refusal::field("entry", "no genesis entry")),
        Payload::Add { ik, .. } => EntryAct::Add { device: device_id(ik), ik: *ik, prekey },
        Payload::Revoke { devices, .. } => EntryAct::Revoke { devices: devices.clone() },
        Payload::RecoveryAdd { rk } => EntryAct::RecoveryAdd { id: device_id(rk), rk: *rk },
        Payload::RecoveryDel { .. } => EntryAct::RecoveryDel,
    })
}

/// Cuts the connections of the devices that an entry takes out, and drops their queues and tokens.
async fn cut(state: &State, caller: Caller, payload: &Payload) -> Result<(), Refusal> {
    let Payload::Revoke { devices, .. } = payload else { return Ok(()) };
    state.engine.revoke(caller.user, devices).await.map_err(Refusal::unavailable)
}

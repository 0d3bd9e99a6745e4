//! `GET /v1/server`, `POST /v1/accounts`.

use actix_web::{HttpRequest, HttpResponse, web};
use hushwire_identity::{DeviceLog, Prekey};
use hushwire_schema::{NewAccount, PrekeyRow, RegisterError};
use hushwire_wire::Encoding;
use hushwire_wire::http::{PrekeyBundle, ProblemCode, Register, Registered, ServerCard};

use super::body::Body;
use super::problem::Refusal;
use super::{State, address, too_often};

/// How far a genesis entry's time may lie ahead, in milliseconds: no later entry may be earlier.
pub(super) const AHEAD_MAX_MS: u64 = 86_400_000;

pub(super) async fn server(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(ServerCard {
        domain: state.domain().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocols: Encoding::ALL.map(|encoding| encoding.subprotocol().to_owned()).to_vec(),
        server_time: state.now_ms(),
        message_interval_ms: state.settings.limits.message_interval_ms,
    })
}

pub(super) async fn register(
    state: web::Data<State>,
    req: HttpRequest,
    body: Body<Register>,
) -> Result<HttpResponse, Refusal> {
    let now_ms = state.now_ms();
    let rate = state.settings.limits.registrations_per_hour;
    state.registrations.admit(address(&state, &req)?, now_ms).map_err(|ms| {
        let rule = "limits.registrations_per_hour";
        too_often("Accounts from one address in an hour", rule, rate, ms)
    })?;
    let Body(Register { genesis, prekey }) = body;
    let log = DeviceLog::genesis(genesis.as_bytes())
        .map_err(|error| Refusal::field("genesis", error.to_string()))?;
    if log.domain() != state.domain() {
        let expected = format!("an entry for the domain {}", state.domain());
        return Err(Refusal::field("genesis", expected));
    }
    if log.time_ms() > now_ms.saturating_add(AHEAD_MAX_MS) {
        return Err(Refusal::field("genesis", "a time that is at most 24 hours ahead"));
    }
    let device = log.devices().next().ok_or_else(|| Refusal::field("genesis", "a device"))?;
    let prekey = verified(&prekey, &log)?;
    if prekey.id != 1 {
        return Err(Refusal::field("prekey.record", "the id 1 for a device's first prekey"));
    }
    let (user, device_id) = (log.user(), device.id);
    let account = NewAccount {
        user,
        handle: log.handle().clone(),
        device: device_id,
        ik: device.ik,
        genesis: genesis.as_bytes().to_vec(),
        head: log.head(),
        prekey,
        now_ms,
    };
    state.store.register(account).await.map_err(|error| match error {
        RegisterError::HandleTaken => Refusal::new(
            ProblemCode::HandleTaken,
            "Somebody has this username. Choose another one.",
        ),
        RegisterError::KeyKnown => Refusal::new(
            ProblemCode::KeyKnown,
            "Some account knows this key already. Make a new one.",
        ),
        RegisterError::Failed(failure) => Refusal::unavailable(failure),
    })?;
    Ok(HttpResponse::Created().json(Registered { user, device: device_id }))
}

/// Verifies a prekey against its owner's log (CRYPTO 4 and 10): everything but its id's order.
pub(super) fn verified(bundle: &PrekeyBundle, log: &DeviceLog) -> Result<PrekeyRow, Refusal> {
    let xwing = bundle.xwing.as_ref().map(|key| key.as_bytes());
    let prekey = Prekey::verified(bundle.record.as_bytes(), xwing, log)
        .map_err(|error| Refusal::field("prekey", error.to_string()))?;
    Ok(PrekeyRow {
        device: prekey.record.device,
        id: prekey.record.id,
        record: bundle.record.as_bytes().to_vec(),
        xwing: prekey.xwing,
    })
}

/// A stored prekey as it travels.
pub(super) fn bundle(row: PrekeyRow) -> PrekeyBundle {
    PrekeyBundle { record: row.record.into(), xwing: row.xwing.map(Into::into) }
}

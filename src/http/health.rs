//! `GET /healthz`: the process answers. `GET /readyz`: it should be sent work.

use actix_web::{HttpResponse, web};
use hushwire_actors::Readiness;
use hushwire_wire::http::ProblemCode;
use serde::Serialize;

use super::State;
use super::problem::Refusal;

/// What `/readyz` says of a server that is ready.
#[derive(Debug, Serialize)]
struct Ready {
    status: &'static str,
    sockets: usize,
    devices: usize,
    queued_messages: u64,
    queued_bytes: u64,
}

pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "ok" }))
}

pub(super) async fn readyz(state: web::Data<State>) -> Result<HttpResponse, Refusal> {
    let not_ready = |why: String| Err(Refusal::new(ProblemCode::Unavailable, why));
    match state.engine.is_ready() {
        Readiness::Ready => {}
        Readiness::Draining => {
            return not_ready("Draining: the server is about to stop.".to_owned());
        }
        Readiness::Degraded { what } => return not_ready(format!("Degraded: {what}.")),
        Readiness::Failing { what } => return not_ready(format!("Failing: {what}.")),
    }
    if let Err(failure) = state.store.ping().await {
        // Its causes may name hosts and roles: they are for the log.
        let refusal = Refusal::unavailable(failure.clone());
        return Err(refusal.told(format!("The database: {failure}.")));
    }
    let counts = state.engine.counts();
    Ok(HttpResponse::Ok().json(Ready {
        status: "ready",
        sockets: counts.sockets,
        devices: counts.devices,
        queued_messages: counts.queued_messages,
        queued_bytes: counts.queued_bytes,
    }))
}

//! `POST /v1/auth/challenge`, `POST /v1/auth/token` (DELIVERY, "Signing in").

use actix_web::{HttpRequest, HttpResponse, web};
use hushwire_wire::http::{AuthAnswer, AuthChallenge, AuthToken};

use super::body::Body;
use super::problem::Refusal;
use super::{State, address, too_often};
use crate::adapters::sign_in;

pub(super) async fn challenge(
    state: web::Data<State>,
    req: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    admit(&state, &req)?;
    let nonce = state.engine.issue_nonce().await.map_err(Refusal::unavailable)?;
    let domain = state.domain().to_owned();
    let server_time = state.now_ms();
    Ok(HttpResponse::Ok().json(AuthChallenge { nonce, domain, server_time }))
}

pub(super) async fn token(
    state: web::Data<State>,
    body: Body<AuthAnswer>,
) -> Result<HttpResponse, Refusal> {
    let Body(AuthAnswer { user, key_id, nonce, signature }) = body;
    if !state.engine.take_nonce(nonce).await.map_err(Refusal::unavailable)? {
        return Err(Refusal::unauthenticated(
            "The challenge is not known, was answered before, or is older than 60 seconds.",
        ));
    }
    let (store, domain) = (&*state.store, state.domain());
    let signed_in = sign_in(store, domain, user, key_id, &nonce, signature.as_bytes())
        .await
        .map_err(Refusal::unavailable)?
        .ok_or_else(|| {
            Refusal::unauthenticated(
                "No active device of this user signed this challenge for this domain.",
            )
        })?;
    let (token, until) = state
        .engine
        .issue_token(signed_in.user, signed_in.device)
        .await
        .map_err(Refusal::unavailable)?;
    Ok(HttpResponse::Ok().json(AuthToken { token, until }))
}

/// A challenge is where a sign-in is counted: an answer without one is worth nothing.
fn admit(state: &State, req: &HttpRequest) -> Result<(), Refusal> {
    let Some(from) = address(state, req)? else { return Ok(()) };
    let rate = state.settings.limits.sign_ins_per_minute;
    state.sign_ins.admit(from).map_err(|ms| {
        let rule = "limits.sign_ins_per_minute";
        too_often("Sign-ins from one address in a minute", rule, rate, ms)
    })
}

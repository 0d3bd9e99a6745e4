//! `DELETE /v1/account`: the end of an account.
//!
//! The database comes first, in one step: from then on no device of the account signs in, and no
//! contact reaches it. Then the engine closes its connections and drops its queues and tokens. If
//! the process ends in between, what is left are queues that nobody can read any more, and tokens
//! that find no account; both end by themselves.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use hushwire_schema::Deleted;
use hushwire_wire::http::AuthAnswer;

use super::State;
use super::body::Signed;
use super::caller::Caller;
use super::problem::Refusal;
use crate::adapters::sign_in;

/// How often the engine is asked to forget a deleted account: the client cannot ask again.
const CUTS: u32 = 5;
/// How long to wait between two tries.
const CUT_AGAIN: Duration = Duration::from_millis(200);

pub(super) async fn delete(
    state: web::Data<State>,
    Signed(caller, proof): Signed<AuthAnswer>,
) -> Result<HttpResponse, Refusal> {
    prove(&state, caller, &proof).await?;
    let deleted = state.store.delete_account(caller.user, state.now_ms()).await;
    let deleted = deleted.map_err(Refusal::unavailable)?;
    // Another device of the account was faster.
    let Deleted { devices, told } = deleted.ok_or_else(Refusal::not_found)?;
    let own = std::iter::once((caller.user, caller.user));
    let pairs = own.chain(told.iter().map(|told| (caller.user, told.user))).collect();
    let told = state.tell(pairs, told).await;
    let mut cut = state.engine.revoke(caller.user, &devices).await;
    for _ in 1..CUTS {
        if cut.is_ok() {
            break;
        }
        tokio::time::sleep(CUT_AGAIN).await;
        cut = state.engine.revoke(caller.user, &devices).await;
    }
    cut.map_err(Refusal::unavailable)?;
    told?;
    Ok(HttpResponse::NoContent().finish())
}

/// The device that asks must sign a fresh challenge: whoever has its token only is not it.
async fn prove(state: &State, caller: Caller, proof: &AuthAnswer) -> Result<(), Refusal> {
    let AuthAnswer { user, key_id, nonce, signature } = proof;
    if (*user, *key_id) != (caller.user, caller.device) {
        return Err(Refusal::unauthenticated("The proof must be that of the device that asks."));
    }
    if !state.engine.take_nonce(*nonce).await.map_err(Refusal::unavailable)? {
        return Err(Refusal::unauthenticated(
            "The challenge is not known, was answered before, or is older than 60 seconds.",
        ));
    }
    let (store, domain) = (&*state.store, state.domain());
    let proven = sign_in(store, domain, *user, *key_id, nonce, signature.as_bytes()).await;
    let proven = proven.map_err(Refusal::unavailable)?;
    proven.map(|_| ()).ok_or_else(|| {
        Refusal::unauthenticated("The device did not sign this challenge for this domain.")
    })
}

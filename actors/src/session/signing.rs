//! Signing in: the signature is checked, and a token for the HTTP interface is issued.

use std::sync::Arc;

use hushwire_wire::Token;
use hushwire_wire::limits::TOKEN_TTL_MS;

use super::greeting::Greeted;
use super::open::Welcoming;
use crate::node::Node;
use crate::ports::{SignedIn, Unavailable};
use crate::queue::Call;

/// Checks the signature and issues a token for the HTTP interface, kept only as a hash.
pub(super) async fn sign_in(
    node: Arc<Node>,
    (id, hello, nonce): Greeted,
) -> Result<Option<(SignedIn, Welcoming)>, Unavailable> {
    let Some(me) = node.ports.accounts.authenticate(&hello, &nonce).await? else {
        return Ok(None);
    };
    let (token, token_until) = issue_token(&node, &me).await?;
    Ok(Some((me, Welcoming { id, token, token_until })))
}

/// Issues a token for a device.
pub(crate) async fn issue_token(node: &Node, me: &SignedIn) -> Result<(Token, u64), Unavailable> {
    let token = Token(node.random());
    let hash = node.ports.digest.digest(&token.0);
    let ttl_ms = TOKEN_TTL_MS;
    let until = node.ports.clock.now_ms() + ttl_ms;
    let (user, device) = (me.user, me.device);
    node.intake.ask(Call::PutToken { hash, user, device, ttl_ms }).await?;
    Ok((token, until))
}

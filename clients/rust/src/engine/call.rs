//! HTTP calls: JSON both ways, problems as errors, and the token.

use hushwire_wire::http::{AuthAnswer, AuthChallenge, AuthToken, Problem};
use hushwire_wire::{Sealed, Token};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Engine;
use crate::error::ClientError;
use crate::transport::{Call, Method, Reply, Transport};

/// A token is renewed so long before its end, in milliseconds.
const TOKEN_MARGIN_MS: u64 = 60_000;

impl Engine {
    pub(super) async fn get<T: DeserializeOwned>(
        &mut self,
        path: String,
    ) -> Result<T, ClientError> {
        decode(&self.signed(Method::Get, path, None).await?)
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        decode(&self.send_body(Method::Post, path, body).await?)
    }

    /// A call whose answer says nothing but that it was done.
    pub(super) async fn send_body(
        &mut self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Reply, ClientError> {
        let body = serde_json::to_vec(body).map_err(|_| ClientError::Nonsense)?;
        self.signed(method, path.to_owned(), Some(body)).await
    }

    /// Makes a call with a token; with a new one, once, if the server does not know it. What was
    /// written so far is durable before the server hears anything.
    pub(super) async fn signed(
        &mut self,
        method: Method,
        path: String,
        body: Option<Vec<u8>>,
    ) -> Result<Reply, ClientError> {
        self.settle()?;
        for last in [false, true] {
            let token = Some(self.token(last).await?);
            let call = Call { method, path: path.clone(), token, body: body.clone() };
            let reply = self.transport.call(call).await?;
            if reply.status != 401 || last {
                return judge(reply);
            }
        }
        Err(ClientError::Nonsense)
    }

    pub(super) async fn token(&mut self, renew: bool) -> Result<Token, ClientError> {
        let now = self.clock.now_ms();
        if let Some((token, until)) = &self.token
            && !renew
            && now + TOKEN_MARGIN_MS < *until
        {
            return Ok(token.clone());
        }
        let answer = self.proof().await?;
        let body = serde_json::to_vec(&answer).map_err(|_| ClientError::Nonsense)?;
        let path = "/v1/auth/token";
        let token: AuthToken = open(&*self.transport, Method::Post, path, Some(body)).await?;
        self.token = Some((token.token.clone(), token.until));
        Ok(token.token)
    }

    /// The answer to a fresh challenge, signed by this device.
    pub(super) async fn proof(&mut self) -> Result<AuthAnswer, ClientError> {
        let path = "/v1/auth/challenge";
        let challenge: AuthChallenge = open(&*self.transport, Method::Post, path, None).await?;
        if challenge.domain != self.account.domain {
            return Err(ClientError::Domain);
        }
        let user = self.account.user;
        let signature = self.key.login(&challenge.domain, &challenge.nonce, &user);
        Ok(AuthAnswer {
            user,
            key_id: self.key.device_id(),
            nonce: challenge.nonce,
            signature: Sealed::new(signature.to_vec()),
        })
    }
}

/// A call without a token.
pub(super) async fn open<T: DeserializeOwned>(
    transport: &dyn Transport,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
) -> Result<T, ClientError> {
    let call = Call { method, path: path.to_owned(), token: None, body };
    decode(&judge(transport.call(call).await?)?)
}

pub(super) fn judge(reply: Reply) -> Result<Reply, ClientError> {
    if (200..300).contains(&reply.status) {
        return Ok(reply);
    }
    match serde_json::from_slice::<Problem>(&reply.body) {
        Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
        Err(_) => Err(ClientError::Nonsense),
    }
}

pub(super) fn decode<T: DeserializeOwned>(reply: &Reply) -> Result<T, ClientError> {
    serde_json::from_slice(&reply.body).map_err(|_| ClientError::Nonsense)
}

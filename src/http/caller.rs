//! Who calls: the device that a token was given to, and the ids in a path.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};
use hushwire_wire::{DeviceId, Token, UserId};

use super::State;
use super::problem::Refusal;

/// A signed-in device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// Its user.
    pub(crate) user: UserId,
    /// The device.
    pub(crate) device: DeviceId,
}

impl FromRequest for Caller {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let state = req.app_data::<web::Data<State>>().cloned();
        let token = bearer(req);
        Box::pin(async move {
            let state = state.ok_or_else(|| Refusal::internal("no state is set"))?;
            let token = token.ok_or_else(|| {
                Refusal::unauthenticated("Send the header Authorization: Bearer TOKEN.")
            })?;
            match state.engine.check_token(&token).await {
                Ok(Some((user, device))) => {
                    state.admit_call(&user)?;
                    Ok(Self { user, device })
                }
                Ok(None) => Err(Refusal::unauthenticated(
                    "The token is not known, or has ended. Sign in again.",
                )),
                Err(unavailable) => Err(Refusal::unavailable(unavailable)),
            }
        })
    }
}

fn bearer(req: &HttpRequest) -> Option<Token> {
    let mut given = req.headers().get_all(AUTHORIZATION);
    let (value, none) = (given.next()?, given.next());
    if none.is_some() {
        return None;
    }
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    Token::from_base64url(token.trim())
}

/// An id in the path, base64url without padding.
pub(crate) fn id<T>(
    req: &HttpRequest,
    name: &'static str,
    read: impl Fn(&str) -> Option<T>,
    expected: &'static str,
) -> Result<T, Refusal> {
    let found = req.match_info().get(name).and_then(read);
    found.ok_or_else(|| Refusal::field(name, expected))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_token_comes_in_one_bearer_header() {
        let token = Token([7; 32]);
        let text = token.to_base64url();
        let with = |value: String| {
            bearer(&TestRequest::default().insert_header((AUTHORIZATION, value)).to_http_request())
        };
        assert_eq!(with(format!("Bearer {text}")), Some(token.clone()));
        assert_eq!(with(format!("bearer {text}")), Some(token));
        assert_eq!(with(format!("Basic {text}")), None);
        assert_eq!(with(text.clone()), None);
        assert_eq!(with(format!("Bearer {text}A")), None);
        assert_eq!(bearer(&TestRequest::default().to_http_request()), None);
        let twice = TestRequest::default()
            .append_header((AUTHORIZATION, format!("Bearer {text}")))
            .append_header((AUTHORIZATION, format!("Bearer {text}")));
        assert_eq!(bearer(&twice.to_http_request()), None);
    }
}

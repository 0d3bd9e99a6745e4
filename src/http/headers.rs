//! What every answer carries, and what pages of other origins may do (CORS).
//!
//! There is no page here: nothing of an answer may be loaded, framed, sniffed or kept. No cookie
//! is ever set, so no page acts in a person's name without holding a token.

use actix_http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CROSS_ORIGIN_RESOURCE_POLICY, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{HttpResponse, web};
use hushwire_wire::http::ProblemCode;

use super::State;
use super::problem::Refusal;

/// What every answer carries.
const ALWAYS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
];
/// What answers over TLS carry, too: two years.
const HSTS: &str = "max-age=63072000; includeSubDomains";
/// The methods of the interface, for pages.
const METHODS: &str = "GET, POST, PUT, DELETE";
/// What pages may send besides what they always may.
const SENT: &str = "authorization, content-type";
/// What pages may read besides what they always may.
const SHOWN: &str = "retry-after, x-request-id";
/// How long a browser may remember a preflight's answer, in seconds.
const REMEMBERED_S: &str = "7200";

/// Adds what an answer carries. `secure`: it goes out over TLS.
pub(crate) fn dress(headers: &mut HeaderMap, secure: bool) {
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if secure {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
}

/// Dresses every answer of an `App`.
pub(super) async fn dressed(
    req: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let secure = req
        .app_data::<web::Data<State>>()
        .is_some_and(|state| state.is_secure(req.peer_addr(), req.headers()));
    let mut response = next.call(req).await?;
    dress(response.headers_mut(), secure);
    Ok(response)
}

/// Answers preflights, and lets pages of the allowed origins read answers.
pub(super) async fn cross_origin(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let state = req.app_data::<web::Data<State>>();
    let allowed = state.and_then(|state| allowed(req.headers(), &state.settings.sockets.origins));
    if req.headers().contains_key(ORIGIN)
        && req.method() == Method::OPTIONS
        && req.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    {
        let answer = preflight(allowed);
        return Ok(req.into_response(answer).map_body(|_, body| EitherBody::right(body)));
    }
    let mut response = next.call(req).await?;
    let headers = response.headers_mut();
    if let Some(origin) = allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(SHOWN));
    }
    headers.append(VARY, HeaderValue::from_static("origin"));
    Ok(response.map_body(|_, body| EitherBody::left(body)))
}

/// The origin to name in an answer: the one that asks, if it is allowed.
fn allowed(headers: &HeaderMap, origins: &[String]) -> Option<HeaderValue> {
    let mut given = headers.get_all(ORIGIN);
    let origin = given.next().filter(|_| given.len() == 0)?;
    if origins.iter().any(|one| one == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    origins.iter().any(|one| one.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

fn preflight(allowed: Option<HeaderValue>) -> HttpResponse {
    use actix_web::ResponseError as _;
    let Some(origin) = allowed else {
        let why = "Pages of this origin may not ask.";
        return Refusal::new(ProblemCode::Forbidden, why).error_response();
    };
    HttpResponse::NoContent()
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, origin))
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
        .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, SENT))
        .insert_header((ACCESS_CONTROL_MAX_AGE, REMEMBERED_S))
        .insert_header((VARY, "origin"))
        .finish()
}

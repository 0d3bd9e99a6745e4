//! Refusals: every HTTP error as `application/problem+json` (RFC 9457).
//!
//! What a client may read and what the log keeps are two fields. Neither repeats the input.

use std::borrow::Cow;
use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use hushwire_wire::Sealed;
use hushwire_wire::http::{LogHead, Problem, ProblemCode};

/// The media type of a refusal.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// The header that names a refusal which is the server's fault; the log has the same.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// A limit that is used up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    rule: &'static str,
    limit: u64,
    used: u64,
}

impl Bound {
    /// The limit of a key of the settings, and how much of it is used.
    pub(crate) fn new(rule: &'static str, limit: u32, used: u32) -> Self {
        Self { rule, limit: limit.into(), used: used.into() }
    }

    /// A limit that is used up to its last one.
    pub(crate) fn full(rule: &'static str, limit: usize) -> Self {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        Self { rule, limit, used: limit }
    }

    fn words(&self, what: &str) -> String {
        format!("{what}: at most {} (rule {}), and {} are used.", self.limit, self.rule, self.used)
    }
}

/// Why a request is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Box<Problem>,
    allow: Option<Cow<'static, str>>,
    /// 16 hex digits, if there is a cause.
    request_id: Option<String>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Refusal {
    /// A refusal with what a person needs to go on.
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        let problem = Problem {
            r#type: "about:blank".to_owned(),
            title: title(code).to_owned(),
            status: code.status(),
            code,
            detail: detail.into(),
            field: None,
            expected: None,
            retry_after_ms: None,
            header: None,
            log: None,
            rule: None,
            limit: None,
            used: None,
        };
        Self { problem: Box::new(problem), allow: None, request_id: None, cause: None }
    }

    /// 400 at a field.
    pub(crate) fn field(field: &str, expected: impl Into<String>) -> Self {
        let mut refusal =
            Self::new(ProblemCode::BadRequest, "A field of the request is not as it must be.");
        refusal.problem.field = Some(field.to_owned());
        refusal.problem.expected = Some(expected.into());
        refusal
    }

    /// 401.
    pub(crate) fn unauthenticated(detail: &str) -> Self {
        Self::new(ProblemCode::Unauthenticated, detail)
    }

    /// 429: a limit that passes, with everything that there is to know of it.
    pub(crate) fn rate(what: &str, bound: Bound, retry_after_ms: u64) -> Self {
        let refusal = Self::new(ProblemCode::RateLimited, bound.words(what));
        refusal.bounded(bound).retry_after(retry_after_ms)
    }

    /// 403: a limit that does not pass by itself.
    pub(crate) fn reached(what: &str, bound: Bound) -> Self {
        Self::new(ProblemCode::LimitReached, bound.words(what)).bounded(bound)
    }

    fn bounded(mut self, bound: Bound) -> Self {
        self.problem.rule = Some(bound.rule.to_owned());
        self.problem.limit = Some(bound.limit);
        self.problem.used = Some(bound.used);
        self
    }

    /// 404: one answer for what does not exist and what this device may not see.
    pub(crate) fn not_found() -> Self {
        Self::new(ProblemCode::NotFound, "Nothing is there that this device may see.")
    }

    /// 405, with what the path allows.
    pub(crate) fn method(allow: impl Into<Cow<'static, str>>) -> Self {
        let allow = allow.into();
        let detail = format!("This path takes {allow}.");
        let mut refusal = Self::new(ProblemCode::MethodNotAllowed, detail);
        refusal.allow = Some(allow);
        refusal
    }

    /// 500, with the cause for the log.
    pub(crate) fn internal(
        cause: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
    ) -> Self {
        let detail = "The server failed. It is not the request's fault.";
        Self::new(ProblemCode::Internal, detail).because(cause)
    }

    /// 503, with the cause for the log.
    pub(crate) fn unavailable(
        cause: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
    ) -> Self {
        Self::new(ProblemCode::Unavailable, "The server cannot do this now. Try again.")
            .retry_after(1_000)
            .because(cause)
    }

    /// Says first what is wrong, to whoever may know it.
    pub(crate) fn told(mut self, what: String) -> Self {
        self.problem.detail = format!("{what} {}", self.problem.detail);
        self
    }

    /// The cause is for the log; an id that both get lets an operator find it.
    fn because(
        mut self,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
    ) -> Self {
        self.cause = Some(cause.into());
        let mut random = [0; 8];
        // Without randomness there is no id, and still an answer.
        if getrandom::fill(&mut random).is_ok() {
            let id = format!("{:016x}", u64::from_be_bytes(random));
            self.problem.detail.push_str(" The operator's log has it as ");
            self.problem.detail.push_str(&id);
            self.problem.detail.push('.');
            self.request_id = Some(id);
        }
        self
    }

    /// Another status than the code's usual one, for statuses that HTTP itself defines.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.problem.status = status.as_u16();
        self
    }

    /// Adds when to try again.
    pub(crate) fn retry_after(mut self, ms: u64) -> Self {
        self.problem.retry_after_ms = Some(ms);
        self
    }

    /// Adds the epoch header that stands.
    pub(crate) fn standing(mut self, header: Option<Vec<u8>>) -> Self {
        self.problem.header = header.map(Sealed::from);
        self
    }

    /// Adds where the caller's log stands.
    pub(crate) fn log(mut self, head: LogHead) -> Self {
        self.problem.log = Some(head);
        self
    }

    /// What the client gets.
    pub(crate) fn problem(&self) -> &Problem {
        &self.problem
    }

    /// What both get, if it is the server's fault.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// What the log gets.
    pub(crate) fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.cause.as_deref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(title(self.problem.code))
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON)));
        if let Some(allow) = &self.allow {
            response.insert_header((ALLOW, allow.as_ref()));
        }
        if let Some(ms) = self.problem.retry_after_ms {
            response.insert_header((RETRY_AFTER, ms.div_ceil(1_000)));
        }
        if let Some(id) = &self.request_id {
            response.insert_header((REQUEST_ID, id.as_str()));
        }
        if self.problem.code == ProblemCode::Unauthenticated {
            response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        response.body(body(&self.problem))
    }
}

/// A problem as JSON. It cannot fail: the type has no map and no float.
pub(crate) fn body(problem: &Problem) -> Vec<u8> {
    serde_json::to_vec(problem).unwrap_or_default()
}

const fn title(code: ProblemCode) -> &'static str {
    match code {
        ProblemCode::BadRequest => "The request is not as it must be",
        ProblemCode::Unauthenticated => "Not signed in",
        ProblemCode::Forbidden => "Not allowed",
        ProblemCode::NotFound => "Not found",
        ProblemCode::MethodNotAllowed => "Method not allowed",
        ProblemCode::HandleTaken => "The username is taken",
        ProblemCode::KeyKnown => "The key is known already",
        ProblemCode::EpochConflict => "Another epoch came first",
        ProblemCode::EpochStale => "A head or a prekey is not the newest",
        ProblemCode::EpochRoster => "The roster is not the active devices",
        ProblemCode::PrekeyConflict => "Another prekey stands",
        ProblemCode::LogConflict => "The log goes on elsewhere",
        ProblemCode::LimitReached => "A limit is reached",
        ProblemCode::TooLarge => "Too large",
        ProblemCode::RateLimited => "Too often",
        ProblemCode::Internal => "The server failed",
        ProblemCode::Unavailable => "Not now",
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    async fn rendered(refusal: Refusal) -> (u16, Vec<(String, String)>, Problem) {
        let response = refusal.error_response();
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers =
            headers.map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned())).collect();
        let body = to_bytes(response.into_body()).await.unwrap();
        (status, headers, serde_json::from_slice(&body).unwrap())
    }

    fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
        headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    #[actix_web::test]
    async fn a_refusal_is_a_problem_with_its_status() {
        for code in [
            ProblemCode::BadRequest,
            ProblemCode::Unauthenticated,
            ProblemCode::Forbidden,
            ProblemCode::NotFound,
            ProblemCode::MethodNotAllowed,
            ProblemCode::HandleTaken,
            ProblemCode::KeyKnown,
            ProblemCode::EpochConflict,
            ProblemCode::EpochStale,
            ProblemCode::EpochRoster,
            ProblemCode::PrekeyConflict,
            ProblemCode::LogConflict,
            ProblemCode::LimitReached,
            ProblemCode::TooLarge,
            ProblemCode::RateLimited,
            ProblemCode::Internal,
            ProblemCode::Unavailable,
        ] {
            let (status, headers, problem) = rendered(Refusal::new(code, "what to do")).await;
            assert_eq!((status, problem.status, problem.code), (code.status(), status, code));
            assert_eq!(header(&headers, "content-type"), Some(PROBLEM_JSON));
            assert_eq!(problem.detail, "what to do");
            assert!(!problem.title.is_empty());
        }
    }

    #[actix_web::test]
    async fn what_a_client_needs_is_in_headers_too() {
        let (_, headers, _) = rendered(Refusal::method("GET, PUT")).await;
        assert_eq!(header(&headers, "allow"), Some("GET, PUT"));
        let (_, headers, _) = rendered(Refusal::unauthenticated("x")).await;
        assert_eq!(header(&headers, "www-authenticate"), Some("Bearer"));
        let limited = Refusal::new(ProblemCode::RateLimited, "x").retry_after(1_001);
        let (_, headers, problem) = rendered(limited).await;
        assert_eq!(header(&headers, "retry-after"), Some("2"));
        assert_eq!(problem.retry_after_ms, Some(1_001));
    }

    #[actix_web::test]
    async fn a_cause_is_for_the_log_alone() {
        let refusal = Refusal::internal(std::io::Error::other("secret path"));
        assert_eq!(refusal.cause().unwrap().to_string(), "secret path");
        let id = refusal.request_id().unwrap().to_owned();
        let other = Refusal::unavailable(std::io::Error::other("x"));
        assert_ne!(other.request_id(), Some(id.as_str()), "each has its own");
        let (status, headers, problem) = rendered(refusal).await;
        assert_eq!(status, 500);
        assert_eq!(header(&headers, "x-request-id"), Some(id.as_str()));
        assert!(id.len() == 16 && problem.detail.contains(&id), "{}", problem.detail);
        assert!(!serde_json::to_string(&problem).unwrap().contains("secret"));
    }
}

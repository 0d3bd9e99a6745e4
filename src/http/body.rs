//! Request bodies: JSON of at most 64 KiB, read in time, without unknown fields.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest, web};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use hushwire_wire::http::ProblemCode;
use hushwire_wire::limits::HTTP_BODY_MAX;
use serde::de::DeserializeOwned;

use super::State;
use super::caller::Caller;
use super::json::Node;
use super::problem::Refusal;

/// How much of a body that is too large is read and thrown away: a client that still writes
/// would lose the refusal with the connection.
const DISCARDED_MAX: usize = 4 << 20;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let payload = payload.take();
        let json = is_json(req);
        let within = req.app_data::<web::Data<State>>().map(|state| state.body_within());
        Box::pin(async move {
            if !json {
                return Err(Refusal::field("content-type", "application/json"));
            }
            let within = within.unwrap_or(Duration::from_secs(10));
            let read = tokio::time::timeout(within, read(payload)).await;
            let late = |_| {
                let refusal = Refusal::field("body", "all of it in time");
                refusal.status(StatusCode::REQUEST_TIMEOUT)
            };
            decode(&read.map_err(late)??).map(Body)
        })
    }
}

/// A signed-in device and its JSON body: nothing of the body is looked at before the token.
#[derive(Debug)]
pub(crate) struct Signed<T>(pub(crate) Caller, pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for Signed<T> {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = Caller::from_request(req, payload);
        let body = Body::from_request(req, payload);
        Box::pin(async move {
            let caller = caller.await?;
            let Body(body) = body.await?;
            Ok(Self(caller, body))
        })
    }
}

fn is_json(req: &HttpRequest) -> bool {
    let given = req.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split(';').next());
    given.is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"))
}

async fn read(mut payload: Payload) -> Result<BytesMut, Refusal> {
    let mut body = BytesMut::new();
    let mut size = 0;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Refusal::field("body", "a body that arrives whole"))?;
        size += chunk.len();
        if size > DISCARDED_MAX {
            break;
        }
        if size > HTTP_BODY_MAX {
            body = BytesMut::new();
        } else {
            body.extend_from_slice(&chunk);
        }
    }
    if size > HTTP_BODY_MAX {
        let detail = format!("A body has at most {HTTP_BODY_MAX} bytes.");
        return Err(Refusal::new(ProblemCode::TooLarge, detail));
    }
    Ok(body)
}

/// Decodes a body. The error names the field and what should stand there, never the input.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let node = Node::read(body).map_err(|rule| Refusal::field("body", rule))?;
    serde_path_to_error::deserialize(node).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        // An unknown field's name is the client's; anything else in a path is ours.
        let message = inner.to_string();
        let unknown = message.starts_with("unknown field");
        let field = if unknown { parent(&path) } else { path.as_str() };
        let field = if field.is_empty() || field == "." { "body" } else { field };
        Refusal::field(field, expected(&message, unknown))
    })
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(parent, _)| parent)
}

/// What a decoder's message says that it expected: our own words.
fn expected(message: &str, unknown: bool) -> String {
    let place = message.rfind(" at line ").unwrap_or(message.len());
    let message = &message[..place];
    if let Some((_, expected)) = message.rsplit_once("expected ") {
        return if unknown { format!("no field but {expected}") } else { expected.to_owned() };
    }
    if unknown {
        return "no such field".to_owned();
    }
    match message.strip_prefix("missing field ") {
        Some(field) => format!("the field {field}"),
        None => "another value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use hushwire_wire::http::{AuthAnswer, ContactPeer, EpochPost};

    use super::*;

    fn refused<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> (String, String) {
        let refusal = decode::<T>(body.as_bytes()).unwrap_err();
        let problem = refusal.problem();
        let text = serde_json::to_string(problem).unwrap();
        assert!(!text.contains("hunter2"), "the input is repeated: {text}");
        (problem.field.clone().unwrap(), problem.expected.clone().unwrap())
    }

    #[test]
    fn errors_name_the_field_and_never_the_input() {
        for garbage in ["", "hunter2", "{\"hunter2\"", "{} {}"] {
            assert_eq!(refused::<AuthAnswer>(garbage).0, "body");
        }
        let (field, expected) = refused::<AuthAnswer>("{\"hunter2\": 1}");
        assert_eq!(field, "body");
        assert!(expected.starts_with("no field but "), "{expected}");
        let (field, expected) = refused::<AuthAnswer>("{\"user\": \"hunter2\"}");
        assert_eq!(field, "user");
        assert!(!expected.is_empty());
        let (field, expected) = refused::<AuthAnswer>("{\"user\": {\"hunter2\": 1}}");
        assert_eq!((field.as_str(), expected.as_str()), ("user", "a user id of 32 bytes"));
        let (field, expected) = refused::<AuthAnswer>("{}");
        assert_eq!((field.as_str(), expected.as_str()), ("body", "the field `user`"));
        let nested = r#"{"peer":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","epoch":{"header":"","wraps":[{"hunter2":1}]}}"#;
        let (field, expected) = refused::<EpochPost>(nested);
        assert_eq!(field, "epoch.wraps[0]");
        assert!(expected.contains("device"), "{expected}");
    }

    #[test]
    fn an_array_is_no_object_and_a_key_comes_once() {
        let id = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let object = ("body".to_owned(), "a JSON object".to_owned());
        assert_eq!(refused::<ContactPeer>(&format!("[\"{id}\"]")), object);
        let (field, expected) =
            refused::<EpochPost>(&format!("{{\"peer\":\"{id}\",\"epoch\":[\"\",[]]}}"));
        assert_eq!((field.as_str(), expected.as_str()), ("epoch", "a JSON object"));
        let (field, expected) = refused::<EpochPost>(&format!(
            "{{\"peer\":\"{id}\",\"epoch\":{{\"header\":\"\",\"wraps\":[[\"\",\"\"]]}}}}"
        ));
        assert_eq!((field.as_str(), expected.as_str()), ("epoch.wraps[0]", "a JSON object"));
        let twice = format!("{{\"peer\":\"{id}\",\"peer\":\"{id}\"}}");
        assert_eq!(refused::<ContactPeer>(&twice).1, "each key once");
        let good = format!("{{\"peer\":\"{id}\"}}");
        assert_eq!(decode::<ContactPeer>(good.as_bytes()).unwrap().peer.0, [0; 32]);
    }
}

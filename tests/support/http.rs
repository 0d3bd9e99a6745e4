//! A raw HTTP client: JSON in, status and JSON out.

use std::sync::Once;

use hushwire_wire::Token;
use hushwire_wire::http::Problem;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An answer, whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    /// The body of a success.
    pub fn ok<T: DeserializeOwned>(&self) -> T {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body of a refusal: always problem+json.
    pub fn problem(&self) -> Problem {
        assert!(!self.status.is_success(), "{}", self.text());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status.as_u16());
        assert_eq!(problem.code.status(), problem.status);
        problem
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    pub url: String,
}

impl Http {
    pub fn new(url: &str) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { client, url: url.to_owned() }
    }

    /// A client that trusts these authorities.
    pub fn trusting(url: &str, tls: rustls::ClientConfig) -> Self {
        let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls);
        Self { client: client.build().unwrap(), url: url.to_owned() }
    }

    /// Any request, with these headers.
    pub async fn with_headers(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Reply {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        reply(request).await
    }

    /// Any request.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&Token>,
        body: Option<Vec<u8>>,
    ) -> Reply {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token.to_base64url());
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        reply(request).await
    }

    pub async fn get(&self, path: &str, token: Option<&Token>) -> Reply {
        self.call(Method::GET, path, token, None).await
    }

    pub async fn post<B: Serialize>(&self, path: &str, token: Option<&Token>, body: &B) -> Reply {
        self.call(Method::POST, path, token, Some(serde_json::to_vec(body).unwrap())).await
    }

    pub async fn put<B: Serialize>(&self, path: &str, token: Option<&Token>, body: &B) -> Reply {
        self.call(Method::PUT, path, token, Some(serde_json::to_vec(body).unwrap())).await
    }
}

async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Reply { status, headers, body: response.bytes().await.unwrap().to_vec() }
}

//! Answers as clients get them.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, response::Parts};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::Value;
use tower_model_route::{RouteDecision, RouteError};

use crate::{
    body::{BoxError, text},
    paused::within,
};

/// An answer that has come to its end.
#[derive(Debug)]
pub struct Answer {
    pub head: Parts,
    /// Or why it broke off.
    pub body: Result<Bytes, String>,
}

impl Answer {
    pub async fn of<B>(answer: Response<B>) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        within(Self::without_limit(answer)).await
    }

    /// The same where there is no clock.
    pub async fn without_limit<B>(answer: Response<B>) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        let body = body.map_err(|error| error.into().to_string());
        Self { head, body }
    }

    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        Some(self.head.headers.get(name)?.to_str().unwrap())
    }

    /// The whole body.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }

    /// The whole body, which its head says to be JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(self.text()).unwrap()
    }

    #[track_caller]
    pub fn decision(&self) -> &RouteDecision {
        self.head.extensions.get().unwrap()
    }

    /// The code of an error of our own.
    #[track_caller]
    pub fn code(&self) -> String {
        let error = self.head.extensions.get::<RouteError>();
        error.unwrap().kind().code().to_owned()
    }
}

/// An answer of the gateway's own, taken apart.
#[derive(Debug)]
pub struct Own {
    pub status: StatusCode,
    pub code: String,
    pub headers: HeaderMap,
    /// What the response's extensions hold.
    pub error: RouteError,
}

/// Asserts that `response` is an answer of the gateway's own, in OpenAI's shape.
#[track_caller]
pub fn own<B>(response: Response<B>) -> Own
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    assert_eq!(head.headers["content-type"], "application/json");
    let body: Value = serde_json::from_str(&text(body)).unwrap();
    let error = head.extensions.get::<RouteError>().cloned();
    let error = error.expect("the error is in the extensions");
    assert_eq!(error.status(), head.status);
    assert_eq!(body["error"]["message"], error.message());
    Own {
        status: head.status,
        code: body["error"]["code"].as_str().unwrap().to_owned(),
        headers: head.headers,
        error,
    }
}

//! The demo's client.

use std::{error::Error, time::Duration};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, Request, header::CONTENT_TYPE},
};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

use super::Case;
use crate::show;

/// No answer takes this long.
const TIMEOUT: Duration = Duration::from_secs(10);

const ENGINE: HeaderName = HeaderName::from_static("x-mock-engine");

/// Asks the gateway.
pub(crate) struct Asker {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
}

/// What became of a request, as its client saw it; `-` is for what is not in the answer.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    /// The gateway's decision.
    pub(crate) route: String,
    pub(crate) rule: String,
    pub(crate) server: String,
    pub(crate) endpoint: String,
    /// Who answered, in its own words.
    pub(crate) engine: String,
    pub(crate) status: u16,
    /// The generated text, or the code or the message of an error.
    pub(crate) answer: String,
}

impl Asker {
    pub(crate) fn new(gateway: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            url: format!("{gateway}/v1/chat/completions"),
        }
    }

    /// Sends one request of `case`.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn ask(&self, case: &Case) -> Result<Seen, String> {
        match tokio::time::timeout(TIMEOUT, self.exchange(case)).await {
            Ok(Ok(seen)) => Ok(seen),
            Ok(Err(error)) => Err(format!("there is no answer: {error}")),
            Err(_) => Err(format!("there is no answer after {TIMEOUT:?}")),
        }
    }

    async fn exchange(&self, case: &Case) -> Result<Seen, Box<dyn Error>> {
        let body = json!({
            "model": case.model,
            "messages": [{"role": "user", "content": "Hello"}],
        });
        let mut request = Request::post(&self.url).header(CONTENT_TYPE, "application/json");
        if let Some((name, value)) = case.header {
            request = request.header(name, value);
        }
        let request = request.body(Full::from(body.to_string()))?;
        let (head, body) = self.client.request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let header = |name| text_of(&head.headers, name);
        Ok(Seen {
            route: header(show::ROUTE),
            rule: header(show::RULE),
            server: header(show::SERVER),
            endpoint: header(show::ENDPOINT),
            engine: header(ENGINE),
            status: head.status.as_u16(),
            answer: answer(&body),
        })
    }
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> String {
    let value = headers.get(name).map(|value| value.as_bytes());
    String::from_utf8_lossy(value.unwrap_or(b"-")).into_owned()
}

fn answer(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    [
        "/choices/0/message/content",
        "/error/code",
        "/error/message",
    ]
    .into_iter()
    .find_map(|place| json.pointer(place)?.as_str())
    .map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned)
}

//! A request, as its engine has seen it.

use bytes::Bytes;
use http::{HeaderMap, Uri, request::Parts};
use tokio::time::Instant;
use tower_model_route::RouteDecision;

#[derive(Debug)]
pub struct Attempt {
    pub head: Parts,
    /// What was read of it, or why it broke off.
    pub body: Result<Bytes, String>,
    /// The length that the body said before it was read.
    pub announced: Option<u64>,
    pub trailers: Option<HeaderMap>,
    pub at: Instant,
    pub(super) decision: Option<RouteDecision>,
}

impl Attempt {
    #[track_caller]
    pub fn host(&self) -> &str {
        self.header("host").unwrap()
    }

    pub fn uri(&self) -> &Uri {
        &self.head.uri
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        Some(self.head.headers.get(name)?.to_str().unwrap())
    }

    /// The whole body.
    #[track_caller]
    pub fn bytes(&self) -> Bytes {
        self.body.clone().expect("a whole body")
    }

    /// The whole body.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().expect("a whole body")).unwrap()
    }

    /// It is `body`, in `coding` if in any, and its head says so.
    #[track_caller]
    pub fn assert_is(&self, body: &[u8], coding: Option<&str>) {
        assert!(self.bytes() == body, "{:?}", self.body);
        assert_eq!(self.header("content-encoding"), coding);
        let length = body.len().to_string();
        assert_eq!(self.header("content-length"), Some(&*length));
    }

    #[track_caller]
    pub fn decision(&self) -> &RouteDecision {
        self.decision.as_ref().expect("a decision")
    }

    /// The model that the request was routed by.
    #[track_caller]
    pub fn asked_for(&self) -> &str {
        self.decision().model()
    }
}

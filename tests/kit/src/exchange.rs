//! One request through a gateway without a network: what the client and the engines got.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tower::{Service, ServiceExt};

use crate::{
    answer::Answer,
    body::BoxError,
    engines::{Attempt, Engines},
};

/// How a request ended.
#[derive(Debug)]
pub struct Outcome {
    pub answer: Answer,
    /// What the engines got, one after the other.
    pub forwarded: Vec<Attempt>,
}

impl Outcome {
    /// Sends a request through `service`, which has these engines below it.
    pub async fn of<S, B, R>(engines: &Engines, service: S, request: Request<B>) -> Self
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        R: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let answer = match service.oneshot(request).await {
            Ok(answer) => Answer::without_limit(answer).await,
            Err(error) => panic!("no answer: {}", error.into()),
        };
        Self {
            answer,
            forwarded: engines.attempts(),
        }
    }

    pub fn status(&self) -> StatusCode {
        self.answer.status()
    }

    /// What the one engine got that was asked.
    #[track_caller]
    pub fn forwarded(mut self) -> Attempt {
        assert_eq!(self.status(), StatusCode::OK, "{:?}", self.answer.body);
        assert_eq!(self.forwarded.len(), 1);
        self.forwarded.remove(0)
    }

    /// It was refused with this status and code, and went to no engine.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!(self.status(), status, "{:?}", self.answer.body);
        assert_eq!(self.answer.code(), code);
        assert!(self.forwarded.is_empty());
    }
}

//! The answer of the admin view, once the request has been read.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::EXPECT};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    access::Access, answer, body::AdminBody, cordon, question, reading::Reading, rest::Rest,
};
use crate::{
    error::{X_REQUEST_ID, request_id},
    route::{RouteTable, RouteTableHandle},
};

/// The largest question in bytes.
const MAX_QUESTION: usize = 1 << 20;

pin_project! {
    /// The future of [`Admin`](crate::Admin).
    #[must_use = "futures do nothing unless polled"]
    pub struct AdminFuture<B> {
        #[pin]
        body: B,
        id: HeaderValue,
        phase: Phase,
    }
}

enum Phase {
    Reading {
        read: Vec<u8>,
        asked: Asked,
    },
    /// The answer, and the rest of the request, which is thrown away first.
    Answered {
        response: Response<AdminBody>,
        rest: Option<Rest>,
    },
    Done,
}

/// What is asked by a body.
pub(super) enum Asked {
    Explanation {
        headers: HeaderMap,
        table: RouteTable,
        access: Access,
        reading: Box<Reading>,
    },
    Cordon {
        table: RouteTableHandle,
        is_draining: bool,
    },
}

impl Asked {
    fn answer(&self, read: &[u8]) -> Response<AdminBody> {
        match self {
            Self::Explanation {
                headers,
                table,
                access,
                reading,
            } => question::answer(table, reading, access.shown(), headers, read),
            Self::Cordon { table, is_draining } => cordon::answer(table, *is_draining, read),
        }
    }
}

impl<B: Body> AdminFuture<B> {
    /// Answers with no look at what the body says.
    pub(super) fn ready(response: Response<AdminBody>, request: Request<B>) -> Self {
        // Who waits for a 100 Continue sends nothing, if it is not asked to.
        let waits = request.headers().contains_key(EXPECT);
        let id = request_id(request.headers());
        let body = request.into_body();
        let rest = (!waits && !body.is_end_stream()).then(Rest::new);
        Self {
            body,
            id,
            phase: Phase::Answered { response, rest },
        }
    }

    /// Answers what is asked by the body.
    pub(super) fn read(asked: Asked, request: Request<B>) -> Self {
        // Before the body is polled, at which hyper says 100 Continue.
        if request.body().size_hint().lower() > MAX_QUESTION as u64 {
            return Self::ready(too_large(), request);
        }
        let read = Vec::new();
        Self {
            id: request_id(request.headers()),
            body: request.into_body(),
            phase: Phase::Reading { read, asked },
        }
    }
}

impl<B: Body> Future for AdminFuture<B> {
    type Output = Result<Response<AdminBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.phase {
                Phase::Reading { read, asked } => {
                    let question = ready!(read_all(this.body.as_mut(), read, cx));
                    let (response, rest) = match question {
                        Ok(()) => (asked.answer(read), None),
                        Err(Unread::Broken) => (broken(), None),
                        Err(Unread::TooLarge) => (too_large(), Some(Rest::new())),
                    };
                    *this.phase = Phase::Answered { response, rest };
                }
                Phase::Answered { rest, .. } => {
                    if let Some(rest) = rest {
                        ready!(rest.poll(this.body.as_mut(), cx));
                    }
                    return match std::mem::replace(this.phase, Phase::Done) {
                        Phase::Answered { mut response, .. } => {
                            let headers = response.headers_mut();
                            headers.insert(X_REQUEST_ID, this.id.clone());
                            Poll::Ready(Ok(response))
                        }
                        _ => unreachable!("it was the phase that was polled"),
                    };
                }
                Phase::Done => panic!("AdminFuture polled after completion"),
            }
        }
    }
}

/// Why a question could not be read.
enum Unread {
    Broken,
    TooLarge,
}

/// Reads the rest of the body.
fn read_all<B: Body>(
    mut body: Pin<&mut B>,
    read: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Unread>> {
    while let Some(frame) = ready!(body.as_mut().poll_frame(cx)) {
        let Ok(frame) = frame else {
            return Poll::Ready(Err(Unread::Broken));
        };
        // Trailers say nothing here.
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        if data.remaining() > MAX_QUESTION - read.len() {
            return Poll::Ready(Err(Unread::TooLarge));
        }
        while data.has_remaining() {
            read.extend_from_slice(data.chunk());
            data.advance(data.chunk().len());
        }
    }
    Poll::Ready(Ok(()))
}

fn broken() -> Response<AdminBody> {
    answer::refusal(
        StatusCode::BAD_REQUEST,
        "invalid_body",
        "the request body could not be read to its end",
    )
}

fn too_large() -> Response<AdminBody> {
    let message = format!("the request body is larger than the {MAX_QUESTION} bytes allowed");
    answer::refusal(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &message)
}

impl<B> fmt::Debug for AdminFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminFuture").finish_non_exhaustive()
    }
}

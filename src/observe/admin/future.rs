//! The answer of the admin view, once a question has been read.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{access::Access, answer, body::AdminBody, question, reading::Reading};
use crate::route::{RouteTable, RouteTableHandle};

/// The largest question in bytes.
const MAX_QUESTION: usize = 1 << 20;

pin_project! {
    /// The future of [`Admin`](crate::Admin).
    #[must_use = "futures do nothing unless polled"]
    pub struct AdminFuture<B> {
        #[pin]
        state: State<B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<B> {
        Ready { response: Option<Response<AdminBody>> },
        Reading {
            #[pin]
            body: B,
            question: Vec<u8>,
            headers: HeaderMap,
            table: RouteTable,
            access: Access,
            reading: Reading,
        },
    }
}

impl<B: Body> AdminFuture<B> {
    pub(super) fn ready(response: Response<AdminBody>) -> Self {
        let response = Some(response);
        Self {
            state: State::Ready { response },
        }
    }

    pub(super) fn explain(
        table: &RouteTableHandle,
        access: Access,
        reading: Reading,
        request: Request<B>,
    ) -> Self {
        let (head, body) = request.into_parts();
        // Before the body is polled, at which hyper says 100 Continue.
        if body.size_hint().lower() > MAX_QUESTION as u64 {
            return Self::ready(too_large());
        }
        Self {
            state: State::Reading {
                body,
                question: Vec::new(),
                headers: head.headers,
                table: table.table(),
                access,
                reading,
            },
        }
    }
}

impl<B: Body> Future for AdminFuture<B> {
    type Output = Result<Response<AdminBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match self.project().state.project() {
            StateProj::Ready { response } => response
                .take()
                .expect("AdminFuture polled after completion"),
            StateProj::Reading {
                body,
                question,
                headers,
                table,
                access,
                reading,
            } => match ready!(read(body, question, cx)) {
                Ok(()) => question::answer(table, reading, access.shown(), headers, question),
                Err(refusal) => refusal,
            },
        };
        Poll::Ready(Ok(response))
    }
}

/// Reads the rest of the body into `question`.
fn read<B: Body>(
    mut body: Pin<&mut B>,
    question: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Response<AdminBody>>> {
    while let Some(frame) = ready!(body.as_mut().poll_frame(cx)) {
        let Ok(frame) = frame else {
            return Poll::Ready(Err(answer::refusal(
                StatusCode::BAD_REQUEST,
                "invalid_body",
                "the request body could not be read to its end",
            )));
        };
        // Trailers say nothing here.
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        if data.remaining() > MAX_QUESTION - question.len() {
            return Poll::Ready(Err(too_large()));
        }
        while data.has_remaining() {
            question.extend_from_slice(data.chunk());
            data.advance(data.chunk().len());
        }
    }
    Poll::Ready(Ok(()))
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

//! Receiving a request's body within a time limit.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::{BodyBuffer, buffer::ReadError};
use crate::error::{BoxError, RouteError, RouteErrorKind};

pin_project! {
    /// Reads a body to its end, or says why that can't be.
    pub(crate) struct Receive<B> {
        #[pin]
        body: B,
        buffer: BodyBuffer,
        timeout: Duration,
        // Set when the body first has to be waited for: most come whole, and need no timer.
        #[pin]
        deadline: Option<Sleep>,
    }
}

impl<B> Receive<B> {
    pub(crate) fn new(body: B, max_bytes: usize, timeout: Duration) -> Self {
        Self {
            body,
            buffer: BodyBuffer::new(max_bytes),
            timeout,
            deadline: None,
        }
    }
}

impl<B> Future for Receive<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Output = Result<(Bytes, Option<HeaderMap>), RouteError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        match this.buffer.poll_fill(this.body, cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(this.buffer.take())),
            Poll::Ready(Err(error)) => {
                return Poll::Ready(Err(match error {
                    ReadError::TooLarge => RouteError::body_too_large(this.buffer.limit()),
                    ReadError::Failed(error) => RouteError::new(
                        RouteErrorKind::InvalidBody,
                        "the request body could not be read to its end",
                    )
                    .with_source(error),
                }));
            }
            Poll::Pending if *this.timeout == Duration::MAX => return Poll::Pending,
            Poll::Pending => {}
        }
        if this.deadline.is_none() {
            this.deadline.set(Some(tokio::time::sleep(*this.timeout)));
        }
        match this.deadline.as_pin_mut().map(|deadline| deadline.poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(RouteError::new(
                RouteErrorKind::BodyTimeout,
                "the request body was not received in time",
            ))),
            _ => Poll::Pending,
        }
    }
}

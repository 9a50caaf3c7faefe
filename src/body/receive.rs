//! Receiving a request's body within a time limit.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::buffer::{BodyBuffer, ReadError, Received};
use crate::error::{BoxError, RouteError, RouteErrorKind};

pin_project! {
    /// Reads a body to its end, or says why that can't be.
    pub(crate) struct Receive<B> {
        #[pin]
        body: B,
        buffer: BodyBuffer,
        timeout: Duration,
        deadline: Deadline,
    }
}

impl<B> Receive<B> {
    pub(crate) fn new(body: B, max_bytes: usize, timeout: Duration) -> Self {
        Self {
            body,
            buffer: BodyBuffer::new(max_bytes),
            timeout,
            deadline: Deadline::Unset,
        }
    }
}

impl<B> Future for Receive<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Output = Result<Received, RouteError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
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
        ready!(this.deadline.poll_elapsed(*this.timeout, cx));
        Poll::Ready(Err(RouteError::new(
            RouteErrorKind::BodyTimeout,
            "the request body was not received in time",
        )))
    }
}

/// The end of the time for a body, with a timer only where one is needed.
///
/// hyper hands over even a body that it already has no sooner than at the
/// second poll, in the same turn of the task. So the first time that there is
/// nothing to read asks for another turn, and only the second sets the timer,
/// which costs more than all the rest of receiving a small body.
enum Deadline {
    Unset,
    Deferred,
    Set(Pin<Box<Sleep>>),
}

impl Deadline {
    fn poll_elapsed(&mut self, timeout: Duration, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self {
                Self::Unset => {
                    *self = Self::Deferred;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Self::Deferred => *self = Self::Set(Box::pin(tokio::time::sleep(timeout))),
                Self::Set(sleep) => return sleep.as_mut().poll(cx),
            }
        }
    }
}

//! Answers over HTTP/2 that a client takes nothing of.
//!
//! Its connection is alive, so no write to the socket is late: the client leaves the window of a
//! stream at 0. hyper then holds a frame that it can't send, and does not ask for the next.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::sleep;

/// The answers of a connection that are not whole.
#[derive(Default)]
pub(crate) struct Answers(Mutex<Vec<Weak<Mutex<Answer>>>>);

struct Answer {
    /// `None` once the client has taken nothing for too long.
    body: Option<Body>,
    frame: LastFrame,
}

/// What has become of the last frame.
#[derive(Clone, Copy)]
enum LastFrame {
    Sent,
    Waits,
    /// And so it did when somebody looked.
    Waited,
}

/// An answer's body, which may be taken away from those who don't ask for more of it.
struct Watched(Arc<Mutex<Answer>>);

impl Answers {
    pub(crate) fn watched(&self, body: Body) -> Body {
        let answer = Arc::new(Mutex::new(Answer {
            body: Some(body),
            frame: LastFrame::Sent,
        }));
        let mut answers = lock(&self.0);
        if answers.len() == answers.capacity() {
            forget_whole(&mut answers);
        }
        answers.push(Arc::downgrade(&answer));
        drop(answers);
        Body::new(Watched(answer))
    }

    /// Drops those whose last frame waits for longer than `limit`, before it does for twice as long.
    pub(crate) async fn end_stuck(answers: Weak<Self>, limit: Duration) {
        loop {
            sleep(limit).await;
            let Some(answers) = answers.upgrade() else {
                return;
            };
            answers.look();
        }
    }

    fn look(&self) {
        let mut answers = lock(&self.0);
        forget_whole(&mut answers);
        let open: Vec<_> = answers.iter().filter_map(Weak::upgrade).collect();
        drop(answers);
        for answer in open {
            let body = lock(&answer).look();
            // What it held is free.
            drop(body);
        }
    }
}

fn forget_whole(answers: &mut Vec<Weak<Mutex<Answer>>>) {
    answers.retain(|answer| answer.strong_count() > 0);
}

impl Answer {
    /// The body, if it has to go.
    fn look(&mut self) -> Option<Body> {
        match self.frame {
            LastFrame::Sent => None,
            LastFrame::Waits => {
                self.frame = LastFrame::Waited;
                None
            }
            LastFrame::Waited => self.body.take(),
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut answer = lock(&self.0);
        answer.frame = LastFrame::Sent;
        let Some(body) = &mut answer.body else {
            let late = io::Error::from(io::ErrorKind::TimedOut);
            return Poll::Ready(Some(Err(axum::Error::new(late))));
        };
        let polled = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(Some(_)) = polled {
            answer.frame = LastFrame::Waits;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let answer = lock(&self.0);
        answer.body.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let answer = lock(&self.0);
        let hint = answer.body.as_ref().map(HttpBody::size_hint);
        hint.unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, StreamBody};
    use tokio::{
        sync::oneshot::{self, error::TryRecvError},
        time::{Instant, advance, timeout},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// An answer of three frames, and what tells when it is dropped.
    fn watched(answers: &Arc<Answers>) -> (Body, oneshot::Receiver<()>) {
        let (held, dropped) = oneshot::channel::<()>();
        let frames = (0..3).map(move |_| {
            let _held = &held;
            Ok::<_, Infallible>(Frame::data(Bytes::from("frame")))
        });
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let watching = Answers::end_stuck(Arc::downgrade(answers), LIMIT);
        tokio::spawn(watching);
        (answers.watched(Body::new(body)), dropped)
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_too_long_is_dropped() {
        let answers = Arc::default();
        let (mut body, dropped) = watched(&answers);
        body.frame().await.unwrap().unwrap();
        let begun = Instant::now();
        assert!(dropped.await.is_err());
        assert!((LIMIT..=2 * LIMIT).contains(&begun.elapsed()));
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_slowly_is_whole() {
        let answers = Arc::default();
        let (mut body, mut dropped) = watched(&answers);
        for _ in 0..3 {
            body.frame().await.unwrap().unwrap();
            advance(LIMIT).await;
            assert_eq!(dropped.try_recv(), Err(TryRecvError::Empty));
        }
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_its_engine_is_not() {
        let answers = Arc::<Answers>::default();
        tokio::spawn(Answers::end_stuck(Arc::downgrade(&answers), LIMIT));
        let frames = futures_util::stream::once(async {
            tokio::time::sleep(10 * LIMIT).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from("frame")))
        });
        let mut body = answers.watched(Body::new(StreamBody::new(Box::pin(frames))));
        let frame = timeout(20 * LIMIT, body.frame());
        frame.await.unwrap().unwrap().unwrap();
    }

    #[test]
    fn what_is_whole_takes_no_memory() {
        let answers = Answers::default();
        let _open: Vec<_> = (0..100).map(|_| answers.watched(Body::empty())).collect();
        for _ in 0..10_000 {
            drop(answers.watched(Body::empty()));
        }
        assert!(lock(&answers.0).len() <= 256);
    }
}

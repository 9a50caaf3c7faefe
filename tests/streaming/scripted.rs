//! Without sockets: bodies that come as a script says, and services that take them apart.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::ready,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_model_route::{ModelRouteLayer, RouteBody};

use crate::gateway::table;

/// A client's body.
#[derive(Debug)]
pub(crate) struct Scripted {
    steps: VecDeque<Step>,
    /// Of a body whose length is known.
    left: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Data(Bytes),
    /// Nothing is there at this poll, but something may be at the next.
    Pause,
}

impl Scripted {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>, has_length: bool) -> Self {
        let steps: VecDeque<_> = steps.into_iter().collect();
        let length: usize = steps.iter().map(Step::len).sum();
        Self {
            steps,
            left: has_length.then_some(length as u64),
        }
    }
}

impl Step {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Pause => 0,
        }
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.steps.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Pause) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Data(data)) => {
                if let Some(left) = &mut self.left {
                    *left -= data.len() as u64;
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A body that comes when the test says so, and, as hyper's, wakes only who has polled it last.
#[derive(Debug, Default)]
pub(crate) struct Fed {
    state: Arc<Mutex<Feed>>,
    has_length: Option<u64>,
    /// How often it must be asked before it hands over what is there.
    turns: u32,
    asked: u32,
}

impl Fed {
    /// Like hyper's, which reads on only when it is asked, and in another task.
    pub(crate) fn in_another_task(mut self) -> Self {
        self.turns = 3;
        self
    }
}

/// The client's end of a [`Fed`].
#[derive(Debug)]
pub(crate) struct Feeder(Arc<Mutex<Feed>>);

#[derive(Debug, Default)]
struct Feed {
    chunks: VecDeque<Bytes>,
    ended: bool,
    taken: u64,
    waker: Option<Waker>,
}

/// A body, of `length` bytes if that is known, and the end that feeds it.
pub(crate) fn fed(length: Option<u64>) -> (Feeder, Fed) {
    let state = Arc::<Mutex<Feed>>::default();
    (
        Feeder(Arc::clone(&state)),
        Fed {
            state,
            has_length: length,
            ..Fed::default()
        },
    )
}

impl Feeder {
    pub(crate) fn send(&self, chunk: impl AsRef<[u8]>) {
        self.send_shared(Bytes::copy_from_slice(chunk.as_ref()));
    }

    /// Without a copy.
    pub(crate) fn send_shared(&self, chunk: Bytes) {
        self.change(|feed| feed.chunks.push_back(chunk));
    }

    pub(crate) fn end(&self) {
        self.change(|feed| feed.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut Feed)) {
        let mut feed = self.0.lock().unwrap();
        change(&mut feed);
        if let Some(waker) = feed.waker.take() {
            waker.wake();
        }
    }
}

impl Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let mut feed = this.state.lock().unwrap();
        if !feed.chunks.is_empty() && this.asked < this.turns {
            this.asked += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(chunk) = feed.chunks.pop_front() {
            this.asked = 0;
            feed.taken += chunk.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if feed.ended {
            return Poll::Ready(None);
        }
        feed.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        let taken = self.state.lock().unwrap().taken;
        self.has_length.map_or_else(SizeHint::default, |length| {
            SizeHint::with_exact(length - taken)
        })
    }
}

/// The request that the service below `layer` gets for this body: its own future is over.
pub(crate) async fn forwarded<B>(layer: ModelRouteLayer, body: B) -> Request<RouteBody>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let (sender, mut forwarded) = tokio::sync::mpsc::unbounded_channel();
    let service = layer.layer(service_fn(move |request| {
        sender.send(request).unwrap();
        ready(Ok::<_, Infallible>(Response::new(String::new())))
    }));
    let answer = service.oneshot(post(body)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    forwarded.recv().await.unwrap()
}

/// A chat request, with its length if the body knows it.
pub(crate) fn post<B: Body>(body: B) -> Request<B> {
    let mut request = Request::post("/v1/chat/completions");
    if let Some(length) = body.size_hint().exact() {
        request = request.header(CONTENT_LENGTH, length);
    }
    request.body(body).unwrap()
}

/// The layer for a table whose engine nobody calls.
pub(crate) fn layer() -> ModelRouteLayer {
    ModelRouteLayer::new(table("http://engine.test"))
}

/// Everything that can be read of a body without waiting, and how it ended, if it has.
pub(crate) fn read_on<B>(body: &mut B) -> (Vec<u8>, Option<Result<(), B::Error>>)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut read = Vec::new();
    // A body may ask for another turn before it says that it has to wait.
    for _ in 0..2 {
        while let Some(frame) = body.frame().now_or_never() {
            match frame {
                None => return (read, Some(Ok(()))),
                Some(Err(error)) => return (read, Some(Err(error))),
                Some(Ok(frame)) => read.extend(frame.into_data().unwrap_or_default()),
            }
        }
    }
    (read, None)
}

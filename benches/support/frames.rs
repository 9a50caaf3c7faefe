//! An engine's answer without an engine, and its reader.

use std::{
    collections::VecDeque,
    convert::Infallible,
    hint::black_box,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower::{Service, service_fn};
use tower_model_route::RouteBody;

/// An engine's answer: a frame at a time, with a length if it is one frame.
pub struct Frames(pub VecDeque<Bytes>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.0.len() {
            1 => SizeHint::with_exact(self.0[0].len() as u64),
            _ => SizeHint::default(),
        }
    }
}

/// An engine's answer to a chat, in one piece.
const ANSWER: &str = r#"{"id":"chatcmpl-b46a06d8b283d570","object":"chat.completion","created":1795833026,"model":"org/base-v1","choices":[{"index":0,"message":{"role":"assistant","content":"There then has been a weighted split.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":209,"total_tokens":217,"completion_tokens":8}}"#;

/// An engine that answers at once, in one piece.
pub fn in_one_piece() -> impl Engine {
    engine("application/json", [ANSWER.into()].into())
}

/// An engine that answers at once with so many events of content, and `[DONE]`.
pub fn in_events(count: usize) -> impl Engine {
    let event = |n| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-a1598ab13fcbac04\",\"object\":\"chat.completion.chunk\",\
             \"created\":1795833026,\"model\":\"org/base\",\"choices\":[{{\"index\":0,\
             \"delta\":{{\"content\":\" word{n}\"}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
        ))
    };
    let done = Bytes::from_static(b"data: [DONE]\n\n");
    engine(
        "text/event-stream",
        (0..count).map(event).chain([done]).collect(),
    )
}

/// What answers with frames, and can be below a layer.
pub trait Engine:
    Service<Request<RouteBody>, Response = Response<Frames>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> Engine for S where
    S: Service<Request<RouteBody>, Response = Response<Frames>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

fn engine(content_type: &'static str, frames: VecDeque<Bytes>) -> impl Engine {
    // A client is cheap to clone.
    let frames = Arc::new(frames);
    service_fn(move |request: Request<RouteBody>| {
        black_box(&request);
        let answer = Response::builder().header("content-type", content_type);
        let frames = Frames(VecDeque::clone(&frames));
        std::future::ready(Ok::<_, Infallible>(answer.body(frames).unwrap()))
    })
}

/// Reads what is there of a body; how many frames that is.
pub fn drain<B: Body>(body: B) -> usize {
    let mut body = pin!(body);
    let mut cx = Context::from_waker(Waker::noop());
    let mut frames = 0;
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        frames += usize::from(black_box(frame).is_ok());
    }
    frames
}

//! An engine's answer without an engine, and its reader.

use std::{
    collections::VecDeque,
    convert::Infallible,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkGroup, measurement::WallTime};
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tower::{Service, ServiceExt};

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

/// Forwards the stream of so many frames that `service` answers with; the answer is made outside of
/// what is measured.
pub fn forward_by<S, R>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    service: S,
    frames: usize,
) where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
    R: Body,
{
    let answer = || {
        let body = Full::new(Bytes::from_static(br#"{"model":"m","stream":true}"#));
        let request = Request::post("/v1/chat/completions").body(body).unwrap();
        let call = service.clone().oneshot(request);
        call.now_or_never().unwrap().unwrap().into_body()
    };
    group.bench_function(name, |b| {
        b.iter_batched(
            answer,
            |body| assert_eq!(drain(body), frames),
            BatchSize::SmallInput,
        );
    });
}

//! The body that is sent back to the client.
//!
//! It owns the endpoint's lease and the request's span until it ends, fails or
//! is dropped, whichever comes first.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    held::{Held, Pause},
    late::{self, Late},
    short::Short,
    watch::Farewell,
};
use crate::{
    error::{BoxError, RouteError},
    route::RouteDecision,
    upload::{Drain, retain_trailers},
};

pin_project! {
    /// The engine's answer, streamed frame by frame, or the gateway's own answer.
    ///
    /// The request counts as in flight to its endpoint until this body has
    /// ended or is dropped.
    #[derive(Debug)]
    pub struct ResponseBody<R> {
        #[pin]
        kind: Kind<R>,
        // `None` if its bytes are all there is, as for all of several layers but the outermost. (In a
        // box: an answer is moved a dozen times.)
        beside: Option<Box<Beside>>,
    }
}

/// What goes with the bytes of an answer.
#[derive(Debug, Default)]
struct Beside {
    /// `None` once the engine's part of it has ended.
    held: Option<Held>,
    /// `None` if the client has sent its whole body.
    rest: Option<Box<Rest>>,
    decision: Option<RouteDecision>,
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<R> {
        Upstream { #[pin] body: R },
        // Some frames were read already.
        Resumed { read: VecDeque<Frame<Bytes>>, body: Pin<Box<R>> },
        // It breaks off after what was read.
        Short { short: Box<Short> },
        Own { data: Bytes },
        // It is not there yet, but its head was sent.
        Late { late: Box<Late<ResponseBody<R>>> },
        // It came late.
        Nested { body: Pin<Box<ResponseBody<R>>> },
        // The message breaks off here, a turn after what precedes it: with the error, hyper throws
        // away what it has not sent. (HTTP/2 is sent by another task, which may come too late.)
        Broken { error: Option<BoxError>, is_due: bool },
    }
}

/// The rest of an upload that is answered early. The end of the answer waits for its end.
#[derive(Debug)]
struct Rest {
    drain: Box<Drain>,
    /// The last frame, if there is one, once the answer has ended but for that.
    end: Option<Option<Frame<Bytes>>>,
}

impl Rest {
    fn of(drain: Option<Box<Drain>>) -> Option<Box<Self>> {
        drain.map(|drain| Box::new(Self { drain, end: None }))
    }
}

impl<R: Body> ResponseBody<R> {
    /// The engine's answer, to which `decision` led, if the request was routed. The `rest` of the
    /// upload is drained before its end.
    pub(crate) fn upstream(
        body: R,
        held: Held,
        decision: Option<RouteDecision>,
        rest: Option<Box<Drain>>,
    ) -> Self {
        let mut kind = Kind::Upstream { body };
        let mut beside = Box::new(Beside {
            held: Some(held),
            rest: Rest::of(rest),
            decision,
        });
        if kind.is_end_stream()
            && let Some(farewell) = ended(&mut beside.held)
        {
            kind = Kind::after(farewell);
        }
        let beside = Some(beside);
        Self { kind, beside }
    }
}

impl<R> ResponseBody<R> {
    /// With nothing beside its bytes.
    fn alone(kind: Kind<R>) -> Self {
        Self { kind, beside: None }
    }

    /// An answer that a layer above looks at.
    pub(crate) fn passed_on(body: R) -> Self {
        Self::alone(Kind::Upstream { body })
    }

    /// An answer of which these frames were read already.
    pub(crate) fn resumed(read: VecDeque<Frame<Bytes>>, body: Pin<Box<R>>) -> Self {
        Self::alone(Kind::Resumed { read, body })
    }

    /// An answer that breaks off after these frames, of which `left` was still to come.
    pub(crate) fn short(read: VecDeque<Frame<Bytes>>, left: SizeHint, error: BoxError) -> Self {
        let short = Short::new(read, left, error);
        Self::alone(Kind::Short { short })
    }

    /// An answer that is not there yet.
    pub(crate) fn late(late: Box<Late<Self>>) -> Self {
        Self::alone(Kind::Late { late })
    }

    /// The body of a 101 that a layer above tunnels: what is held goes with the body.
    pub(crate) fn upgraded(body: R, held: Held, decision: RouteDecision) -> Self {
        let beside = Beside {
            held: Some(held),
            decision: Some(decision),
            ..Beside::default()
        };
        Self {
            kind: Kind::Upstream { body },
            beside: Some(Box::new(beside)),
        }
    }

    pub(crate) fn own(data: Bytes) -> Self {
        Self::alone(Kind::Own { data })
    }

    /// The same, which drains the `rest` of the upload before its end.
    pub(crate) fn own_draining(data: Bytes, rest: Option<Box<Drain>>) -> Self {
        let beside = Rest::of(rest).map(|rest| Beside {
            rest: Some(rest),
            ..Beside::default()
        });
        Self {
            kind: Kind::Own { data },
            beside: beside.map(Box::new),
        }
    }

    /// The decision that led to this answer, final once the answer has begun. `None` for the
    /// router's own answers, and for requests that were not routed.
    pub fn decision(&self) -> Option<RouteDecision> {
        match &self.kind {
            Kind::Nested { body } => body.decision(),
            _ => self.beside.as_ref()?.decision.clone(),
        }
    }
}

impl<R> Default for ResponseBody<R> {
    /// An empty body, which layers above need for their own answers.
    fn default() -> Self {
        Self::own(Bytes::new())
    }
}

impl<R> Body for ResponseBody<R>
where
    R: Body,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // Of several layers only the outermost looks at what passes.
        if self.beside.is_none()
            && let KindProj::Upstream { body } = self.as_mut().project().kind.project()
        {
            let farewell = match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => return Poll::Ready(Some(Ok(in_bytes(frame)))),
                Some(Err(error)) => Farewell::Break(error.into()),
                None => Farewell::End,
            };
            self.as_mut().project().kind.set(Kind::after(farewell));
        }
        loop {
            let mut this = self.as_mut().project();
            let Some(Beside { held, rest, .. }) = this.beside.as_deref_mut() else {
                return poll_answer(this.kind.as_mut(), &mut None, cx);
            };
            if let Some(Rest {
                drain,
                end: Some(end),
            }) = rest.as_deref_mut()
            {
                ready!(drain.poll(cx));
                let last = end.take();
                *rest = None;
                return Poll::Ready(last.map(Ok));
            }
            let frame = ready!(poll_answer(this.kind.as_mut(), held, cx));
            let Some(rest) = rest.as_deref_mut() else {
                return Poll::Ready(frame);
            };
            match frame {
                None => rest.end = Some(None),
                Some(Ok(frame)) if frame.is_trailers() || this.kind.is_over() => {
                    let (before, last) = split_last(frame);
                    rest.end = Some(Some(last));
                    if before.is_some() {
                        return Poll::Ready(before.map(Ok));
                    }
                }
                frame => return Poll::Ready(frame),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let beside = self.beside.as_deref();
        beside.is_none_or(|beside| beside.rest.is_none()) && self.kind.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let Some(beside) = self.beside.as_deref() else {
            return self.kind.size_hint();
        };
        let left = match &beside.held {
            Some(held) if held.may_add() => SizeHint::default(),
            _ => self.kind.size_hint(),
        };
        match beside.rest.as_deref() {
            Some(Rest {
                end: Some(Some(last)),
                ..
            }) => last.data_ref().map_or_else(SizeHint::default, |data| {
                SizeHint::with_exact(data.len() as u64)
            }),
            // With a length of 0 nobody would poll the body, which drains the upload.
            Some(_) if left.exact() == Some(0) => SizeHint::default(),
            _ => left,
        }
    }
}

impl<R> Kind<R> {
    fn after(farewell: Farewell) -> Self {
        match farewell {
            Farewell::End => Self::Own { data: Bytes::new() },
            Farewell::Event(data) => Self::Own { data },
            Farewell::Break(error) => Self::Broken {
                error: Some(error),
                is_due: false,
            },
        }
    }
}

impl<R: Body> Kind<R> {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own { data } => data.is_empty(),
            Self::Broken { error, .. } => error.is_none(),
            Self::Short { .. } | Self::Late { .. } | Self::Nested { .. } => false,
            Self::Upstream { body } => body.is_end_stream(),
            Self::Resumed { read, body } => read.is_empty() && body.is_end_stream(),
        }
    }

    /// Whether no data comes any more.
    fn is_over(&self) -> bool {
        self.is_end_stream() || self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own { data } => SizeHint::with_exact(data.len() as u64),
            Self::Broken { .. } | Self::Late { .. } | Self::Nested { .. } => SizeHint::default(),
            Self::Upstream { body } => body.size_hint(),
            Self::Resumed { read, body } => longer(body.size_hint(), read),
            Self::Short { short } => longer(short.left, &short.read),
        }
    }
}

fn in_bytes<D: Buf>(frame: Frame<D>) -> Frame<Bytes> {
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}

/// The last byte of a frame, and what comes before it.
fn split_last(frame: Frame<Bytes>) -> (Option<Frame<Bytes>>, Frame<Bytes>) {
    match frame.into_data() {
        Ok(mut data) if data.len() > 1 => {
            let last = data.split_off(data.len() - 1);
            (Some(Frame::data(data)), Frame::data(last))
        }
        Ok(data) => (None, Frame::data(data)),
        Err(trailers) => (None, trailers),
    }
}

/// The length of what is left, with the frames that were read already.
fn longer(left: SizeHint, read: &VecDeque<Frame<Bytes>>) -> SizeHint {
    let data = read.iter().filter_map(Frame::data_ref);
    let read = data.map(|data| data.len() as u64).sum::<u64>();
    if read == 0 {
        return left;
    }
    let mut longer = SizeHint::new();
    longer.set_lower(left.lower().saturating_add(read));
    if let Some(upper) = left.upper() {
        longer.set_upper(upper.saturating_add(read));
    }
    longer
}

/// The next frame of the answer itself.
fn poll_answer<R>(
    mut kind: Pin<&mut Kind<R>>,
    held: &mut Option<Held>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
where
    R: Body,
    R::Error: Into<BoxError>,
{
    // What leaves nothing for the client may go on for as long as the engine likes: no recursion.
    loop {
        let next = match kind.as_mut().project() {
            KindProj::Own { data } if data.is_empty() => return Poll::Ready(None),
            KindProj::Own { data } => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))));
            }
            KindProj::Broken { error, is_due } => {
                if std::mem::replace(is_due, true) {
                    return Poll::Ready(error.take().map(Err));
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            KindProj::Nested { body } => return body.as_mut().poll_frame(cx),
            KindProj::Late { late } => match ready!(late.poll(cx)) {
                late::Next::Comment(comment) => return Poll::Ready(Some(Ok(Frame::data(comment)))),
                late::Next::Last(data) => {
                    kind.set(Kind::Own { data });
                    continue;
                }
                late::Next::Stream(body) => {
                    kind.set(Kind::Nested { body });
                    continue;
                }
            },
            KindProj::Short { short } => match short.next() {
                Ok(frame) => Next::Frame(frame),
                Err(error) => Next::Farewell(broke(held, &RouteError::broken_off(), error)),
            },
            KindProj::Upstream { body } => ready!(poll_engine(body, held, cx)),
            KindProj::Resumed { read, body } => match read.pop_front() {
                Some(frame) => Next::Frame(frame),
                None => ready!(poll_engine(body.as_mut(), held, cx)),
            },
        };
        match next {
            Next::Frame(mut frame) => {
                let is_last = frame.is_trailers() || kind.is_end_stream();
                let (is_left, farewell) = received(&mut frame, held, is_last);
                if let Some(farewell) = farewell {
                    kind.set(Kind::after(farewell));
                }
                if is_left {
                    return Poll::Ready(Some(Ok(frame)));
                }
            }
            Next::Comment(comment) => return Poll::Ready(Some(Ok(Frame::data(comment)))),
            Next::Farewell(farewell) => kind.set(Kind::after(farewell)),
        }
    }
}

/// What comes next of an answer.
enum Next {
    /// From the engine.
    Frame(Frame<Bytes>),
    /// From the gateway itself: no part of the answer.
    Comment(Bytes),
    /// Behind the engine's last frame.
    Farewell(Farewell),
}

/// Leaves in the engine's next frame what the client gets of it, if that is anything; and what
/// follows it, if it is the last.
#[inline]
fn received(
    frame: &mut Frame<Bytes>,
    held: &mut Option<Held>,
    is_last: bool,
) -> (bool, Option<Farewell>) {
    let is_left = held.as_mut().is_none_or(|held| held.received(frame));
    // A client of HTTP/2 loses the whole answer over a field of the connection (RFC 9113 section 8.2.2)
    // or a length.
    if let Some(trailers) = frame.trailers_mut() {
        retain_trailers(trailers);
    }
    let farewell = is_last.then(|| ended(held)).flatten();
    // Trailers end a message, so that nothing could follow them.
    let has_more = !matches!(farewell, None | Some(Farewell::End));
    (is_left && !(frame.is_trailers() && has_more), farewell)
}

/// The next frame from the engine, what follows its last one, or a comment while there is none.
fn poll_engine<R>(body: Pin<&mut R>, held: &mut Option<Held>, cx: &mut Context<'_>) -> Poll<Next>
where
    R: Body,
    R::Error: Into<BoxError>,
{
    let (error, cause) = match body.poll_frame(cx) {
        Poll::Ready(Some(Ok(frame))) => {
            return Poll::Ready(Next::Frame(in_bytes(frame)));
        }
        Poll::Ready(None) => {
            let farewell = ended(held).unwrap_or(Farewell::End);
            return Poll::Ready(Next::Farewell(farewell));
        }
        Poll::Ready(Some(Err(error))) => (RouteError::broken_off(), error.into()),
        Poll::Pending => {
            let silence = held.as_mut();
            match ready!(silence.map_or(Poll::Pending, |held| held.poll_pause(cx))) {
                Pause::Comment(comment) => return Poll::Ready(Next::Comment(comment)),
                Pause::TooLong => {
                    held.iter_mut().for_each(Held::stalled);
                }
            }
            (RouteError::stalled(), RouteError::stalled().into())
        }
    };
    Poll::Ready(Next::Farewell(broke(held, &error, cause)))
}

/// What follows an answer that has come to its end; nothing is held of it any more.
fn ended(held: &mut Option<Held>) -> Option<Farewell> {
    let farewell = held.as_mut().map(Held::ended);
    *held = None;
    farewell
}

/// What follows an answer that has broken off with `cause`.
fn broke(held: &mut Option<Held>, error: &RouteError, cause: BoxError) -> Farewell {
    match held.take() {
        Some(mut held) => held.broke(error, cause),
        None => Farewell::Break(cause),
    }
}

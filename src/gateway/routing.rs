//! One request on its way: a table of its states.

use std::{
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    phase::{Arrival, Phase, PhaseOwned, PhaseProj, Routed, Sending},
    steps,
    waiter::Waiter,
};
use crate::{
    attempt::{ResponseBody, RouteBody},
    error::X_REQUEST_ID,
    observe::Report,
    route::{CompiledTable, RouteDecision},
    server::Outcome,
    upload::{Drain, Receive},
};

pin_project! {
    /// Dropping it cancels the request: it drops the upload and the call to the
    /// engine, and the request no longer counts as in flight.
    pub(super) struct Routing<S>
    where
        S: Service<Request<RouteBody>>,
    {
        #[pin]
        phase: Phase<S, S::Future>,
        report: Report,
        // The request's.
        id: HeaderValue,
    }

    impl<S> PinnedDrop for Routing<S>
    where
        S: Service<Request<RouteBody>>,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(routed) = this.phase.routed() {
                this.report.unanswered(|| routed.exchange.decision());
            }
        }
    }
}

impl<S> Routing<S>
where
    S: Service<Request<RouteBody>>,
{
    pub(super) fn receive(
        receive: Receive,
        table: Arc<CompiledTable>,
        arrival: Arrival<S>,
        report: Report,
        id: HeaderValue,
    ) -> Self {
        let phase = Phase::Receiving {
            receive,
            table,
            arrival,
        };
        Self { phase, report, id }
    }

    pub(super) fn forward(
        request: Request<RouteBody>,
        inner: S,
        report: Report,
        id: HeaderValue,
    ) -> Self {
        let sending = Sending {
            request,
            inner,
            routed: None,
        };
        let phase = Phase::Sending { sending };
        Self { phase, report, id }
    }

    pub(super) fn answer(
        response: Response<Bytes>,
        rest: Option<Box<Drain>>,
        report: Report,
        id: HeaderValue,
    ) -> Self {
        let phase = Phase::Answering { response, rest };
        Self { phase, report, id }
    }
}

/// Takes the parts out of the phase that has just been polled, which ends it.
macro_rules! take {
    ($phase:ident, $variant:ident { $($part:ident),* }) => {
        let owned = $phase.as_mut().project_replace(Phase::Completed);
        let PhaseOwned::$variant { $($part,)* .. } = owned else {
            unreachable!("it was the phase that was polled");
        };
    };
}

/// The next phase, unless the client is to be kept alive from now on.
macro_rules! next {
    ($flow:expr, $report:ident, $id:ident) => {
        match $flow {
            ControlFlow::Continue(next) => next,
            ControlFlow::Break(long) => return Progress::long(long, $report, $id),
        }
    };
}

/// What a poll of it brings.
pub(super) enum Progress<S, R, E>
where
    S: Service<Request<RouteBody>>,
{
    Answer(Result<Response<ResponseBody<R>>, E>),
    /// It goes on as this, which may take so long that the client is to be kept alive.
    Long(Pin<Box<Routing<S>>>, Waiter),
}

impl<S, R, E> Progress<S, R, E>
where
    S: Service<Request<RouteBody>>,
{
    fn long(
        (phase, waiter): steps::Long<S, S::Future>,
        report: &mut Report,
        id: &HeaderValue,
    ) -> Poll<Self> {
        let routing = Routing {
            phase,
            report: std::mem::take(report),
            id: id.clone(),
        };
        Poll::Ready(Self::Long(Box::pin(routing), waiter))
    }

    /// The answer of one that is long already.
    pub(super) fn into_answer(self) -> Result<Response<ResponseBody<R>>, E> {
        match self {
            Self::Answer(answer) => answer,
            Self::Long(..) => unreachable!("it becomes long once its body is there"),
        }
    }
}

impl<S> Routing<S>
where
    S: Service<Request<RouteBody>>,
{
    #[expect(clippy::too_many_lines, reason = "a table of the states")]
    pub(super) fn poll<R>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Progress<S, R, S::Error>>
    where
        S: Service<Request<RouteBody>, Response = Response<R>>,
        S::Error: 'static,
        R: Body,
    {
        let this = self.project();
        let (mut phase, report, id) = (this.phase, this.report, &*this.id);
        let _entered = report.entered();
        loop {
            let next = match phase.as_mut().project() {
                PhaseProj::Receiving { receive, .. } => {
                    let received = ready!(Pin::new(receive).poll(cx));
                    take!(phase, Receiving { table, arrival });
                    next!(
                        steps::received(received, table, arrival, report),
                        report,
                        id
                    )
                }
                PhaseProj::Limiting { limiting } => {
                    let reserved = ready!(limiting.pending.as_mut().poll(cx));
                    take!(phase, Limiting { limiting });
                    next!(steps::limited(reserved, *limiting, report), report, id)
                }
                PhaseProj::Recalling { recalling } => {
                    ready!(recalling.pending.as_mut().poll(cx));
                    take!(phase, Recalling { recalling });
                    next!(steps::recalled(*recalling, report), report, id)
                }
                PhaseProj::Queueing { queued } => {
                    let lease = ready!(queued.poll_lease(cx));
                    take!(phase, Queueing { queued });
                    steps::freed(lease, *queued, report)
                }
                PhaseProj::Sending { sending } => {
                    let ready = ready!(sending.poll_ready(cx));
                    take!(phase, Sending { sending });
                    match ready {
                        Some(Ok(())) => steps::call(sending),
                        Some(Err(error)) => return identified(report.failed(error), id),
                        None => steps::timed_out(sending.routed, Outcome::Shed, report),
                    }
                }
                PhaseProj::Calling { call, routed } => {
                    let result = call.poll(cx);
                    if result.is_pending() {
                        ready!(Routed::poll_timeout(routed, cx));
                    }
                    take!(phase, Calling { routed });
                    match result {
                        Poll::Ready(result) => match steps::answered(result, routed, report) {
                            ControlFlow::Break(answer) => return identified(answer, id),
                            ControlFlow::Continue(next) => next,
                        },
                        Poll::Pending => steps::timed_out(routed, Outcome::OutOfTime, report),
                    }
                }
                PhaseProj::Answering { rest, .. } => {
                    ready!(Drain::poll_first(rest, cx));
                    take!(phase, Answering { response, rest });
                    return identified(Ok(steps::own(response, rest, report)), id);
                }
                PhaseProj::Completed => panic!("ResponseFuture polled after completion"),
            };
            phase.set(next);
        }
    }
}

/// Every answer has the id of its request, whatever the engine says.
fn identified<S, R, E>(
    mut answer: Result<Response<ResponseBody<R>>, E>,
    id: &HeaderValue,
) -> Poll<Progress<S, R, E>>
where
    S: Service<Request<RouteBody>>,
{
    if let Ok(response) = &mut answer {
        // An answer that has no room for another field goes without.
        _ = response.headers_mut().try_insert(X_REQUEST_ID, id.clone());
    }
    Poll::Ready(Progress::Answer(answer))
}

impl<S> Routing<S>
where
    S: Service<Request<RouteBody>>,
{
    /// The client gets a head before there is an answer.
    pub(super) fn open(self: Pin<&mut Self>) {
        self.project().report.opened();
    }

    /// The decision so far.
    pub(super) fn decision(&self) -> Option<RouteDecision> {
        Some(self.phase.routed()?.exchange.decision())
    }

    /// The name of the state.
    pub(super) fn state(&self) -> &'static str {
        match self.phase {
            Phase::Receiving { .. } => "receiving",
            Phase::Limiting { .. } => "limiting",
            Phase::Recalling { .. } => "recalling",
            Phase::Queueing { .. } => "queueing",
            Phase::Sending { .. } => "sending",
            Phase::Calling { .. } => "calling",
            Phase::Answering { .. } => "answering",
            Phase::Completed => "completed",
        }
    }
}

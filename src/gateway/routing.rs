//! One request on its way: a table of its states.

use std::{
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    phase::{Course, Next, Phase, PhaseOwned, PhaseProj, Readiness, UNSENT},
    steps,
    waiter::Waiter,
};
use crate::{
    attempt::{ResponseBody, RouteBody},
    error::X_REQUEST_ID,
    route::RouteDecision,
    server::Outcome,
    upload::Drain,
};

pin_project! {
    /// Dropping it cancels the request: it drops the upload and the call to the
    /// engine, and the request no longer counts as in flight.
    pub(super) struct Routing<S>
    where
        S: Service<Request<RouteBody>>,
    {
        #[pin]
        phase: Phase<S::Future>,
        course: Course<S>,
    }

    impl<S> PinnedDrop for Routing<S>
    where
        S: Service<Request<RouteBody>>,
    {
        fn drop(this: Pin<&mut Self>) {
            let Course { routed, report, .. } = this.project().course;
            if let Some(exchange) = routed.as_ref().and_then(|routed| routed.exchange.as_ref()) {
                report.unanswered(|| exchange.decision());
            }
        }
    }
}

impl<S> Routing<S>
where
    S: Service<Request<RouteBody>>,
{
    pub(super) fn new(phase: Phase<S::Future>, course: Course<S>) -> Self {
        Self { phase, course }
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

/// What a poll of it brings.
pub(super) enum Progress<S, R, E>
where
    S: Service<Request<RouteBody>>,
{
    Answer(Result<Response<ResponseBody<R>>, E>),
    /// It goes on as this, which may take so long that the client's connection must be
    /// kept alive.
    Long(Pin<Box<Routing<S>>>, Waiter),
}

impl<S, R, E> Progress<S, R, E>
where
    S: Service<Request<RouteBody>>,
{
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
        let (mut phase, course) = (this.phase, this.course);
        let _entered = course.report.entered();
        loop {
            let next = match phase.as_mut().project() {
                PhaseProj::Receiving { receive, table } => {
                    let received = ready!(Pin::new(receive).poll(cx));
                    let table = table.take().expect("it is taken once");
                    steps::received(received, table, course)
                }
                PhaseProj::Limiting { limiting } => {
                    let reserved = ready!(limiting.pending.as_mut().poll(cx));
                    take!(phase, Limiting { limiting });
                    steps::limited(reserved, *limiting, course)
                }
                PhaseProj::Recalling { recalling } => {
                    ready!(recalling.pending.as_mut().poll(cx));
                    take!(phase, Recalling { recalling });
                    steps::chosen(recalling.matched, course)
                }
                PhaseProj::Queueing { queued } => {
                    let lease = ready!(queued.poll_lease(cx));
                    take!(phase, Queueing { queued });
                    steps::freed(lease, *queued, course)
                }
                PhaseProj::Sending => {
                    let request = course.request.take().expect(UNSENT);
                    Next::Send(*request)
                }
                PhaseProj::Calling { call } => match call.poll(cx) {
                    Poll::Ready(result) => match steps::answered(result, course) {
                        ControlFlow::Break(answer) => {
                            phase.set(Phase::Completed);
                            return identified(answer, course);
                        }
                        ControlFlow::Continue(next) => next.into(),
                    },
                    Poll::Pending => {
                        ready!(course.poll_timeout(cx));
                        steps::timed_out(Outcome::OutOfTime, course).into()
                    }
                },
                PhaseProj::Answering { rest, .. } => {
                    ready!(Drain::poll_first(rest, cx));
                    take!(phase, Answering { response, rest });
                    return identified(Ok(steps::own(response, rest, course)), course);
                }
                PhaseProj::Completed => panic!("ResponseFuture polled after completion"),
            };
            let next = match next {
                Next::Phase(next) => next,
                Next::Send(request) if course.waiter.is_some() => course.put_away(request),
                Next::Send(mut request) => match course.poll_ready(&mut request, cx) {
                    Poll::Ready(Readiness::Ready) => steps::call(request, course),
                    Poll::Ready(Readiness::Failed(error)) => {
                        phase.set(Phase::Completed);
                        return identified(steps::failed(error, course), course);
                    }
                    Poll::Ready(Readiness::Unmade(error)) => {
                        steps::given_up(&error, Outcome::Shed, course)
                    }
                    Poll::Ready(Readiness::TimedOut) => steps::timed_out(Outcome::Shed, course),
                    Poll::Pending => {
                        phase.set(course.put_away(request));
                        return Poll::Pending;
                    }
                },
            };
            if let Some(waiter) = course.waiter.take() {
                let course = course.take();
                let routing = Box::pin(Routing {
                    phase: next,
                    course,
                });
                return Poll::Ready(Progress::Long(routing, *waiter));
            }
            phase.set(next);
        }
    }
}

/// Every answer has the id of its request, whatever the engine says.
fn identified<S, R, E>(
    mut answer: Result<Response<ResponseBody<R>>, E>,
    course: &mut Course<S>,
) -> Poll<Progress<S, R, E>>
where
    S: Service<Request<RouteBody>>,
{
    if let Ok(response) = &mut answer {
        // An answer that has no room for another field goes without.
        let id = course.asker.take_id();
        _ = response.headers_mut().try_insert(X_REQUEST_ID, id);
    }
    Poll::Ready(Progress::Answer(answer))
}

impl<S> Routing<S>
where
    S: Service<Request<RouteBody>>,
{
    /// The client gets a head before there is an answer.
    pub(super) fn open(self: Pin<&mut Self>) {
        let course = self.project().course;
        course.is_open = true;
        course.report.opened();
    }

    /// The decision so far.
    pub(super) fn decision(&self) -> Option<RouteDecision> {
        Some(self.course.exchange()?.decision())
    }

    /// The name of the state.
    pub(super) fn state(&self) -> &'static str {
        match self.phase {
            Phase::Receiving { .. } => "receiving",
            Phase::Limiting { .. } => "limiting",
            Phase::Recalling { .. } => "recalling",
            Phase::Queueing { .. } => "queueing",
            Phase::Sending => "sending",
            Phase::Calling { .. } => "calling",
            Phase::Answering { .. } => "answering",
            Phase::Completed => "completed",
        }
    }
}

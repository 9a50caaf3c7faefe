//! The states of one request.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use super::{
    dispatch::Matched, forwarded::Forwarded, options::Options, rest, upgrade::Upgrade,
    waiter::Waiter,
};
use crate::{
    attempt::{Exchange, RouteBody},
    error::{Asker, RouteError},
    events::Api,
    limit::{Pending, Standings},
    observe::Report,
    route::CompiledTable,
    server::Lease,
    upload::{Drain, DrainLimits, Receive, Upload},
    wire::Fields,
};

pin_project! {
    /// What a request waits for. What it keeps from state to state is in its [`Course`], and not
    /// moved with them.
    #[project = PhaseProj]
    #[project_replace = PhaseOwned]
    pub(super) enum Phase<F> {
        // Reads the body until the model is known.
        Receiving { receive: Receive, table: Option<Arc<CompiledTable>> },
        // Limits are in a store, which is asked for what the request will use.
        Limiting { limiting: Box<Limiting> },
        // Other gateways may have bound its session.
        Recalling { recalling: Box<Recalling> },
        // All endpoints are full: waits for an endpoint of the chosen target to become free.
        Queueing { queued: Box<Queued> },
        // The request is ready to be sent, and waits for the inner service to be ready.
        Sending,
        Calling { #[pin] call: F },
        // The gateway answers the request itself. The rest of the upload is drained before
        // the answer or, mostly, by its body.
        Answering { response: Response<Bytes>, rest: Option<Box<Drain>> },
        Completed,
    }
}

impl<F> Phase<F> {
    /// The gateway gives this answer itself, while the client may still send its `upload`.
    pub(super) fn answering(
        mut response: Response<Bytes>,
        upload: Option<Upload>,
        limits: DrainLimits,
    ) -> Self {
        let rest = upload.and_then(|upload| rest::drain(upload, limits, response.headers_mut()));
        Self::Answering { response, rest }
    }
}

/// What follows a state.
pub(super) enum Next<F> {
    Phase(Phase<F>),
    /// It is sent, once the inner service is ready. (Most are, so the request is not put away before.)
    Send(Request<RouteBody>),
}

impl<F> From<Phase<F>> for Next<F> {
    fn from(phase: Phase<F>) -> Self {
        Self::Phase(phase)
    }
}

/// One request, beside the state that it is in.
pub(super) struct Course<S> {
    /// Until the request to the engine has been made of it.
    pub(super) arrival: Option<Arrival>,
    /// While its body is being made, or the inner service is not ready for it.
    pub(super) request: Option<Box<Request<RouteBody>>>,
    /// Until the same time, so that what a service holds, such as a permit, is not kept until
    /// the answer comes.
    pub(super) inner: Option<S>,
    /// From when its endpoint is chosen until there is an answer.
    pub(super) routed: Option<Routed>,
    /// If it goes on without being routed, until there is an answer.
    pub(super) forwarded: Option<Box<Forwarded>>,
    /// The client is to be kept alive from now on.
    pub(super) waiter: Option<Box<Waiter>>,
    /// The client has got a head, and comments, before there is an answer.
    pub(super) is_open: bool,
    pub(super) report: Report,
    pub(super) asker: Asker,
}

/// Why something must be there that is taken when the request is sent.
pub(super) const UNSENT: &str = "the request has not been sent yet";

/// A request that has not been sent yet.
pub(super) struct Arrival {
    pub(super) head: Parts,
    /// Those with which it came.
    pub(super) fields: Fields,
    pub(super) options: Arc<Options>,
    /// When the client stops waiting.
    pub(super) deadline: Option<Instant>,
}

pub(super) struct Limiting {
    pub(super) pending: Pending,
    pub(super) matched: Matched,
}

pub(super) struct Recalling {
    pub(super) pending: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(super) matched: Matched,
}

pub(super) struct Queued {
    pub(super) wait: Pin<Box<dyn Future<Output = Option<Lease>> + Send>>,
    pub(super) matched: Matched,
    pub(super) target: u32,
    pub(super) timer: Timer,
    pub(super) keep_alive: Option<Duration>,
}

/// The part of a routed request that the future keeps while the inner service has the rest.
pub(super) struct Routed {
    /// `None` once there is an answer, whose body has what it needs of it.
    pub(super) exchange: Option<Arc<Exchange>>,
    pub(super) timer: Timer,
    pub(super) api: Api,
    /// How often its client gets a comment while it waits, if it does.
    pub(super) keep_alive: Option<Duration>,
    pub(super) options: Arc<Options>,
    pub(super) drain: DrainLimits,
    /// What was left of its limits when it came, as far as the answer is to say that.
    pub(super) standings: Option<Box<Standings>>,
    /// Whether its answer has ids that are to be remembered.
    pub(super) learns_ids: bool,
    /// Whether the engine was asked to change the protocol.
    pub(super) upgrade: Option<Upgrade>,
}

impl Routed {
    /// A second timer for the same time would cost as much as the first.
    fn is_timed_below(&self) -> bool {
        let exchange = self.exchange.as_ref();
        exchange.is_some_and(|exchange| exchange.is_timed())
    }
}

impl Drop for Routed {
    /// Nobody waits for the answer any more, so the lease is released, even if a
    /// layer below still holds the request. (If an answer came, its body owns the lease.)
    fn drop(&mut self) {
        if let Some(exchange) = &self.exchange {
            exchange.abandon();
        }
    }
}

/// Ready when the total timeout expires.
pub(super) enum Timer {
    /// No timeout is set, or it is too long for the clock to represent.
    Never,
    /// It has not been needed yet.
    At(Instant),
    Running(Pin<Box<Sleep>>),
}

impl Timer {
    /// When it expires.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Never => None,
            Self::At(at) => Some(*at),
            Self::Running(sleep) => Some(sleep.deadline()),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::At(at) = *self {
            *self = Self::Running(Box::pin(sleep_until(at)));
        }
        match self {
            Self::Running(sleep) => sleep.as_mut().poll(cx),
            Self::Never | Self::At(_) => Poll::Pending,
        }
    }
}

impl Queued {
    /// Ready with the lease, or with `None` if the queue was full or no endpoint
    /// became free in time.
    pub(super) fn poll_lease(&mut self, cx: &mut Context<'_>) -> Poll<Option<Lease>> {
        match self.wait.as_mut().poll(cx) {
            Poll::Ready(lease) => Poll::Ready(lease),
            Poll::Pending => self.timer.poll(cx).map(|()| None),
        }
    }
}

impl<S> Course<S> {
    pub(super) fn new(inner: S, report: Report, asker: Asker) -> Self {
        Self {
            arrival: None,
            request: None,
            inner: Some(inner),
            routed: None,
            forwarded: None,
            waiter: None,
            is_open: false,
            report,
            asker,
        }
    }

    /// All of it.
    pub(super) fn take(&mut self) -> Self {
        Self {
            arrival: self.arrival.take(),
            request: self.request.take(),
            inner: self.inner.take(),
            routed: self.routed.take(),
            forwarded: self.forwarded.take(),
            waiter: self.waiter.take(),
            is_open: self.is_open,
            report: std::mem::take(&mut self.report),
            asker: self.asker.clone(),
        }
    }

    /// Keeps the request until the inner service is ready for it.
    pub(super) fn put_away<F>(&mut self, request: Request<RouteBody>) -> Phase<F> {
        self.request = Some(Box::new(request));
        Phase::Sending
    }

    /// The request as it has arrived.
    pub(super) fn arrival(&self) -> &Arrival {
        self.arrival.as_ref().expect(UNSENT)
    }

    /// The same, mutably, with the asker and the report.
    pub(super) fn arrived(&mut self) -> (&mut Arrival, &Asker, &mut Report) {
        let arrival = self.arrival.as_mut().expect(UNSENT);
        (arrival, &self.asker, &mut self.report)
    }

    /// Ready once the total timeout has passed, unless a layer below watches that.
    pub(super) fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.routed {
            Some(routed) if !routed.is_timed_below() => routed.timer.poll(cx),
            _ => Poll::Pending,
        }
    }

    /// `None` before its endpoint is chosen, and once there is an answer.
    pub(super) fn exchange(&self) -> Option<&Arc<Exchange>> {
        self.routed.as_ref()?.exchange.as_ref()
    }
}

/// Whether a request can be sent.
pub(super) enum Readiness<E> {
    Ready,
    /// The inner service never will be.
    Failed(E),
    /// What the engine is to get of its body could not be made.
    Unmade(RouteError),
    /// The total timeout has passed.
    TimedOut,
}

impl<S: Service<Request<RouteBody>>> Course<S> {
    /// Ready once the body is made and the inner service is ready, or one of them never will be.
    pub(super) fn poll_ready(
        &mut self,
        request: &mut Request<RouteBody>,
        cx: &mut Context<'_>,
    ) -> Poll<Readiness<S::Error>> {
        let inner = self.inner.as_mut().expect(UNSENT);
        let polled = match RouteBody::poll_made(request, cx) {
            Poll::Ready(Ok(())) => inner
                .poll_ready(cx)
                .map(|ready| ready.map_or_else(Readiness::Failed, |()| Readiness::Ready)),
            Poll::Ready(Err(error)) => Poll::Ready(Readiness::Unmade(error)),
            Poll::Pending => Poll::Pending,
        };
        match polled {
            Poll::Ready(ready) => Poll::Ready(ready),
            Poll::Pending => self.poll_timeout(cx).map(|()| Readiness::TimedOut),
        }
    }
}

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
use tokio::time::{Instant, Sleep};
use tower_service::Service;

use super::{dispatch::Matched, options::Options, upgrade::Upgrade};
use crate::{
    attempt::{Exchange, RouteBody},
    error::Asker,
    events::Dialect,
    limit::{Pending, Standings},
    route::CompiledTable,
    server::Lease,
    upload::{Drain, DrainLimits, Receive},
    wire::Via,
};

pin_project! {
    /// Each state owns everything that it and the later states need.
    #[project = PhaseProj]
    #[project_replace = PhaseOwned]
    pub(super) enum Phase<S, F> {
        // Reads the body until the model is known.
        Receiving { receive: Receive, table: Arc<CompiledTable>, arrival: Arrival<S> },
        // Limits are in a store, which is asked for what the request will use.
        Limiting { limiting: Box<Limiting<S>> },
        // Other gateways may have bound its session.
        Recalling { recalling: Box<Recalling<S>> },
        // All endpoints are full: waits for an endpoint of the chosen target to become free.
        Queueing { queued: Box<Queued<S>> },
        // The request is ready to be sent, and waits for the inner service to be ready.
        Sending { sending: Sending<S> },
        Calling { #[pin] call: F, routed: Option<Routed> },
        // The gateway answers the request itself. The rest of the upload is drained before
        // the answer or, mostly, by its body.
        Answering { response: Response<Bytes>, rest: Option<Box<Drain>> },
        Completed,
    }
}

impl<S, F> Phase<S, F> {
    /// The request, once its endpoint is chosen.
    pub(super) fn routed(&self) -> Option<&Routed> {
        match self {
            Self::Sending { sending } => sending.routed.as_ref(),
            Self::Calling { routed, .. } => routed.as_ref(),
            _ => None,
        }
    }
}

/// A request that has not been sent yet.
pub(super) struct Arrival<S> {
    pub(super) head: Parts,
    pub(super) asker: Asker,
    pub(super) options: Arc<Options>,
    /// When the client stops waiting.
    pub(super) deadline: Option<Instant>,
    pub(super) inner: S,
}

pub(super) struct Limiting<S> {
    pub(super) pending: Pending,
    pub(super) matched: Matched,
    pub(super) arrival: Arrival<S>,
}

pub(super) struct Recalling<S> {
    pub(super) pending: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(super) matched: Matched,
    pub(super) arrival: Arrival<S>,
}

pub(super) struct Queued<S> {
    pub(super) wait: Pin<Box<dyn Future<Output = Option<Lease>> + Send>>,
    pub(super) matched: Matched,
    pub(super) target: u32,
    pub(super) timer: Timer,
    pub(super) keep_alive: Option<Duration>,
    pub(super) arrival: Arrival<S>,
}

pub(super) struct Sending<S> {
    pub(super) request: Request<RouteBody>,
    pub(super) inner: S,
    /// `None` if the request is forwarded without being routed.
    pub(super) routed: Option<Routed>,
}

/// The part of a routed request that the future keeps while the inner service has the rest.
pub(super) struct Routed {
    pub(super) exchange: Arc<Exchange>,
    pub(super) timer: Timer,
    pub(super) asker: Asker,
    pub(super) dialect: Dialect,
    /// How often its client gets a comment while it waits, if it does.
    pub(super) keep_alive: Option<Duration>,
    pub(super) via: Via,
    pub(super) drain: DrainLimits,
    /// What was left of its limits when it came, as far as the answer is to say that.
    pub(super) standings: Standings,
    /// Whether its answer has ids that are to be remembered.
    pub(super) learns_ids: bool,
    /// Whether the engine was asked to change the protocol.
    pub(super) upgrade: Option<Upgrade>,
}

impl Drop for Routed {
    /// Nobody waits for the answer any more, so the lease is released, even if a
    /// layer below still holds the request. (If an answer came, its body owns the lease.)
    fn drop(&mut self) {
        self.exchange.abandon();
    }
}

/// Ready when the total timeout expires. `None`, which is never ready, if no
/// timeout is set or it is too long for the clock to represent.
pub(super) type Timer = Option<Pin<Box<Sleep>>>;

pub(super) fn poll_timer(timer: &mut Timer, cx: &mut Context<'_>) -> Poll<()> {
    match timer {
        Some(timer) => timer.as_mut().poll(cx),
        None => Poll::Pending,
    }
}

impl<S> Queued<S> {
    /// Ready with the lease, or with `None` if the queue was full or no endpoint
    /// became free in time.
    pub(super) fn poll_lease(&mut self, cx: &mut Context<'_>) -> Poll<Option<Lease>> {
        match self.wait.as_mut().poll(cx) {
            Poll::Ready(lease) => Poll::Ready(lease),
            Poll::Pending => poll_timer(&mut self.timer, cx).map(|()| None),
        }
    }
}

impl<S: Service<Request<RouteBody>>> Sending<S> {
    /// Ready once the inner service is, or with `None` once the total timeout has passed.
    pub(super) fn poll_ready(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(), S::Error>>> {
        match self.inner.poll_ready(cx) {
            Poll::Ready(ready) => Poll::Ready(Some(ready)),
            Poll::Pending => Routed::poll_timeout(&mut self.routed, cx).map(|()| None),
        }
    }
}

impl Routed {
    pub(super) fn poll_timeout(routed: &mut Option<Self>, cx: &mut Context<'_>) -> Poll<()> {
        match routed {
            Some(routed) => poll_timer(&mut routed.timer, cx),
            None => Poll::Pending,
        }
    }
}

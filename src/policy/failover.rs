//! Retries at another endpoint: the layer.
//!
//! The exchange owns the lease of each attempt. The one for the next attempt is
//! taken at the end of the interval, right before the attempt begins.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    failover_policy::RetryInterval,
    readdress::{Kept, fall_back, follow, is_from_engine, next, readdress, should_retry, wait},
    request_copy::RequestCopy,
};
use crate::{
    attempt::{Exchange, Next, RouteBody, Upcoming},
    server::Lease,
};

/// Sends a failed request again, usually to another endpoint.
///
/// Its place is below the [`ModelRouteLayer`](crate::ModelRouteLayer), around
/// the [`AttemptTimeoutLayer`](crate::AttemptTimeoutLayer) and the client;
/// [`stack`](crate::stack()) puts it there.
///
/// A *retry* follows an attempt that may have been processed. The
/// [`TrafficPolicy`](crate::TrafficPolicy) sets whether and how often; by default never. Each
/// goes to an endpoint that has not failed this request yet: of the same ModelServer, then of
/// the rule's other targets (heaviest first), then of its [fallbacks](crate::Rule::fallback)
/// in order. The endpoint is chosen at the end of the retry interval, by health and load at
/// that time; if all healthy ones are full, the request queues for one. For each attempt the
/// model's name is rewritten in the client's original bytes. The table's
/// [`retry_budget`](crate::RouteTableBuilder::retry_budget) bounds the retries of all requests
/// together.
///
/// Three kinds of connection failure are not failures of the request. It is then sent again at
/// once, which neither counts as a retry nor takes anything from the budget:
/// - No connection could be opened, so nothing was sent: the next endpoint is tried.
/// - The engine says that it [has not processed](crate::ConnectionFailureKind::NotProcessed) the
///   request: it goes to another healthy endpoint, or else to the same one on a
///   [fresh connection](crate::FreshConnection), twice at most.
/// - A connection was lost before a byte of the answer. Usually it had been idle, and the
///   engine had closed it. The engine may have processed the request, so it is sent again only
///   if none of its body was written, if its method is idempotent (RFC 9110 section 9.2.2), or
///   if the policy allows retries. It goes to the same endpoint if the client says that the
///   connection was [stale](crate::ConnectionFailureKind::Stale), and otherwise to another
///   healthy one if there is one; its extensions ask for a [fresh
///   connection](crate::FreshConnection). With a client that does not report this, a request's
///   second loss counts as a failure.
///
/// A request is not sent again
/// - after an answer whose status is not one of the
///   [`retry_statuses`](crate::TrafficPolicy::retry_statuses): any other 4xx or 5xx is the
///   engine's own answer, and goes to the client. (If the policy says so, there are two
///   exceptions: the engine does not have the model, or the request is too long for it; see
///   [`retry_unknown_model`](crate::TrafficPolicy::retry_unknown_model) and
///   [`retry_too_long`](crate::TrafficPolicy::retry_too_long).)
/// - if its body is too large to be kept ([`replay_bytes`](crate::ModelRouteLayer::replay_bytes))
///   and some of it has been sent, or if the client failed to send it,
/// - if less of the total timeout remains than another attempt needs: its timeout, or 100
///   ms.
///
/// The client then gets the last answer from an engine, unchanged. It gets the
/// gateway's own error only if no engine has answered.
///
/// ```
/// # use tower_model_route::{AnswerErrorsLayer, AttemptTimeoutLayer, FailoverLayer, ModelRouteLayer, RouteBody, RouteTable};
/// # use http::{Request, Response};
/// # let table = RouteTable::builder().build().unwrap();
/// # let client = tower::service_fn(|_: Request<RouteBody>| async {
/// #     Ok::<_, std::io::Error>(Response::new(axum::body::Body::empty()))
/// # });
/// use tower::ServiceBuilder;
///
/// let app: axum::Router = axum::Router::new().fallback_service(
///     ServiceBuilder::new()
///         .layer(ModelRouteLayer::new(table))
///         .layer(AnswerErrorsLayer::new())
///         .layer(FailoverLayer::new())
///         .layer(AttemptTimeoutLayer::new())
///         .service(client),
/// );
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct FailoverLayer(());

impl FailoverLayer {
    /// Creates the layer. It has no options: the traffic policies in the table apply.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for FailoverLayer {
    type Service = FailoverService<S>;

    fn layer(&self, inner: S) -> FailoverService<S> {
        FailoverService { inner }
    }
}

/// The service made by [`FailoverLayer`].
#[derive(Clone, Debug)]
pub struct FailoverService<S> {
    inner: S,
}

impl<S, R> Service<Request<RouteBody>> for FailoverService<S>
where
    S: Service<Request<RouteBody>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = FailoverFuture<S, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<RouteBody>) -> FailoverFuture<S, R> {
        follow(&mut request);
        let again = copy(&request).and_then(|copy| {
            Some(Box::new(Again {
                exchange: Arc::clone(copy.body().exchange()?),
                service: self.inner.clone(),
                copy: Some(copy),
                kept: None,
            }))
        });
        let call = self.inner.call(request);
        FailoverFuture {
            phase: Phase::Calling { call, again },
        }
    }
}

pin_project! {
    /// The future of [`FailoverService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct FailoverFuture<S, R>
    where
        S: Service<Request<RouteBody>>,
    {
        #[pin]
        phase: Phase<S, R, S::Error, S::Future>,
    }
}

pin_project! {
    #[project = PhaseProj]
    #[project_replace = PhaseOwned]
    enum Phase<S, R, E, F> {
        // Sent; `again` is `None` if the request can't be retried.
        Calling { #[pin] call: F, again: Option<Box<Again<S, R>>> },
        // Between two attempts; if the next one can't begin, the last result is returned. (What few
        // requests need is in boxes: all move this future several times.)
        Interval { interval: Pin<Box<RetryInterval>>, pause: Box<Pause<S, R, E>> },
        // All healthy endpoints of a target are full: waits for one.
        Queueing { queued: Queued, pause: Box<Pause<S, R, E>> },
        // The body for the next attempt is being made.
        Making { next: Box<Next>, pause: Box<Pause<S, R, E>> },
        // Waits for the inner service to be ready for the next attempt, while there is time for it.
        Ready { request: Box<Request<RouteBody>>, again: Box<Again<S, R>>, time: Option<Pin<Box<Sleep>>> },
        Completed,
    }
}

/// Everything that further attempts need.
struct Again<S, R> {
    service: S,
    exchange: Arc<Exchange>,
    /// A copy of the request for the next attempt; `None` while the current one is
    /// the last one allowed.
    copy: Option<RequestCopy>,
    kept: Kept<R>,
}

/// A failed attempt that may be followed by another.
struct Pause<S, R, E> {
    result: Result<Response<R>, E>,
    request: Request<RouteBody>,
    again: Box<Again<S, R>>,
}

/// Waits for an endpoint of a target.
struct Queued {
    target: u32,
    wait: Pin<Box<dyn Future<Output = Option<Lease>> + Send>>,
}

/// The next phase, or the result for the client.
type Step<S, R, E, F> = Result<Phase<S, R, E, F>, Result<Response<R>, E>>;

impl<S, R> Future for FailoverFuture<S, R>
where
    S: Service<Request<RouteBody>, Response = Response<R>>,
    S::Error: 'static,
{
    type Output = Result<Response<R>, S::Error>;

    #[expect(clippy::too_many_lines, reason = "a table of the states")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut phase = self.project().phase;
        loop {
            let step = match phase.as_mut().project() {
                PhaseProj::Calling { call, again } => {
                    let result = ready!(call.poll(cx));
                    match again.take() {
                        None => Err(result),
                        Some(again) => again.pause(result),
                    }
                }
                PhaseProj::Interval { interval, .. } => {
                    ready!(interval.as_mut().poll(cx));
                    let owned = phase.as_mut().project_replace(Phase::Completed);
                    let PhaseOwned::Interval { pause, .. } = owned else {
                        unreachable!("it was the phase that was polled");
                    };
                    pause.end()
                }
                PhaseProj::Queueing { queued, pause } => {
                    let lease = ready!(queued.wait.as_mut().poll(cx));
                    let exchange = &pause.again.exchange;
                    let next = lease.and_then(|lease| exchange.next_at(queued.target, lease));
                    let owned = phase.as_mut().project_replace(Phase::Completed);
                    let PhaseOwned::Queueing { pause, .. } = owned else {
                        unreachable!("it was the phase that was polled");
                    };
                    pause.make(next)
                }
                PhaseProj::Making { pause, .. } => {
                    let made = ready!(RouteBody::poll_made(&mut pause.request, cx));
                    let owned = phase.as_mut().project_replace(Phase::Completed);
                    let PhaseOwned::Making { next, pause } = owned else {
                        unreachable!("it was the phase that was polled");
                    };
                    pause.send(made.ok().map(|()| *next))
                }
                PhaseProj::Ready { again, time, .. } => {
                    let ready = match again.service.poll_ready(cx) {
                        Poll::Ready(ready) => Some(ready),
                        Poll::Pending => {
                            ready!(again.poll_time(time, cx));
                            None
                        }
                    };
                    let owned = phase.as_mut().project_replace(Phase::Completed);
                    let PhaseOwned::Ready { request, again, .. } = owned else {
                        unreachable!("it was the phase that was polled");
                    };
                    match ready {
                        Some(Ok(())) => Ok(again.call(*request)),
                        Some(Err(error)) => again.pause(Err(error)),
                        None => again.give_up(),
                    }
                }
                PhaseProj::Completed => panic!("FailoverFuture polled after completion"),
            };
            match step {
                Ok(next) => phase.set(next),
                Err(result) => {
                    phase.set(Phase::Completed);
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl<S, R> Again<S, R> {
    /// Begins the next attempt; the service is ready.
    fn call<E>(mut self: Box<Self>, request: Request<RouteBody>) -> Phase<S, R, E, S::Future>
    where
        S: Service<Request<RouteBody>>,
    {
        self.copy = copy(&request);
        Phase::Calling {
            call: self.service.call(request),
            again: Some(self),
        }
    }

    /// Ready once there is no time for another attempt and an earlier answer stands. Without such
    /// an answer, the layer above reports the timeout.
    fn poll_time(&self, time: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.exchange.deadline().filter(|_| self.kept.is_some()) else {
            return Poll::Pending;
        };
        let time = time.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        time.as_mut().poll(cx)
    }

    /// The answer that stands.
    fn give_up<E, F>(self) -> Step<S, R, E, F> {
        let (answer, decision) = self.kept.expect("it was there when the time was over");
        self.exchange.fall_back(decision);
        Err(Ok(answer))
    }

    /// After an attempt: the interval before the next one, or the result for the client.
    fn pause<E: 'static, F>(
        mut self: Box<Self>,
        mut result: Result<Response<R>, E>,
    ) -> Step<S, R, E, F> {
        let next = should_retry(&self.exchange, &result).then(|| {
            let request = self.copy.take()?.into_request()?;
            let wait = self.exchange.interval(request.body().is_replayable())?;
            Some((wait, request))
        });
        let Some((wait, request)) = next.flatten() else {
            fall_back(&self.exchange, &mut self.kept, &mut result);
            return Err(result);
        };
        Ok(Phase::Interval {
            interval: Box::pin(RetryInterval::new(wait)),
            pause: Box::new(Pause {
                result,
                request,
                again: self,
            }),
        })
    }
}

impl<S, R, E> Pause<S, R, E> {
    /// At the end of the interval: begins the next attempt, waits for an endpoint, or returns
    /// the result for the client if neither is possible.
    fn end<F>(self: Box<Self>) -> Step<S, R, E, F> {
        let exchange = &self.again.exchange;
        match next(exchange, &self.request) {
            Some(Upcoming::Now(next)) => self.make(Some(next)),
            Some(Upcoming::Later(target)) => match wait(exchange, &self.request, target) {
                Some(wait) => Ok(Phase::Queueing {
                    queued: Queued {
                        target,
                        wait: Box::pin(wait),
                    },
                    pause: self,
                }),
                None => self.send(None),
            },
            None => self.send(None),
        }
    }

    /// Makes the request for the next attempt, or returns the result for the client if that is not
    /// possible.
    fn make<F>(mut self: Box<Self>, next: Option<Next>) -> Step<S, R, E, F> {
        let exchange = &self.again.exchange;
        let next = next.filter(|next| readdress(&mut self.request, exchange, next).is_some());
        match next {
            Some(next) if !self.request.body().is_made() => Ok(Phase::Making {
                next: Box::new(next),
                pause: self,
            }),
            next => self.send(next),
        }
    }

    /// Begins the next attempt, or returns the result for the client if it can't begin.
    fn send<F>(self, next: Option<Next>) -> Step<S, R, E, F> {
        let Self {
            mut result,
            request,
            mut again,
        } = self;
        let exchange = &again.exchange;
        let decision = exchange.decision();
        let begun = next.and_then(|next| exchange.begin(next, Duration::ZERO));
        if begun.is_none() {
            fall_back(exchange, &mut again.kept, &mut result);
            return Err(result);
        }
        if let Ok(response) = result
            && is_from_engine(&response)
        {
            again.kept = Some((response, decision));
        }
        Ok(Phase::Ready {
            request: Box::new(request),
            again,
            time: None,
        })
    }
}

/// A copy of the request for a retry, if one is possible.
fn copy(request: &Request<RouteBody>) -> Option<RequestCopy> {
    let body = request.body();
    let may_send_again = body.exchange()?.may_send_again(body.is_replayable());
    may_send_again.then(|| RequestCopy::of(request))
}

impl<S, R> fmt::Debug for FailoverFuture<S, R>
where
    S: Service<Request<RouteBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailoverFuture").finish_non_exhaustive()
    }
}

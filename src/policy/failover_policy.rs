//! Retries at another endpoint, as a policy for tower's retry layer.

use std::{
    fmt,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower::retry::Policy;

use super::readdress::{
    Kept, fall_back, is_from_engine, next, redirect, send_elsewhere, should_retry,
};
use crate::{
    attempt::{RouteBody, Upcoming},
    pieces::lock,
};

/// The behaviour of [`FailoverLayer`](crate::FailoverLayer) as a policy for
/// tower's [`RetryLayer`](tower::retry::RetryLayer), if you compose the layers
/// by hand.
///
/// The rules are the same, with one difference: tower asks a policy before the
/// interval between two attempts, not after it. The next endpoint is therefore chosen
/// before the interval, and the request counts as in flight there during it; and if
/// all healthy endpoints are full, the request does not queue. Prefer the
/// [`FailoverLayer`](crate::FailoverLayer).
///
/// It can be wrapped by a policy of your own, or [asked](Failover::next).
///
/// The body type `R` of the answers must implement `Default`, as that of the
/// [`AttemptTimeoutLayer`](crate::AttemptTimeoutLayer) does, because an answer
/// that may still be needed is moved out and kept.
///
/// ```
/// # use tower_model_route::{AnswerErrorsLayer, AttemptTimeoutLayer, Failover, ModelRouteLayer, RouteBody, RouteTable};
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
///         .retry(Failover::new())
///         .layer(AttemptTimeoutLayer::new())
///         .service(client),
/// );
/// ```
#[must_use]
pub struct Failover<R> {
    /// What is kept of this policy's request. (A mutex, so that `R` need not be `Sync`.)
    kept: Mutex<Kept<R>>,
}

impl<R> Failover<R> {
    /// Creates the policy. It has no options: the traffic policies in the table apply.
    pub fn new() -> Self {
        Self {
            kept: Mutex::new(None),
        }
    }
}

impl Failover<()> {
    /// For a retry policy of your own: addresses `request`, a clone of one that was sent, to
    /// an endpoint that it has not been sent to, in the order of the
    /// [`FailoverLayer`](crate::FailoverLayer). Returns whether there is one with room;
    /// otherwise the request is unchanged, and goes to the same endpoint.
    ///
    /// Your policy decides whether and how often to retry, so this needs no
    /// [`max_retries`](crate::TrafficPolicy::max_retries), and takes nothing from them or from
    /// the retry budget. It counts in [`attempts`](crate::RouteDecision::attempts). A request
    /// that was not routed is left unchanged.
    ///
    /// ```
    /// use http::{Request, Response, StatusCode};
    /// use tower_model_route::{Failover, RouteBody};
    ///
    /// /// Also sends again what an engine answers with 409.
    /// #[derive(Clone)]
    /// struct OnConflict(Failover<axum::body::Body>);
    ///
    /// impl<E: 'static> tower::retry::Policy<Request<RouteBody>, Response<axum::body::Body>, E> for OnConflict {
    ///     type Future = futures_util::future::Either<
    ///         tower_model_route::RetryInterval,
    ///         std::future::Ready<()>,
    ///     >;
    ///
    ///     fn retry(
    ///         &mut self,
    ///         request: &mut Request<RouteBody>,
    ///         result: &mut Result<Response<axum::body::Body>, E>,
    ///     ) -> Option<Self::Future> {
    ///         use futures_util::future::Either;
    ///         let is_conflict = |answer: &Response<_>| answer.status() == StatusCode::CONFLICT;
    ///         if result.as_ref().is_ok_and(is_conflict) {
    ///             let goes_elsewhere = Failover::next(request);
    ///             return goes_elsewhere.then(|| Either::Right(std::future::ready(())));
    ///         }
    ///         self.0.retry(request, result).map(Either::Left)
    ///     }
    ///
    ///     fn clone_request(&mut self, request: &Request<RouteBody>) -> Option<Request<RouteBody>> {
    ///         Some(request.clone())
    ///     }
    /// }
    /// ```
    pub fn next(request: &mut Request<RouteBody>) -> bool {
        send_elsewhere(request)
    }
}

impl<R, E> Policy<Request<RouteBody>, Response<R>, E> for Failover<R>
where
    E: 'static,
    R: Default,
{
    type Future = RetryInterval;

    fn retry(
        &mut self,
        request: &mut Request<RouteBody>,
        result: &mut Result<Response<R>, E>,
    ) -> Option<RetryInterval> {
        let exchange = request.body().exchange()?.clone();
        let decision = exchange.decision();
        let next = should_retry(&exchange, result).then(|| {
            let wait = exchange.interval(request.body().is_replayable())?;
            // A policy can't wait for an endpoint that is full.
            let Some(Upcoming::Now(next)) = next(&exchange, request) else {
                return None;
            };
            redirect(&exchange, request, next, wait)?;
            Some(wait)
        });
        let Some(wait) = next.flatten() else {
            fall_back(&exchange, &mut lock(&self.kept), result);
            return None;
        };
        if let Ok(response) = result
            && is_from_engine(response)
        {
            *lock(&self.kept) = Some((std::mem::take(response), decision));
        }
        Some(RetryInterval::new(wait))
    }

    fn clone_request(&mut self, request: &Request<RouteBody>) -> Option<Request<RouteBody>> {
        let body = request.body();
        // tower calls `retry` only with a clone: if an answer is kept to fall back
        // on, the last attempt needs one as well.
        let is_needed =
            body.exchange()?.may_send_again(body.is_replayable()) || lock(&self.kept).is_some();
        is_needed.then(|| request.clone())
    }
}

impl<R> Default for Failover<R> {
    fn default() -> Self {
        Self::new()
    }
}

/// tower clones the policy for each request; a clone has no kept answer.
impl<R> Clone for Failover<R> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<R> fmt::Debug for Failover<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failover").finish_non_exhaustive()
    }
}

pin_project! {
    /// The time between two attempts of [`Failover`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryInterval {
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl RetryInterval {
    pub(super) fn new(wait: Duration) -> Self {
        Self {
            sleep: (!wait.is_zero()).then(|| tokio::time::sleep(wait)),
        }
    }
}

impl Future for RetryInterval {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.project().sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(cx),
            None => Poll::Ready(()),
        }
    }
}

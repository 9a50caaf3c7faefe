//! Sending a request again, to another endpoint.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower::retry::Policy;

use crate::{
    attempt::{Exchange, RouteBody, outcome_of_answer},
    error::RouteError,
    server::Outcome,
};

/// The policy of a [`RetryLayer`](tower::retry::RetryLayer) below the
/// [`ModelRouteLayer`](crate::ModelRouteLayer): sends a request that failed to
/// another endpoint.
///
/// Whether and how often, [`TrafficPolicy`](crate::TrafficPolicy) says; by
/// default never. Each attempt goes to an endpoint that the request has not
/// been sent to: of the same ModelServer, then of the rule's other targets,
/// the heaviest first, then of its [fallbacks](crate::Rule::fallback) in
/// their order. The model's name is written anew for each, into the client's
/// original bytes. What retries cost in all is bounded by the table's
/// [`retry_budget`](crate::RouteTableBuilder::retry_budget).
///
/// A request is not sent again
/// - once an answer has begun that is not one of the
///   [`retry_statuses`](crate::TrafficPolicy::retry_statuses): any other 4xx
///   or 5xx is the engine's own answer, and goes to the client,
/// - if its body is too large to be kept
///   ([`replay_bytes`](crate::ModelRouteLayer::replay_bytes)), or what failed
///   was the client's sending of it,
/// - if what is left of the total timeout can't hold another attempt.
///
/// The client then gets the last answer that came from an engine, as it was;
/// an error of ours only if there was none.
///
/// What was answered below it must have a body with a default, as that of the
/// [`AttemptTimeoutLayer`](crate::AttemptTimeoutLayer) has: an answer that may
/// yet be needed has to be put aside.
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
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Failover(());

impl Failover {
    /// There is nothing to set: the table says it.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<R, E> Policy<Request<RouteBody>, Response<R>, E> for Failover
where
    R: Default + Send + 'static,
{
    type Future = RetryInterval;

    fn retry(
        &mut self,
        request: &mut Request<RouteBody>,
        result: &mut Result<Response<R>, E>,
    ) -> Option<RetryInterval> {
        let exchange = request.body().exchange()?.clone();
        exchange.settle(|| match &*result {
            Ok(response) => outcome_of_answer(response),
            Err(_) => Outcome::Failed,
        });
        if !exchange.is_retriable() {
            exchange.deposit_retry();
            fall_back(&exchange, result);
            return None;
        }
        let from = exchange.decision();
        let Some(wait) = exchange.redirect(request) else {
            fall_back(&exchange, result);
            return None;
        };
        if let Ok(response) = result
            && is_from_engine(response)
        {
            exchange.keep(std::mem::take(response), from);
        }
        Some(RetryInterval::new(wait))
    }

    fn clone_request(&mut self, request: &Request<RouteBody>) -> Option<Request<RouteBody>> {
        let body = request.body();
        let may_go_on = body.exchange()?.may_go_on(body.is_replayable());
        may_go_on.then(|| request.clone())
    }
}

/// Where the last attempt brought no answer, an earlier one may have.
fn fall_back<R: 'static, E>(exchange: &Exchange, result: &mut Result<Response<R>, E>) {
    if !result.as_ref().is_ok_and(is_from_engine)
        && let Some(answer) = exchange.take_kept()
    {
        *result = Ok(answer);
    }
}

fn is_from_engine<R>(response: &Response<R>) -> bool {
    response.extensions().get::<RouteError>().is_none()
}

pin_project! {
    /// The time between two attempts.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryInterval {
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl RetryInterval {
    fn new(wait: Duration) -> Self {
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

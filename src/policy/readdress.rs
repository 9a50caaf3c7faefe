//! After a failed attempt: whether to send the request again, and the request for the next
//! endpoint.

use std::{sync::Arc, time::Duration};

use http::{Request, Response};

use crate::{
    attempt::{Exchange, Next, RouteBody, Upcoming, outcome_of},
    error::RouteError,
    route::RouteDecision,
    server::Lease,
};

/// Settles an attempt that has ended, and returns whether another should follow.
///
/// If none should, the retry budget is credited.
pub(super) fn should_retry<R, E: 'static>(
    exchange: &Exchange,
    result: &Result<Response<R>, E>,
) -> bool {
    exchange.is_retriable(|| outcome_of(result))
}

/// Chooses the endpoint of the next attempt, or the target whose endpoints are waited for.
pub(super) fn next(exchange: &Exchange, request: &Request<RouteBody>) -> Option<Upcoming> {
    exchange.next(request)
}

/// Waits for an endpoint of this target.
pub(super) fn wait(
    exchange: &Exchange,
    request: &Request<RouteBody>,
    target: u32,
) -> Option<impl Future<Output = Option<Lease>> + Send + use<>> {
    exchange.wait(target, request)
}

/// Re-targets `request` at the next endpoint, and begins the attempt there,
/// which is sent after `wait`.
///
/// `None` if the request can't be rewritten, or the retry budget is spent; then `request`
/// must not be sent.
pub(super) fn redirect(
    exchange: &Exchange,
    request: &mut Request<RouteBody>,
    next: Next,
    wait: Duration,
) -> Option<()> {
    readdress(request, exchange, &next)?;
    exchange.begin(next, wait)
}

/// Addresses a request that a layer of the caller's sends again to an endpoint that it has not
/// been sent to; `false`, with the request as it was, if there is no other with room.
///
/// This counts as an attempt, and neither as a retry of the policy nor in the budget.
pub(super) fn send_elsewhere(request: &mut Request<RouteBody>) -> bool {
    let Some(exchange) = request.body().exchange().cloned() else {
        return false;
    };
    let upcoming = exchange.leave().then(|| next(&exchange, request)).flatten();
    let Some(Upcoming::Now(next)) = upcoming else {
        return false;
    };
    let mut again = request.clone();
    let begun = redirect(&exchange, &mut again, next, Duration::ZERO);
    if begun.is_some() {
        *request = again;
    }
    begun.is_some()
}

/// If a layer of the caller's sends a request again through one of ours, after an attempt that
/// has ended, it goes elsewhere, or else to the same endpoint.
pub(super) fn follow(request: &mut Request<RouteBody>) {
    let Some(exchange) = request.body().exchange() else {
        return;
    };
    if !exchange.has_ended() {
        return;
    }
    let exchange = Arc::clone(exchange);
    if !send_elsewhere(request) {
        exchange.repeat(request);
    }
}

/// Makes `request` that of the attempt at the endpoint of `next`. `None` if that is not possible;
/// then it must not be sent.
pub(super) fn readdress(
    request: &mut Request<RouteBody>,
    exchange: &Exchange,
    next: &Next,
) -> Option<()> {
    let (mut head, mut body) = std::mem::take(request).into_parts();
    let payload = exchange.prepare(&mut head, next)?;
    body.begin_again(payload);
    *request = Request::from_parts(head, body);
    Some(())
}

/// The last answer from an engine, and the decision that led to it.
pub(super) type Kept<R> = Option<(Response<R>, RouteDecision)>;

/// If the last attempt brought no answer from an engine, returns to the last one
/// that did, if any.
pub(super) fn fall_back<R, E>(
    exchange: &Exchange,
    kept: &mut Kept<R>,
    result: &mut Result<Response<R>, E>,
) {
    if !result.as_ref().is_ok_and(is_from_engine)
        && let Some((answer, decision)) = kept.take()
    {
        exchange.fall_back(decision);
        *result = Ok(answer);
    }
}

pub(super) fn is_from_engine<R>(response: &Response<R>) -> bool {
    response.extensions().get::<RouteError>().is_none()
}

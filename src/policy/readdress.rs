//! What follows a failed attempt: the judgement, and the request for the next engine.

use std::time::Duration;

use http::{Request, Response};

use crate::{
    attempt::{Exchange, Next, RouteBody, outcome_of_answer},
    error::RouteError,
    server::Outcome,
};

/// Settles an attempt that has ended, and says whether another should follow.
pub(super) fn should_retry<R, E>(exchange: &Exchange, result: &Result<Response<R>, E>) -> bool {
    exchange.settle(|| match result {
        Ok(response) => outcome_of_answer(response),
        Err(_) => Outcome::Failed,
    });
    let should_retry = exchange.is_retriable();
    if !should_retry {
        exchange.deposit_retry();
    }
    should_retry
}

/// Makes `request` one to the next endpoint, and begins the attempt there,
/// which is sent after `wait`; `None` if it can't be.
pub(super) fn redirect(
    exchange: &Exchange,
    request: &mut Request<RouteBody>,
    wait: Duration,
) -> Option<()> {
    let next = exchange.next(request.headers(), request.extensions())?;
    readdress(request, exchange, &next)?;
    exchange.begin(next, wait)
}

fn readdress(request: &mut Request<RouteBody>, exchange: &Exchange, next: &Next) -> Option<()> {
    let (mut head, mut body) = std::mem::take(request).into_parts();
    let payload = exchange.prepare(&mut head, next)?;
    body.begin_again(payload);
    *request = Request::from_parts(head, body);
    Some(())
}

pub(super) fn is_from_engine<R>(response: &Response<R>) -> bool {
    response.extensions().get::<RouteError>().is_none()
}

//! From one state of a request to the next: one function for each transition.
//!
//! [`answered`] and [`timed_out`] settle an outcome that no layer below has
//! settled. [`answered`] moves the lease into the answer's body; otherwise it is
//! released when [`Routed`] is dropped.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::UPGRADE};
use http_body::Body;
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use super::{
    dispatch::{Matched, Turn},
    phase::{Arrival, Phase, Queued, Routed, Sending, Timer},
};
use crate::{
    attempt::{Held, ResponseBody, RouteBody, outcome_of},
    error::{Asker, RouteError, RouteErrorKind},
    observe::RequestSpan,
    route::{Chosen, CompiledTable},
    server::{Lease, Outcome, Server},
    upload::Received,
    wire::{hide_endpoint, rewrite},
};

/// The body has been received far enough to route it, or receiving it failed.
pub(super) fn received<S, F>(
    received: Result<Received, RouteError>,
    table: Arc<CompiledTable>,
    arrival: Arrival<S>,
    span: &RequestSpan,
) -> Phase<S, F> {
    let received = match received {
        Ok(received) if received.lacks(|model| table.reads_body_of(model)) => {
            let receive = received.read_on();
            return Phase::Receiving {
                receive,
                table,
                arrival,
            };
        }
        received => received,
    };
    let (head, asker) = (&arrival.head, &arrival.asker);
    let matched = received
        .and_then(|received| Matched::new(table, head, received))
        .and_then(|matched| Ok((matched.choose(head)?, matched)));
    match matched {
        Err(error) => rejected(&error, asker, span),
        Ok((Turn::Now(chosen), matched)) => {
            let timer = timer(matched.server(chosen.0));
            dispatched(matched, arrival, chosen, timer, span)
        }
        Ok((Turn::Later(target), matched)) => Phase::Queueing {
            queued: Box::new(Queued {
                wait: Box::pin(matched.wait(head, target)),
                timer: timer(matched.server(target)),
                matched,
                target,
                arrival,
            }),
        },
    }
}

/// An endpoint has become free; or the queue was full, or the queue timeout or the
/// total timeout has passed first.
pub(super) fn freed<S, F>(
    lease: Option<Lease>,
    queued: Queued<S>,
    span: &RequestSpan,
) -> Phase<S, F> {
    let Queued {
        matched,
        target,
        timer,
        arrival,
        ..
    } = queued;
    match lease {
        Some(lease) => dispatched(matched, arrival, (target, lease), timer, span),
        None => rejected(&matched.overloaded(), &arrival.asker, span),
    }
}

/// The inner service is ready.
pub(super) fn call<S>(sending: Sending<S>) -> Phase<S, S::Future>
where
    S: Service<Request<RouteBody>>,
{
    let Sending {
        request,
        mut inner,
        routed,
    } = sending;
    // The service is dropped here, so its permits are not kept until the answer comes.
    let call = inner.call(request);
    Phase::Calling { call, routed }
}

/// The total timeout has passed.
pub(super) fn timed_out<S, F>(
    routed: Option<Routed>,
    outcome: Outcome,
    span: &RequestSpan,
) -> Phase<S, F> {
    let Some(routed) = routed else {
        return Phase::Completed;
    };
    routed.exchange.settle(|| outcome);
    Phase::Answering {
        response: own_answer(&RouteError::upstream_timeout(), &routed, span),
    }
}

/// The inner service has answered.
pub(super) fn answered<R: Body, E>(
    result: Result<Response<R>, E>,
    routed: Option<Routed>,
    span: &RequestSpan,
) -> Result<Response<ResponseBody<R>>, E> {
    let Some(routed) = routed else {
        return result.map(|response| response.map(|body| ResponseBody::upstream(body, None)));
    };
    routed.exchange.settle(|| outcome_of(&result));
    // If the client's upload failed, the engine has seen only a part of it, so
    // its answer does not count.
    if let Some(error) = routed.exchange.upload_failure() {
        return Ok(own_answer(&error, &routed, span).map(ResponseBody::own));
    }
    let mut response = result?;
    if let Some(error) = unasked_upgrade(&response, &routed) {
        return Ok(own_answer(&error, &routed, span).map(ResponseBody::own));
    }
    let (decision, lease) = routed.exchange.finish();
    let error = response.extensions().get::<RouteError>();
    span.answered(response.status(), &decision, error);
    let version = response.version();
    rewrite::response_head(&mut response);
    routed.via.add(version, response.headers_mut());
    hide_endpoint(response.headers_mut(), decision.address());
    let idle_timeout = decision.policy().get_stream_idle_timeout();
    response.extensions_mut().insert(decision);
    let held = Held::new(lease, idle_timeout, span.clone());
    Ok(response.map(|body| ResponseBody::upstream(body, Some(held))))
}

fn timer(server: &Server) -> Timer {
    let timeout = server.policy.get_total_timeout()?;
    let until = Instant::now().checked_add(timeout)?;
    Some(Box::pin(sleep_until(until)))
}

fn dispatched<S, F>(
    matched: Matched,
    arrival: Arrival<S>,
    chosen: Chosen,
    timer: Timer,
    span: &RequestSpan,
) -> Phase<S, F> {
    let Arrival {
        mut head,
        asker,
        options,
        inner,
    } = arrival;
    let deadline = timer.as_ref().map(|timer| timer.deadline());
    match matched.dispatch(&options, &mut head, chosen, deadline, span) {
        Err(error) => rejected(&error, &asker, span),
        Ok((body, exchange)) => {
            let routed = Routed {
                exchange,
                timer,
                asker,
                via: options.via.clone(),
                upgrade: head.headers.contains_key(UPGRADE),
            };
            Phase::Sending {
                sending: Sending {
                    request: Request::from_parts(head, body),
                    inner,
                    routed: Some(routed),
                },
            }
        }
    }
}

fn rejected<S, F>(error: &RouteError, asker: &Asker, span: &RequestSpan) -> Phase<S, F> {
    span.rejected(error);
    Phase::Answering {
        response: error.answer(asker),
    }
}

/// The gateway's own answer to a request that was routed.
fn own_answer(error: &RouteError, routed: &Routed, span: &RequestSpan) -> Response<Bytes> {
    span.rejected(error);
    let mut response = error.answer(&routed.asker);
    response.extensions_mut().insert(routed.exchange.decision());
    response
}

/// The error for a 101 answer to a client that has not asked for an upgrade and
/// could not read it.
fn unasked_upgrade<R>(response: &Response<R>, routed: &Routed) -> Option<RouteError> {
    (response.status() == StatusCode::SWITCHING_PROTOCOLS && !routed.upgrade).then(|| {
        RouteError::new(
            RouteErrorKind::UpstreamUnreachable,
            "the engine switched protocols, which the request did not ask for",
        )
    })
}

//! From one state of a request to the next: one function for each transition.
//!
//! [`answered`] and [`timed_out`] settle an outcome that no layer below has
//! settled. [`answered`] moves the lease into the answer's body; otherwise it is
//! released when [`Routed`] is dropped.

use std::{ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_LENGTH, request::Parts};
use http_body::Body;
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use super::{
    dispatch::{Matched, Turn},
    options::Options,
    phase::{Arrival, Phase, Queued, Routed, Sending, Timer},
    upgrade::{Upgrade, switched},
};
use crate::{
    attempt::{Held, ResponseBody, RouteBody, outcome_of},
    error::{Asker, RouteError},
    observe::RequestSpan,
    route::{Chosen, CompiledTable},
    server::{Lease, Outcome, Server},
    upload::{Drain, Received, Refused},
    wire::{hide_endpoint, rewrite},
};

/// The body has been received far enough to route it, or receiving it failed.
pub(super) fn received<S, F>(
    received: Result<Received, Refused>,
    table: Arc<CompiledTable>,
    arrival: Arrival<S>,
    span: &RequestSpan,
) -> Phase<S, F> {
    let received = match received {
        Ok(received) if received.lacks(&arrival.head, |model| table.reads_body_of(model)) => {
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
        .and_then(|received| Matched::new(table, head, received, &arrival.options))
        .and_then(|matched| match matched.authorize(head, &arrival.options) {
            Ok(()) => Ok(matched),
            Err(error) => Err((error, matched.into_rest())),
        })
        .and_then(|matched| match matched.choose(head) {
            Ok(turn) => Ok((turn, matched)),
            Err(error) => Err((error, matched.into_rest())),
        });
    match matched {
        Err(refused) => rejected(refused, asker, head, &arrival.options, span),
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
        None => {
            let refused = (matched.overloaded(), matched.into_rest());
            rejected(
                refused,
                &arrival.asker,
                &arrival.head,
                &arrival.options,
                span,
            )
        }
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
    answering(&RouteError::upstream_timeout(), &routed, span)
}

type Answer<R, E> = Result<Response<ResponseBody<R>>, E>;

/// The inner service has answered. Goes on if the gateway answers in its place.
pub(super) fn answered<S, F, R: Body, E: 'static>(
    result: Result<Response<R>, E>,
    routed: Option<Routed>,
    span: &RequestSpan,
) -> ControlFlow<Answer<R, E>, Phase<S, F>> {
    let Some(mut routed) = routed else {
        return ControlFlow::Break(
            result.map(|response| response.map(|body| ResponseBody::upstream(body, None))),
        );
    };
    routed.exchange.settle(|| outcome_of(&result));
    // If the client's upload failed, the engine has seen only a part of it, so
    // its answer does not count.
    if let Some(error) = routed.exchange.upload_failure() {
        return ControlFlow::Continue(answering(&error, &routed, span));
    }
    let mut response = match result {
        Ok(response) => response,
        Err(error) => return ControlFlow::Break(Err(error)),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgrade = routed.upgrade.take();
        return match switched(response, upgrade, &routed.exchange, span) {
            Ok(response) => ControlFlow::Break(Ok(response)),
            Err(error) => ControlFlow::Continue(answering(&error, &routed, span)),
        };
    }
    let rest = rest(&routed);
    if rest.is_some() && response.body().is_end_stream() {
        // With a length of 0 nobody would poll the body, which drains the upload.
        response.headers_mut().remove(CONTENT_LENGTH);
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
    let exchange = Arc::clone(&routed.exchange);
    let held = Held::new(lease, exchange, idle_timeout, span.clone());
    let body = |body| ResponseBody::upstream(body, Some(held)).draining(rest);
    ControlFlow::Break(Ok(response.map(body)))
}

/// The gateway's own answer, which drains the rest of the upload.
pub(super) fn own<R>(
    response: Response<Bytes>,
    rest: Option<Box<Drain>>,
) -> Response<ResponseBody<R>> {
    response.map(|data| ResponseBody::own(data).draining(rest))
}

/// The rest of the upload of a request that has been answered.
fn rest(routed: &Routed) -> Option<Box<Drain>> {
    Drain::of(routed.exchange.upload()?, routed.drain)
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
    let drain = options.drain(&head);
    let deadline = timer.as_ref().map(|timer| timer.deadline());
    match matched.dispatch(&options, &mut head, chosen, deadline, span) {
        Err(refused) => rejected(refused, &asker, &head, &options, span),
        Ok((body, exchange)) => {
            let routed = Routed {
                exchange,
                timer,
                asker,
                via: options.via.clone(),
                drain,
                upgrade: Upgrade::asked(&mut head, &options.tunnels),
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

fn rejected<S, F>(
    (error, rest): Refused,
    asker: &Asker,
    head: &Parts,
    options: &Options,
    span: &RequestSpan,
) -> Phase<S, F> {
    span.rejected(&error);
    Phase::Answering {
        response: error.answer(asker),
        rest: Drain::of_unread(rest, options.drain(head)),
    }
}

/// The gateway answers a request itself that was routed.
fn answering<S, F>(error: &RouteError, routed: &Routed, span: &RequestSpan) -> Phase<S, F> {
    span.rejected(error);
    let mut response = error.answer(&routed.asker);
    response.extensions_mut().insert(routed.exchange.decision());
    let rest = rest(routed);
    Phase::Answering { response, rest }
}

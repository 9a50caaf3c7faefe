//! From one state of a request to the next: one function for each transition.
//!
//! [`answered`] and [`timed_out`] settle an outcome that no layer below has
//! settled. [`answered`] moves the lease into the answer's body; otherwise it is
//! released when [`Routed`] is dropped.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_LENGTH, request::Parts};
use http_body::Body;
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use super::{
    deadline,
    dispatch::{Matched, Turn},
    options::Options,
    phase::{Arrival, Limiting, Phase, Queued, Recalling, Routed, Sending, Timer},
    upgrade::{Upgrade, switched},
    waiter::Waiter,
};
use crate::{
    attempt::{Held, KeepAlive, LearnedIds, ResponseBody, RouteBody, Watch, outcome_of},
    config::OnInterruption,
    error::{Asker, RouteError},
    events::Dialect,
    limit::{Refusal, Reservation},
    observe::Report,
    route::{Chosen, CompiledTable, RouteDecision},
    server::{Lease, Outcome, ReportSource, Server},
    upload::{Drain, Received, Refused},
    wire::{hide_endpoint, load_report, rewrite},
};

/// The next state of a request whose client gets comments while it waits.
pub(super) type Long<S, F> = (Phase<S, F>, Waiter);

fn waiting<S, F>(
    phase: Phase<S, F>,
    waiter: Option<Waiter>,
) -> ControlFlow<Long<S, F>, Phase<S, F>> {
    match waiter {
        None => ControlFlow::Continue(phase),
        Some(waiter) => ControlFlow::Break((phase, waiter)),
    }
}

/// The body has been received far enough to route it, or receiving it failed.
pub(super) fn received<S, F>(
    received: Result<Received, Refused>,
    table: Arc<CompiledTable>,
    arrival: Arrival<S>,
    report: &mut Report,
) -> ControlFlow<Long<S, F>, Phase<S, F>> {
    let received = match received {
        Ok(received)
            if received.lacks(&arrival.head, |model| {
                table.reads_body_of(model) || table.homes.reads_body(&arrival.head)
            }) =>
        {
            let receive = received.read_on();
            let phase = Phase::Receiving {
                receive,
                table,
                arrival,
            };
            return ControlFlow::Continue(phase);
        }
        received => received,
    };
    let (head, asker) = (&arrival.head, &arrival.asker);
    let matched = received
        .and_then(|received| Matched::new(table, head, received, &arrival.options))
        .inspect(|matched| matched.tell(report))
        .and_then(|matched| match admitted(&matched, &arrival) {
            Ok(()) => Ok(matched),
            Err(error) => Err((error, matched.into_rest())),
        });
    match matched {
        Err(refused) => {
            ControlFlow::Continue(rejected(refused, asker, head, &arrival.options, report))
        }
        Ok(matched) => match matched.reserve(head, &arrival.options) {
            Ok(reserved) => reserved_for(reserved, matched, arrival, report),
            Err(pending) => ControlFlow::Continue(Phase::Limiting {
                limiting: Box::new(Limiting {
                    pending,
                    matched,
                    arrival,
                }),
            }),
        },
    }
}

/// The store of its limits has answered, or has failed.
pub(super) fn limited<S, F>(
    reserved: Result<Reservation, Box<Refusal>>,
    limiting: Limiting<S>,
    report: &mut Report,
) -> ControlFlow<Long<S, F>, Phase<S, F>> {
    let Limiting {
        matched, arrival, ..
    } = limiting;
    report.waited();
    reserved_for(reserved, matched, arrival, report)
}

/// What a request will probably use is reserved, or is not there.
fn reserved_for<S, F>(
    reserved: Result<Reservation, Box<Refusal>>,
    mut matched: Matched,
    arrival: Arrival<S>,
    report: &mut Report,
) -> ControlFlow<Long<S, F>, Phase<S, F>> {
    match reserved {
        Ok(reservation) => {
            matched.set_reservation(reservation, &arrival.head, &arrival.asker, report);
            match matched.recall(&arrival.head) {
                None => chosen(matched, arrival, report),
                Some(pending) => ControlFlow::Continue(Phase::Recalling {
                    recalling: Box::new(Recalling {
                        pending,
                        matched,
                        arrival,
                    }),
                }),
            }
        }
        Err(refusal) => {
            matched.tell_limit(&refusal.by, report);
            let Refusal {
                error, standings, ..
            } = *refusal;
            let refused = (error, matched.into_rest());
            let (asker, head, options) = (&arrival.asker, &arrival.head, &arrival.options);
            let mut phase = rejected(refused, asker, head, options, report);
            if let Phase::Answering { response, .. } = &mut phase
                && options.limits.says_what_is_left
            {
                standings.write(response.headers_mut());
            }
            ControlFlow::Continue(phase)
        }
    }
}

/// It is known, as far as it is, where its session is bound.
pub(super) fn recalled<S, F>(
    recalling: Recalling<S>,
    report: &mut Report,
) -> ControlFlow<Long<S, F>, Phase<S, F>> {
    let Recalling {
        matched, arrival, ..
    } = recalling;
    chosen(matched, arrival, report)
}

/// The request may go on: to an endpoint, or into the queue.
fn chosen<S, F>(
    matched: Matched,
    mut arrival: Arrival<S>,
    report: &mut Report,
) -> ControlFlow<Long<S, F>, Phase<S, F>> {
    let (head, asker) = (&arrival.head, &arrival.asker);
    match matched.choose(head) {
        Err(error) => {
            let refused = (error, matched.into_rest());
            ControlFlow::Continue(rejected(refused, asker, head, &arrival.options, report))
        }
        Ok(Turn::Now(chosen)) => {
            let waiter = waiter(&matched, chosen.0, &mut arrival);
            let timer = timer(matched.server(chosen.0), arrival.deadline);
            let keep_alive = waiter.as_ref().map(|waiter| waiter.interval);
            let dispatched = dispatched(matched, arrival, chosen, timer, keep_alive, report);
            waiting(dispatched, waiter)
        }
        Ok(Turn::Later(target)) => {
            report.queued();
            let waiter = waiter(&matched, target, &mut arrival);
            let queued = Box::new(Queued {
                wait: Box::pin(matched.wait(&arrival.head, target)),
                timer: timer(matched.server(target), arrival.deadline),
                keep_alive: waiter.as_ref().map(|waiter| waiter.interval),
                matched,
                target,
                arrival,
            });
            waiting(Phase::Queueing { queued }, waiter)
        }
    }
}

/// Whether the caller may use the model, and waits long enough.
fn admitted<S>(matched: &Matched, arrival: &Arrival<S>) -> Result<(), RouteError> {
    matched.authorize(&arrival.head, &arrival.options)?;
    deadline::check(arrival.deadline)
}

/// Whether the client gets comments while it waits for this target.
fn waiter<S>(matched: &Matched, target: u32, arrival: &mut Arrival<S>) -> Option<Waiter> {
    let Arrival { head, asker, .. } = arrival;
    let policy = &matched.server(target).policy;
    policy.get_sse_keepalive()?;
    let dialect = Dialect::in_shape(asker.shape(), head.uri.path());
    let mut waiter = Waiter::new(policy, head, dialect, matched.asks_for_stream(), asker.id())?;
    waiter.standings = matched.standings(&arrival.options);
    // Its comments are plain text, so the events behind them must be.
    rewrite::ask_for_plain(&mut head.headers);
    Some(waiter)
}

/// An endpoint has become free; or the queue was full, or the queue timeout or the
/// total timeout has passed first.
pub(super) fn freed<S, F>(
    lease: Option<Lease>,
    queued: Queued<S>,
    report: &mut Report,
) -> Phase<S, F> {
    let Queued {
        matched,
        target,
        timer,
        keep_alive,
        arrival,
        ..
    } = queued;
    report.waited();
    let total = timer.as_ref().map(|timer| timer.deadline());
    let refused = match (lease, deadline::check(arrival.deadline)) {
        (_, Err(error)) => error,
        (Some(lease), Ok(())) if deadline::has_time(total) => {
            let chosen = (target, lease);
            return dispatched(matched, arrival, chosen, timer, keep_alive, report);
        }
        (_, Ok(())) => matched.overloaded(),
    };
    let refused = (refused, matched.into_rest());
    rejected(
        refused,
        &arrival.asker,
        &arrival.head,
        &arrival.options,
        report,
    )
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
    report: &mut Report,
) -> Phase<S, F> {
    let Some(routed) = routed else {
        return Phase::Completed;
    };
    routed.exchange.settle(|| outcome);
    answering(&RouteError::upstream_timeout(), &routed, report)
}

type Answer<R, E> = Result<Response<ResponseBody<R>>, E>;

/// The inner service has answered. Goes on if the gateway answers in its place.
pub(super) fn answered<S, F, R: Body, E: 'static>(
    result: Result<Response<R>, E>,
    routed: Option<Routed>,
    report: &mut Report,
) -> ControlFlow<Answer<R, E>, Phase<S, F>> {
    let Some(mut routed) = routed else {
        return ControlFlow::Break(forwarded(result, report));
    };
    routed.exchange.settle(|| outcome_of(&result));
    // If the client's upload failed, the engine has seen only a part of it, so
    // its answer does not count.
    if let Some(error) = routed.exchange.upload_failure() {
        return ControlFlow::Continue(answering(&error, &routed, report));
    }
    let mut response = match result {
        Ok(response) => response,
        Err(error) => {
            report.unanswered(|| routed.exchange.decision());
            return ControlFlow::Break(report.failed(error));
        }
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgrade = routed.upgrade.take();
        return match switched(response, upgrade, &routed.exchange, report) {
            Ok(response) => ControlFlow::Break(Ok(response)),
            Err(error) => ControlFlow::Continue(answering(&error, &routed, report)),
        };
    }
    let rest = rest(&routed, &mut response);
    let (decision, lease) = routed.exchange.finish();
    let error = response.extensions().get::<RouteError>();
    report.answered(response.status(), &decision, error);
    hear_load(&mut response, &routed, lease.as_ref());
    let version = response.version();
    rewrite::response_head(&mut response);
    routed.via.add(version, response.headers_mut());
    hide_endpoint(response.headers_mut(), decision.address());
    routed.standings.write(response.headers_mut());
    let watch = watch(&response, &routed, &decision, lease.as_ref(), report);
    let exchange = Arc::clone(&routed.exchange);
    let idle_timeout = decision.policy().get_stream_idle_timeout();
    let slow = watch.as_ref().and_then(|_| exchange.slow());
    let interval = routed.keep_alive;
    let keep_alive = interval.and_then(|interval| KeepAlive::new(interval, routed.dialect));
    let held = Held::new(lease, Some(exchange), idle_timeout, std::mem::take(report))
        .learning(learned(&response, &routed, &decision))
        .watching(watch, slow)
        .keeping_alive(keep_alive)
        .hiding_usage(routed.exchange.asks_for_usage());
    if held.may_add() {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response.extensions_mut().insert(decision);
    let body = |body| ResponseBody::upstream(body, Some(held)).draining(rest);
    ControlFlow::Break(Ok(response.map(body)))
}

/// The answer to a request that was not routed.
fn forwarded<R: Body, E>(result: Result<Response<R>, E>, report: &mut Report) -> Answer<R, E> {
    let response = result.or_else(|error| report.failed(error))?;
    report.forwarded(response.status());
    let held = Held::new(None, None, None, std::mem::take(report)).watching(None, None);
    Ok(response.map(|body| ResponseBody::upstream(body, Some(held))))
}

/// Takes what the answer says of its engine's load, if that is of use.
fn hear_load<R>(response: &mut Response<R>, routed: &Routed, lease: Option<&Lease>) {
    if let Some(lease) = lease.filter(|lease| lease.server().uses_reports) {
        let report = load_report::read(response.headers());
        // The engine has done with this one.
        let own = lease.endpoint().in_flight().saturating_sub(1);
        lease.endpoint().report(ReportSource::InBand, report, own);
    }
    if routed.exchange.asks_for_load() {
        load_report::hide(response.headers_mut());
    }
}

/// What remembers the ids in the answer, if it has some.
fn learned<R>(
    response: &Response<R>,
    routed: &Routed,
    decision: &RouteDecision,
) -> Option<LearnedIds> {
    let learns = routed.learns_ids && response.status().is_success();
    learns.then(|| LearnedIds::new(response.headers(), decision))?
}

/// What looks at the answer's events, if anything asks for it.
fn watch<R: Body>(
    response: &Response<R>,
    routed: &Routed,
    decision: &RouteDecision,
    lease: Option<&Lease>,
    report: &Report,
) -> Option<Box<Watch>> {
    let policy = decision.policy();
    let what = policy.get_on_interruption();
    let is_wanted = what != OnInterruption::Pass
        || routed.keep_alive.is_some()
        || policy.get_stream_idle_timeout().is_some()
        || policy.get_first_event_slow().is_some()
        || lease.is_some_and(Lease::wants_beginning);
    let tells = report.reads_answer() || routed.exchange.asks_for_usage();
    let why = (is_wanted, tells);
    if why == (false, false) || !response.status().is_success() {
        return None;
    }
    let has_length = response.body().size_hint().exact().is_some();
    let (dialect, id) = (routed.dialect, routed.asker.id());
    Watch::new(dialect, response.headers(), has_length, why, what, id)
}

/// The gateway's own answer, which drains the rest of the upload.
pub(super) fn own<R>(
    response: Response<Bytes>,
    rest: Option<Box<Drain>>,
    report: &mut Report,
) -> Response<ResponseBody<R>> {
    // The request ends here, whatever becomes of the few bytes.
    drop(std::mem::take(report));
    response.map(|data| ResponseBody::own(data).draining(rest))
}

/// The rest of the upload of a request that has been answered.
fn rest<R: Body>(routed: &Routed, response: &mut Response<R>) -> Option<Box<Drain>> {
    let rest = Drain::of(routed.exchange.upload()?, routed.drain)?;
    if response.body().is_end_stream() {
        // With a length of 0 nobody would poll the body, which drains the upload.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    Some(rest)
}

/// The total timeout, or the client's if that is sooner.
fn timer(server: &Server, deadline: Option<Instant>) -> Timer {
    let timeout = server.policy.get_total_timeout();
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let until = until.into_iter().chain(deadline).min()?;
    Some(Box::pin(sleep_until(until)))
}

fn dispatched<S, F>(
    matched: Matched,
    arrival: Arrival<S>,
    chosen: Chosen,
    timer: Timer,
    keep_alive: Option<Duration>,
    report: &mut Report,
) -> Phase<S, F> {
    let Arrival {
        mut head,
        asker,
        options,
        inner,
        deadline: _,
    } = arrival;
    let drain = options.drain(&head);
    let deadline = timer.as_ref().map(|timer| timer.deadline());
    let dialect = Dialect::in_shape(asker.shape(), head.uri.path());
    let standings = matched.standings(&options);
    let learns_ids = matched.learns_ids(&head);
    if learns_ids {
        rewrite::ask_for_plain(&mut head.headers);
    }
    match matched.dispatch(&options, &mut head, chosen, deadline, report) {
        Err(refused) => rejected(refused, &asker, &head, &options, report),
        Ok((body, exchange)) => {
            let routed = Routed {
                exchange,
                timer,
                asker,
                dialect,
                keep_alive,
                via: options.admission.via.clone(),
                drain,
                standings,
                learns_ids,
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
    report: &mut Report,
) -> Phase<S, F> {
    report.rejected(&error);
    Phase::Answering {
        response: error.answer(asker),
        rest: Drain::of_unread(rest, options.drain(head)),
    }
}

/// The gateway answers a request itself that was routed.
fn answering<S, F>(error: &RouteError, routed: &Routed, report: &mut Report) -> Phase<S, F> {
    report.unanswered(|| routed.exchange.decision());
    report.rejected(error);
    let mut response = error.answer(&routed.asker);
    response.extensions_mut().insert(routed.exchange.decision());
    routed.standings.write(response.headers_mut());
    let rest = routed
        .exchange
        .upload()
        .and_then(|upload| Drain::of(upload, routed.drain));
    Phase::Answering { response, rest }
}

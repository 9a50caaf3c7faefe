//! From one state of a request to the next: one function for each transition.
//!
//! [`answered`] and [`timed_out`] settle an outcome that no layer below has
//! settled. [`answered`] moves the lease into the answer's body; otherwise it is
//! released when [`Routed`] is dropped.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::{
    deadline,
    dispatch::{Matched, Turn},
    phase::{Arrival, Course, Limiting, Next, Phase, Queued, Recalling, Routed, Timer, UNSENT},
    read::reads_on,
    rest,
    upgrade::{Upgrade, switched},
    waiter::Waiter,
};
use crate::{
    attempt::{
        Finished, Held, KeepAlive, LearnedIds, ResponseBody, RouteBody, Watch, fault_of,
        outcome_of, outcome_of_answer,
    },
    config::OnInterruption,
    error::RouteError,
    events::{Api, Format},
    limit::{Refusal, Reservation},
    observe::Report,
    route::{Chosen, CompiledTable, RouteDecision},
    server::{Lease, Outcome, ReportSource, Server},
    upload::{Drain, Received, Refused, Upload},
    wire::{Fields, hide_endpoint, load_report, rewrite},
};

/// The body has been received far enough to route it, or receiving it failed.
pub(super) fn received<S, F>(
    received: Result<Received, Refused>,
    table: Arc<CompiledTable>,
    course: &mut Course<S>,
) -> Next<F> {
    let arrival = course.arrival();
    let received = match received {
        Ok(received) => received,
        Err(refused) => return rejected(refused, course).into(),
    };
    let is_lacking = received.lacks(&arrival.head, |model| {
        table.reads_body_of(model) || table.homes.reads_body(&arrival.head)
    });
    if is_lacking {
        return Next::Phase(Phase::Receiving {
            receive: received.read_on(),
            table: Some(table),
        });
    }
    if received.lacks_plain(|scan| reads_on(&table, &arrival.head, scan, &arrival.options)) {
        return Next::Phase(Phase::Receiving {
            receive: received.inflate(),
            table: Some(table),
        });
    }
    let matched = match Matched::new(table, &arrival.head, received, &arrival.options) {
        Ok(matched) => matched,
        Err(refused) => return rejected(refused, course).into(),
    };
    matched.tell(&mut course.report);
    let arrival = course.arrival();
    if let Err(error) = admitted(&matched, arrival) {
        return rejected((error, matched.into_rest()), course).into();
    }
    if !matched.is_metered() {
        return after_limits(matched, course);
    }
    match matched.reserve(&arrival.head, &arrival.options) {
        Ok(reserved) => reserved_for(reserved, matched, course),
        Err(pending) => Next::Phase(Phase::Limiting {
            limiting: Box::new(Limiting { pending, matched }),
        }),
    }
}

/// The store of its limits has answered, or has failed.
pub(super) fn limited<S, F>(
    reserved: Result<Reservation, Box<Refusal>>,
    limiting: Limiting,
    course: &mut Course<S>,
) -> Next<F> {
    course.report.waited();
    reserved_for(reserved, limiting.matched, course)
}

/// What a request will probably use is reserved, or is not there.
fn reserved_for<S, F>(
    reserved: Result<Reservation, Box<Refusal>>,
    mut matched: Matched,
    course: &mut Course<S>,
) -> Next<F> {
    match reserved {
        Ok(reservation) => {
            let (arrival, asker, report) = course.arrived();
            matched.set_reservation(reservation, &arrival.head, asker, report);
            after_limits(matched, course)
        }
        Err(refusal) => {
            matched.tell_limit(&refusal.by, &course.report);
            let Refusal {
                error, standings, ..
            } = *refusal;
            let says_what_is_left = course.arrival().options.limits.says_what_is_left;
            let mut phase = rejected((error, matched.into_rest()), course);
            if let Phase::Answering { response, .. } = &mut phase
                && says_what_is_left
            {
                standings.write(response.headers_mut());
            }
            phase.into()
        }
    }
}

/// Its limits let the request pass, if it has some.
fn after_limits<S, F>(matched: Matched, course: &mut Course<S>) -> Next<F> {
    match matched.recall(&course.arrival().head) {
        None => chosen(matched, course),
        Some(pending) => Next::Phase(Phase::Recalling {
            recalling: Box::new(Recalling { pending, matched }),
        }),
    }
}

/// The request may go on: to an endpoint, or into the queue. (It is known, as far as it is, where its
/// session is bound.)
pub(super) fn chosen<S, F>(matched: Matched, course: &mut Course<S>) -> Next<F> {
    match matched.choose(&course.arrival().head) {
        Err(error) => rejected((error, matched.into_rest()), course).into(),
        Ok(Turn::Now(chosen)) => {
            let keep_alive = wait_for(&matched, chosen.0, course);
            let timer = timer(matched.server(chosen.0), course.arrival().deadline);
            dispatched(matched, course, chosen, timer, keep_alive)
        }
        Ok(Turn::Later(target)) => {
            course.report.queued();
            let keep_alive = wait_for(&matched, target, course);
            let arrival = course.arrival();
            let queued = Box::new(Queued {
                wait: Box::pin(matched.wait(&arrival.head, target)),
                timer: timer(matched.server(target), arrival.deadline),
                keep_alive,
                matched,
                target,
            });
            Next::Phase(Phase::Queueing { queued })
        }
    }
}

/// Whether the caller may use the model, and waits long enough.
fn admitted(matched: &Matched, arrival: &Arrival) -> Result<(), RouteError> {
    matched.authorize(&arrival.head, &arrival.options)?;
    deadline::check(arrival.deadline)
}

/// If the client gets comments while it waits for this target, says so, and returns how often.
fn wait_for<S>(matched: &Matched, target: u32, course: &mut Course<S>) -> Option<Duration> {
    let policy = &matched.server(target).policy;
    let interval = policy.get_sse_keepalive()?;
    let (Arrival { head, options, .. }, asker, _) = course.arrived();
    let api = Api::of(asker.shape(), head);
    let is_asked_for = api.generates && matched.asks_for_stream();
    let mut waiter = Waiter::new(policy, head, api.dialect, is_asked_for, asker.id())?;
    waiter.standings = matched.standings(options).copied().unwrap_or_default();
    // Its comments are plain text, so the events behind them must be.
    rewrite::ask_for_plain(&mut head.headers);
    course.waiter = Some(Box::new(waiter));
    Some(interval)
}

/// An endpoint has become free; or the queue was full, or the queue timeout or the
/// total timeout has passed first.
pub(super) fn freed<S, F>(lease: Option<Lease>, queued: Queued, course: &mut Course<S>) -> Next<F> {
    let Queued {
        matched,
        target,
        timer,
        keep_alive,
        ..
    } = queued;
    course.report.waited();
    let total = timer.deadline();
    let refused = match (lease, deadline::check(course.arrival().deadline)) {
        (_, Err(error)) => error,
        (Some(lease), Ok(())) if deadline::has_time(total) => {
            return dispatched(matched, course, (target, lease), timer, keep_alive);
        }
        (_, Ok(())) => matched.overloaded(),
    };
    rejected((refused, matched.into_rest()), course).into()
}

/// The inner service is ready.
pub(super) fn call<S>(request: Request<RouteBody>, course: &mut Course<S>) -> Phase<S::Future>
where
    S: Service<Request<RouteBody>>,
{
    // The service is dropped here, so its permits are not kept until the answer comes.
    let mut inner = course.inner.take().expect(UNSENT);
    let call = inner.call(request);
    Phase::Calling { call }
}

/// The total timeout has passed.
pub(super) fn timed_out<S, F>(outcome: Outcome, course: &mut Course<S>) -> Phase<F> {
    given_up(&RouteError::upstream_timeout(), outcome, course)
}

/// The gateway answers `error`, whatever the engine does.
pub(super) fn given_up<S, F>(
    error: &RouteError,
    outcome: Outcome,
    course: &mut Course<S>,
) -> Phase<F> {
    if let Some(exchange) = course.exchange() {
        exchange.settle(|| outcome);
    }
    // What waits for its turn below would keep a place there while the upload is drained.
    (course.request, course.inner) = (None, None);
    answering(error, course)
}

type Answer<R, E> = Result<Response<ResponseBody<R>>, E>;

/// The inner service has answered. Goes on if the gateway answers in its place.
pub(super) fn answered<S, F, R: Body, E: 'static>(
    result: Result<Response<R>, E>,
    course: &mut Course<S>,
) -> ControlFlow<Answer<R, E>, Phase<F>> {
    let Some(exchange) = course.exchange() else {
        return forwarded(result, course);
    };
    let mut response = match result {
        Ok(response) if response.status() != StatusCode::SWITCHING_PROTOCOLS => response,
        other => return without_answer(other, course),
    };
    let (version, fields) = (response.version(), Fields::of(response.headers()));
    // (An `AttemptTimeout` below passes none on.)
    if fields.has(Fields::TRANSFER_CODING)
        && let Err(error) = rewrite::check_transfer(&response)
    {
        exchange.settle(|| Outcome::Failed);
        let error = exchange.upload_failure().unwrap_or(error);
        return ControlFlow::Continue(answering(&error, course));
    }
    let mut finished = match exchange.finish(|| outcome_of_answer(&response)) {
        Ok(finished) => finished,
        Err(error) => return ControlFlow::Continue(answering(&error, course)),
    };
    let Course {
        routed,
        report,
        asker,
        is_open,
        ..
    } = course;
    let routed = routed.as_mut().expect("it has an exchange");
    let (decision, lease) = (&finished.decision, finished.lease.as_ref());
    tell(&response, decision, *is_open, report);
    hear_load(&mut response, routed, lease);
    rewrite::response_head(&mut response, fields);
    let rest = rest::behind(&mut response, finished.upload.as_ref(), routed.drain);
    let headers = response.headers_mut();
    routed.options.admission.via.add(version, headers);
    if fields.has(Fields::LOCATION) {
        hide_endpoint(headers, decision.address());
    }
    if let Some(standings) = &routed.standings {
        standings.write(headers);
    }
    let held = held(&mut finished, &response, routed, report, asker.id());
    if held.may_add() {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    let decision = finished.decision;
    response.extensions_mut().insert(decision.clone());
    routed.exchange = None;
    let body = |body| ResponseBody::upstream(body, held, Some(decision), rest);
    ControlFlow::Break(Ok(response.map(body)))
}

/// Tells of an answer. A client that has got comments (`is_open`) gets an error event in place of one
/// that is no stream.
fn tell<R>(response: &Response<R>, decision: &RouteDecision, is_open: bool, report: &mut Report) {
    let error = response.extensions().get::<RouteError>();
    report.answered(response.status(), decision, error);
    if is_open && let Some(fault) = fault_of(response.status(), response.headers()) {
        report.rejected(&fault);
    }
}

/// The inner service has failed, or the engine has switched protocols.
fn without_answer<S, F, R: Body, E: 'static>(
    result: Result<Response<R>, E>,
    course: &mut Course<S>,
) -> ControlFlow<Answer<R, E>, Phase<F>> {
    let Course { routed, report, .. } = course;
    let Some((exchange, upgrade)) = routed
        .as_mut()
        .and_then(|routed| Some((routed.exchange.as_ref()?, &mut routed.upgrade)))
    else {
        return forwarded(result, course);
    };
    exchange.settle(|| outcome_of(&result));
    // If the client's upload failed, the engine has seen only a part of it, so
    // its answer does not count.
    if let Some(error) = exchange.upload_failure() {
        return ControlFlow::Continue(answering(&error, course));
    }
    let response = match result {
        Ok(response) => response,
        Err(error) => return ControlFlow::Break(failed(error, course)),
    };
    match switched(response, upgrade.take(), exchange, report) {
        Ok(response) => {
            course.routed = None;
            ControlFlow::Break(Ok(response))
        }
        Err(error) => ControlFlow::Continue(answering(&error, course)),
    }
}

/// The inner service has failed, and no layer has turned that into an answer: the request ends
/// here, however long its future lives.
pub(super) fn failed<S, R, E>(error: E, course: &mut Course<S>) -> Answer<R, E> {
    if let Some(exchange) = course.exchange() {
        let decision = exchange.decision();
        course.report.unanswered(|| decision);
    }
    (course.request, course.inner, course.routed) = (None, None, None);
    course.report.failed(error)
}

/// What the answer's body holds to its end.
fn held<R: Body>(
    finished: &mut Finished,
    response: &Response<R>,
    routed: &Routed,
    report: &mut Report,
    id: &HeaderValue,
) -> Held {
    let watch = watch(response, routed, finished, report, id);
    let decision = &finished.decision;
    let idle_timeout = decision.policy().get_stream_idle_timeout();
    let (lease, upload) = (finished.lease.take(), finished.upload.take());
    let mut held = Held::new(lease, upload, idle_timeout, std::mem::take(report));
    held.learn(learned(response, routed, decision));
    let slow = finished.slow.take().filter(|_| watch.is_some());
    held.watch(watch, slow);
    if let Some(interval) = routed.keep_alive {
        held.keep_alive(KeepAlive::new(interval, routed.api.dialect));
    }
    if finished.asks_for_usage {
        held.hide_usage();
    }
    held
}

/// The inner service has answered a request that was not routed, or has failed.
fn forwarded<S, F, R: Body, E>(
    result: Result<Response<R>, E>,
    course: &mut Course<S>,
) -> ControlFlow<Answer<R, E>, Phase<F>> {
    let response = match result {
        Ok(response) => response,
        Err(error) => return ControlFlow::Break(course.report.failed(error)),
    };
    let Some(mut forwarded) = course.forwarded.take() else {
        return ControlFlow::Continue(Phase::Completed);
    };
    match forwarded.answered(response, &mut course.report) {
        Ok(response) => ControlFlow::Break(Ok(response)),
        Err(error) => {
            course.report.rejected(&error);
            let response = error.answer(&course.asker);
            let (upload, limits) = forwarded.into_rest();
            ControlFlow::Continue(Phase::answering(response, upload, limits))
        }
    }
}

/// Takes what the answer says about its engine's load, if that is of use.
fn hear_load<R>(response: &mut Response<R>, routed: &Routed, lease: Option<&Lease>) {
    if let Some(lease) = lease.filter(|lease| lease.server().uses_reports) {
        let report = load_report::read(response.headers());
        // The engine has done with this one.
        let own = lease.endpoint().in_flight().saturating_sub(1);
        lease.endpoint().report(ReportSource::InBand, report, own);
    }
    if routed
        .exchange
        .as_ref()
        .is_some_and(|exchange| exchange.asks_for_load())
    {
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
    finished: &Finished,
    report: &Report,
    id: &HeaderValue,
) -> Option<Box<Watch>> {
    let policy = finished.decision.policy();
    let what = policy.get_on_interruption();
    let is_wanted = what != OnInterruption::Pass
        || routed.keep_alive.is_some()
        || policy.get_stream_idle_timeout().is_some()
        || policy.get_first_event_slow().is_some()
        || finished.lease.as_ref().is_some_and(Lease::wants_beginning);
    let tells = report.reads_answer() || finished.asks_for_usage;
    let why = match routed.api.generates {
        true => (is_wanted, tells),
        false => of_stored(Format::of(response.headers()), is_wanted, tells),
    };
    if why == (false, false) || !response.status().is_success() {
        return None;
    }
    let has_length = response.body().size_hint().exact().is_some();
    Watch::new(routed.api, response.headers(), has_length, why, what, id)
}

/// Why an answer to a GET is looked at. A stream that is taken up again is one of events. Other
/// answers are what an engine keeps: the lines of a file are no events, whatever they say, and an
/// error in a stored response is not one of the engine that returns it.
fn of_stored(format: Format, is_wanted: bool, tells: bool) -> (bool, bool) {
    (
        is_wanted && format == Format::Sse,
        tells && format != Format::Ndjson,
    )
}

/// The gateway's own answer, which drains the rest of the upload.
pub(super) fn own<S, R>(
    response: Response<Bytes>,
    rest: Option<Box<Drain>>,
    course: &mut Course<S>,
) -> Response<ResponseBody<R>> {
    // The request ends here, whatever happens to the few bytes.
    drop(std::mem::take(&mut course.report));
    response.map(|data| ResponseBody::own_draining(data, rest))
}

/// The total timeout, or the client's if that is sooner.
fn timer(server: &Server, deadline: Option<Instant>) -> Timer {
    let timeout = server.policy.get_total_timeout();
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let until = until.into_iter().chain(deadline).min();
    until.map_or(Timer::Never, Timer::At)
}

fn dispatched<S, F>(
    matched: Matched,
    course: &mut Course<S>,
    chosen: Chosen,
    timer: Timer,
    keep_alive: Option<Duration>,
) -> Next<F> {
    let (arrival, asker, report) = course.arrived();
    let (head, options) = (&mut arrival.head, &arrival.options);
    let drain = options.drain(head, arrival.fields);
    let deadline = timer.deadline();
    let api = Api::of(asker.shape(), head);
    let standings = matched.standings(options).copied().map(Box::new);
    let learns_ids = matched.learns_ids(head);
    if learns_ids {
        rewrite::ask_for_plain(&mut head.headers);
    }
    let head = (head, arrival.fields);
    let (body, exchange) = match matched.dispatch(options, head, api, chosen, deadline, report) {
        Ok(dispatched) => dispatched,
        Err(refused) => return rejected(refused, course).into(),
    };
    let arrival = course.arrival.take().expect(UNSENT);
    let Arrival {
        mut head, options, ..
    } = arrival;
    course.routed = Some(Routed {
        exchange: Some(exchange),
        timer,
        api,
        keep_alive,
        drain,
        standings,
        learns_ids,
        upgrade: Upgrade::asked(&mut head, &options.tunnels),
        options,
    });
    Next::Send(Request::from_parts(head, body))
}

fn rejected<S, F>((error, rest): Refused, course: &mut Course<S>) -> Phase<F> {
    course.report.rejected(&error);
    let arrival = course.arrival();
    let limits = arrival.options.drain(&arrival.head, arrival.fields);
    let response = error.answer(&course.asker);
    Phase::answering(response, rest.map(Upload::unread), limits)
}

/// The gateway answers a request itself that was routed.
fn answering<S, F>(error: &RouteError, course: &mut Course<S>) -> Phase<F> {
    let routed = course.routed.take();
    let Some((routed, exchange)) = routed
        .as_ref()
        .and_then(|routed| Some((routed, routed.exchange.as_ref()?)))
    else {
        return Phase::Completed;
    };
    course.report.unanswered(|| exchange.decision());
    course.report.rejected(error);
    let mut response = error.answer(&course.asker);
    response.extensions_mut().insert(exchange.decision());
    if let Some(standings) = &routed.standings {
        standings.write(response.headers_mut());
    }
    Phase::answering(response, exchange.upload(), routed.drain)
}

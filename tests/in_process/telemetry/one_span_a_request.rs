//! The span of each request, and the events in it.

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use test_kit::{
    answer::own,
    body::{script, text},
    mock::{called, mock, ok, waits},
    request::{ASKED, asked, chat_of},
    table::simple,
};
use tokio_test::{assert_ready_ok, task};
use tower::{Layer, Service, ServiceBuilder};
use tower_model_route::{AnswerErrorsLayer, AttemptTimeoutLayer, ModelRouteLayer, SpanLevel};
use tracing::Level;

use super::collect::collecting;

/// The fields that a request's span has from the beginning.
const HEAD: [(&str, &str); 5] = [
    ("model_route.request_id", "req-7"),
    ("http.request.method", "POST"),
    ("url.path", "/v1/chat/completions"),
    ("gen_ai.operation.name", "chat"),
    ("gen_ai.provider.name", "openai"),
];

/// Those that a routed one gets at its end, with what its times are.
const END: [(&str, &str); 10] = [
    ("model_route.requested_model", "asked"),
    ("gen_ai.request.model", "real"),
    ("model_route.route", "route"),
    ("model_route.rule", "rule"),
    ("model_route.server", "server"),
    ("model_route.endpoint", "http://engine:8000"),
    ("model_route.lora", "false"),
    ("model_route.attempts", "1"),
    ("http.response.status_code", "200"),
    ("model_route.end", "ok"),
];

#[test]
fn a_routed_request_has_one_span_with_all_its_fields() {
    let (seen, _guard) = collecting();
    let (mock, mut handle) = mock();
    let mut service = ModelRouteLayer::new(simple()).layer(mock);
    let mut request = asked();
    let id = "req-7".parse().unwrap();
    request.headers_mut().insert("x-request-id", id);
    let mut call = task::spawn(service.call(request));
    waits(&mut call);
    let (_, reply) = called(&mut handle);
    let spans = seen.spans();
    assert_eq!((spans.len(), spans[0].name), (1, "model_route"));
    assert_eq!(spans[0].level, Level::DEBUG);
    assert_eq!(spans[0].fields.all(), HEAD, "the answer is not there yet");
    reply.send_response(ok("text"));
    text(assert_ready_ok!(call.poll()).into_body());
    let spans = seen.spans();
    let fields = spans[0].fields.all();
    let times = |(name, _): &(&str, &str)| name.ends_with("seconds");
    let (times, others): (Vec<_>, Vec<_>) = fields.into_iter().partition(times);
    assert_eq!(others, [&HEAD[..], &END[..]].concat());
    assert_eq!(times.len(), 4, "{times:?}");
    assert_eq!(spans[0].records, 1, "all at once");
    assert!(seen.events().is_empty());
}

#[test]
fn usage_and_times_stand_in_the_span() {
    let (seen, _guard) = collecting();
    let (mock, mut handle) = mock();
    let mut service = ModelRouteLayer::new(simple()).layer(mock);
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    let mut answer = ok(
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n\
         data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\
         \"prompt_tokens_details\":{\"cached_tokens\":1}}}\n\ndata: [DONE]\n\n",
    );
    let events = "text/event-stream".parse().unwrap();
    answer.headers_mut().insert("content-type", events);
    called(&mut handle).1.send_response(answer);
    text(assert_ready_ok!(call.poll()).into_body());
    let span = seen.last_span();
    for (name, value) in [
        ("gen_ai.usage.input_tokens", "3"),
        ("gen_ai.usage.output_tokens", "2"),
        ("gen_ai.usage.cache_read.input_tokens", "1"),
    ] {
        assert_eq!(span.fields.get(name), Some(value));
    }
    let first = span.fields.get("gen_ai.response.time_to_first_chunk");
    assert!(first.unwrap().parse::<f64>().unwrap() >= 0.0);
}

#[test]
fn the_level_is_a_setting_of_the_request_and_its_attempts() {
    for (level, expected) in [
        (SpanLevel::Info, vec![Level::INFO; 2]),
        (SpanLevel::Debug, vec![Level::DEBUG; 2]),
        (SpanLevel::Trace, vec![Level::TRACE; 2]),
        (SpanLevel::Off, vec![]),
    ] {
        let (seen, _guard) = collecting();
        let (mock, _handle) = mock();
        let layer = ModelRouteLayer::new(simple()).span_level(level);
        let mut service = layer.layer(AttemptTimeoutLayer::new().layer(mock));
        waits(&mut task::spawn(service.call(asked())));
        let levels: Vec<_> = seen.spans().iter().map(|span| span.level).collect();
        assert_eq!(levels, expected, "{level:?}");
    }
}

#[test]
fn the_span_is_open_until_the_answers_body_has_ended() {
    let (seen, _guard) = collecting();
    let (mock, mut handle) = mock();
    let mut service = ModelRouteLayer::new(simple()).layer(mock);
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    let (answer, body) = script();
    called(&mut handle).1.send_response(Response::new(body));
    let mut body = assert_ready_ok!(call.poll()).into_body();
    drop(call);
    answer.data("token");
    assert!(task::spawn(body.frame()).poll().is_ready());
    assert!(!seen.spans()[0].closed);
    answer.end();
    assert!(task::spawn(body.frame()).poll().is_ready());
    assert!(seen.spans()[0].closed, "though the body is still there");
}

#[test]
fn what_the_engines_client_says_stands_in_the_span() {
    let (seen, _guard) = collecting();
    let inner = tower::service_fn(async |_| {
        tracing::info!("calling");
        Ok::<_, std::convert::Infallible>(Response::new(Full::<bytes::Bytes>::from("")))
    });
    let mut service = ModelRouteLayer::new(simple()).layer(inner);
    assert_ready_ok!(task::spawn(service.call(asked())).poll());
    assert_eq!(seen.events()[0].span, Some("model_route"));
}

#[test]
fn operations_are_told_by_the_path() {
    for (path, expected) in [
        ("/v1/chat/completions", Some("chat")),
        ("/prefix/v1/messages", Some("chat")),
        ("/v1/completions/", Some("text_completion")),
        ("/v1/embeddings", Some("embeddings")),
        ("/v1/rerank", None),
    ] {
        let (seen, _guard) = collecting();
        let (mock, _handle) = mock();
        let mut service = ModelRouteLayer::new(simple()).layer(mock);
        let request = Request::post(path).body(Full::<bytes::Bytes>::from(ASKED));
        waits(&mut task::spawn(service.call(request.unwrap())));
        assert_eq!(
            seen.spans()[0].fields.get("gen_ai.operation.name"),
            expected,
            "{path}"
        );
    }
}

#[test]
fn a_rejection_is_an_event_at_debug_in_the_span() {
    let (seen, _guard) = collecting();
    let (mock, _handle) = mock();
    let mut service = ModelRouteLayer::new(simple()).layer(mock);
    let unknown = chat_of(r#"{"model":"unknown"}"#);
    let get = Request::get("/health").body(Full::default()).unwrap();
    for (request, status, code, reason) in [
        (
            unknown,
            "404",
            "model_not_found",
            "the model `unknown` does not exist",
        ),
        (
            get,
            "404",
            "unknown_path",
            "no inference API has the path `/health`",
        ),
    ] {
        assert_ready_ok!(task::spawn(service.call(request)).poll());
        let (span, event) = (seen.last_span(), seen.last_event());
        assert_eq!(span.fields.get("http.response.status_code"), Some(status));
        assert_eq!(span.fields.get("error.type"), Some(code));
        assert_eq!(span.fields.get("model_route.route"), None);
        let requested = (code == "model_not_found").then_some("unknown");
        assert_eq!(span.fields.get("model_route.requested_model"), requested);
        assert!(span.closed);
        assert_eq!(
            (event.level, event.span),
            (Level::DEBUG, Some("model_route"))
        );
        assert_eq!(event.fields.get("message"), Some("request rejected"));
        assert_eq!(event.fields.get("status"), Some(status));
        assert_eq!(event.fields.get("code"), Some(code));
        assert_eq!(event.fields.get("reason"), Some(reason));
    }
    assert_eq!((seen.spans().len(), seen.events().len()), (2, 2));
}

#[test]
fn a_failed_call_has_its_error_in_the_span() {
    let (seen, _guard) = collecting();
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(simple()))
        .layer(AnswerErrorsLayer::new())
        .service(mock);
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    called(&mut handle).1.send_error("connection refused");
    own(assert_ready_ok!(call.poll()));
    let (span, event) = (seen.last_span(), seen.last_event());
    assert_eq!(span.fields.get("http.response.status_code"), Some("502"));
    assert_eq!(span.fields.get("error.type"), Some("upstream_unreachable"));
    assert_eq!(span.fields.get("model_route.server"), Some("server"));
    assert_eq!(
        (event.level, event.span),
        (Level::DEBUG, Some("model_route"))
    );
    assert_eq!(event.fields.get("code"), Some("upstream_unreachable"));
    assert_eq!(event.fields.get("reason"), Some("connection refused"));
}

/// A 503 has the route that led to it, though it was sent to no engine.
#[test]
fn a_503_has_its_model_and_route_in_the_span() {
    let (seen, _guard) = collecting();
    let (mock, _handle) = mock();
    let table = test_kit::table::one_server(0, tower_model_route::TrafficPolicy::new());
    let mut service = ModelRouteLayer::new(table).layer(mock);
    own(assert_ready_ok!(task::spawn(service.call(asked())).poll()));
    let span = seen.last_span();
    for (name, value) in [
        ("http.response.status_code", "503"),
        ("error.type", "no_endpoint"),
        ("model_route.requested_model", "asked"),
        ("model_route.route", "route"),
        ("model_route.rule", "rule"),
        ("model_route.end", "error"),
    ] {
        assert_eq!(span.fields.get(name), Some(value));
    }
}

/// An engine that answers, even with an error, has answered.
#[test]
fn an_engines_own_error_is_a_status_and_no_error_of_ours() {
    let (seen, _guard) = collecting();
    let (mock, mut handle) = mock();
    let mut service = ModelRouteLayer::new(simple()).layer(mock);
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    let mut answer = ok("busy");
    *answer.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
    called(&mut handle).1.send_response(answer);
    assert_eq!(text(assert_ready_ok!(call.poll()).into_body()), "busy");
    assert_eq!(
        seen.last_span().fields.get("http.response.status_code"),
        Some("429")
    );
    assert_eq!(seen.last_span().fields.get("error.type"), None);
    assert!(seen.events().is_empty());
}

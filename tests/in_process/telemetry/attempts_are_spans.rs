//! Each attempt is a span in that of its request, and its engine is told of it.

use http::{HeaderName, Request};
use opentelemetry::{
    global,
    trace::{SpanKind, Status, TracerProvider},
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{InMemorySpanExporter, SdkTracerProvider, SpanData},
};
use test_kit::{
    engines::{fails, status},
    gateway::Rig,
    request::asked,
    table::retries,
};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

use super::collect::{collecting, with_another};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// The spans that have ended, while the other two live.
fn exporting() -> (InMemorySpanExporter, SdkTracerProvider, DefaultGuard) {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::Registry::default().with(layer);
    (exporter, provider, with_another(subscriber))
}

fn traced() -> Request<axum::body::Body> {
    let mut request = asked().map(axum::body::Body::new);
    let parent = format!("00-{TRACE}-{CALLER}-01").parse().unwrap();
    request.headers_mut().insert(TRACEPARENT, parent);
    request
}

/// The exported spans of this name, in the order of their beginning.
fn named(exporter: &InMemorySpanExporter, name: &str) -> Vec<SpanData> {
    let mut spans = exporter.get_finished_spans().unwrap();
    spans.retain(|span| span.name == name);
    spans.sort_by_key(|span| span.start_time);
    spans
}

fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let mut attributes = span.attributes.iter();
    let attribute = attributes.find(|attribute| attribute.key.as_str() == name)?;
    Some(attribute.value.to_string())
}

#[tokio::test(start_paused = true)]
async fn each_engine_gets_the_context_of_its_attempt() {
    let (exporter, _provider, _guard) = exporting();
    let rig = Rig::one(3, retries(2));
    rig.engines.next([status(503), fails()]);
    let answer = test_kit::answer::Answer::of(rig.send(traced()).await).await;
    assert_eq!(answer.status(), 200);
    drop((answer, rig.gateway));

    let requests = named(&exporter, "chat asked");
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.span_context.trace_id().to_string(), TRACE);
    assert_eq!(request.parent_span_id.to_string(), CALLER);
    assert_eq!(attribute(request, "gen_ai.request.model").unwrap(), "real");

    let attempts = named(&exporter, "model_route.attempt");
    assert_eq!(attempts.len(), 3);
    let sent = rig.engines.attempts();
    for (attempt, sent) in attempts.iter().zip(&sent) {
        assert_eq!(attempt.parent_span_id, request.span_context.span_id());
        assert_eq!(attempt.span_kind, SpanKind::Client);
        let own = attempt.span_context.span_id();
        let expected = format!("00-{TRACE}-{own}-01");
        assert_eq!(sent.header("traceparent"), Some(&*expected));
        assert_eq!(
            attribute(attempt, "server.address").as_deref(),
            Some(sent.host())
        );
        assert_eq!(attribute(attempt, "server.port").as_deref(), Some("80"));
    }
    let each = |name: &str| {
        attempts
            .iter()
            .map(|span| attribute(span, name))
            .collect::<Vec<_>>()
    };
    let some = |value: &str| Some(value.to_owned());
    assert_eq!(
        each("http.response.status_code"),
        [some("503"), None, some("200")]
    );
    assert_eq!(
        each("error.type"),
        [some("503"), some("no connection"), None]
    );
    assert_eq!(
        each("http.request.resend_count"),
        [None, some("1"), some("2")]
    );
    let failed = attempts
        .iter()
        .map(|span| matches!(span.status, Status::Error { .. }));
    assert_eq!(failed.collect::<Vec<_>>(), [true, true, false]);
}

/// The gateway's own span is not the client's child where the caller has one of its own.
#[tokio::test(start_paused = true)]
async fn a_span_around_the_layer_is_the_parent() {
    let (exporter, _provider, _guard) = exporting();
    let rig = Rig::one(1, retries(0));
    let outer = tracing::info_span!("outer");
    let answer = {
        let _entered = outer.enter();
        futures_util::FutureExt::now_or_never(rig.send(traced())).unwrap()
    };
    drop((answer, rig.gateway));
    let request = &named(&exporter, "chat asked")[0];
    assert_ne!(request.span_context.trace_id().to_string(), TRACE);
}

#[tokio::test(start_paused = true)]
async fn without_a_tracer_the_clients_context_passes() {
    let (seen, _guard) = collecting();
    let rig = Rig::one(1, retries(0));
    rig.send(traced()).await;
    let sent = rig.engines.attempts();
    let expected = format!("00-{TRACE}-{CALLER}-01");
    assert_eq!(sent[0].header("traceparent"), Some(&*expected));
    assert_eq!(seen.spans().len(), 2);
}

//! Trace context between requests' headers and spans, through the propagator that the program
//! has set for OpenTelemetry.

use http::HeaderMap;
use tracing::Span;

/// A request's span without a parent here is a child of what the request says.
#[cfg(feature = "opentelemetry")]
pub(super) fn adopt(span: &Span, headers: &HeaderMap) {
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    if Span::current().is_none() {
        let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.extract(&fields::Read(headers))
        });
        // It fails only where no subscriber of OpenTelemetry's wants the span.
        _ = span.set_parent(parent);
    }
}

/// Names the span in the trace as the GenAI conventions do. (A field `otel.name` would come too
/// late: the span has begun.)
#[cfg(feature = "opentelemetry")]
pub(super) fn rename(span: &Span, operation: &str, model: &str) {
    use opentelemetry::trace::TraceContextExt;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    let context = span.context();
    context.span().update_name(format!("{operation} {model}"));
}

/// The fields that name this span as the parent. Without a context they stay as they are.
#[cfg(feature = "opentelemetry")]
pub(super) fn inject(span: &Span, headers: &mut HeaderMap) {
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    let context = span.context();
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut fields::Write(headers));
    });
}

#[cfg(not(feature = "opentelemetry"))]
pub(super) fn adopt(_: &Span, _: &HeaderMap) {}

#[cfg(not(feature = "opentelemetry"))]
pub(super) fn rename(_: &Span, _: &str, _: &str) {}

#[cfg(not(feature = "opentelemetry"))]
pub(super) fn inject(_: &Span, _: &mut HeaderMap) {}

#[cfg(feature = "opentelemetry")]
mod fields {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use opentelemetry::propagation::{Extractor, Injector};

    pub(super) struct Read<'a>(pub(super) &'a HeaderMap);

    impl Extractor for Read<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(HeaderName::as_str).collect()
        }
    }

    pub(super) struct Write<'a>(pub(super) &'a mut HeaderMap);

    impl Injector for Write<'_> {
        fn set(&mut self, key: &str, value: String) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value))
            {
                // A request that has no room for another field goes without.
                _ = self.0.try_insert(name, value);
            }
        }
    }
}

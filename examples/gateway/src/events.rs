//! Shows what the library warns of, and retries, ejections, reloads and changes of addresses, as they happen.

use std::fmt::{Debug, Write};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::{FilterFn, filter_fn},
    layer::Context,
};

use crate::print::log;

/// Prints the library's warnings, and what it tells of health, reloads, the cluster, limits, addresses and
/// retries; of limits not those that only observe, which is a line for each request.
#[derive(Debug)]
pub(crate) struct Events;

impl Events {
    pub(crate) fn filter() -> FilterFn {
        filter_fn(|event| {
            let Some(target) = event.target().strip_prefix("tower_model_route") else {
                return false;
            };
            let level = match target {
                "::retry" => Level::DEBUG,
                "::dns" | "::health" | "::kube" | "::limit" | "::reload" => Level::INFO,
                _ => Level::WARN,
            };
            event.is_event() && *event.level() <= level
        })
    }
}

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        log(&format!(
            "*** {}{}{}",
            line.message, line.fields, line.error
        ));
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
    error: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String can't fail.
        _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            // It ends the line, or is several: each mistake in the manifests is one.
            "error" => write!(self.error, ": {value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        _ = write!(self.fields, " {}={value}", field.name());
    }
}

//! A subscriber that keeps everything it is told, of the thread that it is set for.

use std::{
    fmt,
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{
    Dispatch, Event, Level, Subscriber,
    dispatcher::DefaultGuard,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Registry,
    layer::{Context, Layer, SubscriberExt},
    registry::LookupSpan,
};

/// Collects until the guard is dropped.
pub(crate) fn collecting() -> (Seen, DefaultGuard) {
    let seen = Seen::default();
    let subscriber = Registry::default().with(Collector(seen.clone()));
    (seen, with_another(subscriber))
}

/// This thread's subscriber until the guard is dropped.
pub(crate) fn with_another(subscriber: impl Into<Dispatch>) -> DefaultGuard {
    // With a single subscriber in the process, tracing asks the thread that first comes to a
    // span whether anyone wants it, and that may be a test without a subscriber. With two it
    // asks them.
    static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Registry::default()));
    LazyLock::force(&SECOND);
    tracing::dispatcher::set_default(&subscriber.into())
}

/// What was recorded, in the order in which it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(&'static str, String)>);

#[derive(Clone, Debug)]
pub(crate) struct SeenSpan {
    id: Id,
    pub(crate) name: &'static str,
    pub(crate) level: Level,
    pub(crate) fields: Fields,
    /// How often fields were added.
    pub(crate) records: usize,
    pub(crate) closed: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct SeenEvent {
    pub(crate) level: Level,
    /// The span in which it stands.
    pub(crate) span: Option<&'static str>,
    pub(crate) fields: Fields,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<(Vec<SeenSpan>, Vec<SeenEvent>)>>);

impl Seen {
    pub(crate) fn spans(&self) -> Vec<SeenSpan> {
        self.0.lock().unwrap().0.clone()
    }

    pub(crate) fn events(&self) -> Vec<SeenEvent> {
        self.0.lock().unwrap().1.clone()
    }

    #[track_caller]
    pub(crate) fn last_span(&self) -> SeenSpan {
        self.spans().pop().expect("there is a span")
    }

    #[track_caller]
    pub(crate) fn last_event(&self) -> SeenEvent {
        self.events().pop().expect("there is an event")
    }

    fn change_span(&self, id: &Id, change: impl FnOnce(&mut SeenSpan)) {
        // A registry uses ids again: the newest span of this id is meant.
        let mut seen = self.0.lock().unwrap();
        if let Some(span) = seen.0.iter_mut().rfind(|span| span.id == *id) {
            change(span);
        }
    }
}

impl Fields {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut named = self.0.iter().filter(|(field, _)| *field == name);
        let value = named.next().map(|(_, value)| &**value);
        assert!(named.next().is_none(), "{name} was recorded twice");
        value
    }

    pub(crate) fn all(&self) -> Vec<(&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect()
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }
}

struct Collector(Seen);

impl<S> Layer<S> for Collector
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        self.0.0.lock().unwrap().0.push(SeenSpan {
            id: id.clone(),
            name: attributes.metadata().name(),
            level: *attributes.metadata().level(),
            fields,
            records: 0,
            closed: false,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.0.change_span(id, |span| {
            values.record(&mut span.fields);
            span.records += 1;
        });
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.0.lock().unwrap().1.push(SeenEvent {
            level: *event.metadata().level(),
            span: context.event_span(event).map(|span| span.name()),
            fields,
        });
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.0.change_span(&id, |span| span.closed = true);
    }
}

//! One list followed: watched, and listed anew whenever the watch is lost for good.

use std::{pin::pin, time::Duration};

use ::kube::{
    Api, Client,
    core::Status,
    runtime::watcher::{self, Event, watcher},
};
use futures_util::StreamExt;
use tokio::{sync::mpsc::Sender, time::sleep};
use tracing::{info, warn};

use super::{kinds::Kind, lists::Change, object::Object};
use crate::pieces::jittered;

/// For how long a watch is asked for. A connection that is lost in silence is noticed five seconds
/// later; nothing else notices, since a watch in which nothing happens is silent.
const WATCH: u32 = 60;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Sends the changes of a list, with its position, for as long as somebody receives them.
pub(super) async fn follow<K: Kind>(
    client: Client,
    namespace: Option<String>,
    labels: Option<String>,
    position: usize,
    changes: Sender<(usize, Change)>,
) {
    let api = match &namespace {
        Some(namespace) => Api::<Object<K>>::namespaced(client, namespace),
        None => Api::all(client),
    };
    let config = watcher::Config {
        label_selector: labels,
        field_selector: K::FIELDS.map(str::to_owned),
        ..watcher::Config::default().timeout(WATCH)
    };
    let mut follower = Follower {
        what: K::PLURAL,
        namespace: namespace.as_deref().unwrap_or("*"),
        streams: true,
        failures: 0,
    };
    while follower.follow(&api, &config, position, &changes).await {}
}

struct Follower<'f> {
    what: &'static str,
    namespace: &'f str,
    /// Whether lists are asked for as streams, which costs the API server and us less memory.
    streams: bool,
    /// In a row.
    failures: u32,
}

impl Follower<'_> {
    /// Follows until it has to be begun anew; `false` if nobody listens any more.
    async fn follow<K: Kind>(
        &mut self,
        api: &Api<Object<K>>,
        config: &watcher::Config,
        position: usize,
        changes: &Sender<(usize, Change)>,
    ) -> bool {
        let config = match self.streams {
            true => config.clone().streaming_lists(),
            false => config.clone(),
        };
        let mut events = pin!(watcher(api.clone(), config));
        while let Some(event) = events.next().await {
            let change = match event {
                Ok(event) => change(event),
                Err(error) if self.streams && is_refused(&error) => {
                    // Kubernetes before 1.32, or above an etcd before 3.5.
                    self.streams = false;
                    return true;
                }
                Err(error) => {
                    self.failed(&error).await;
                    match is_gone(&error) {
                        true => return true,
                        false => continue,
                    }
                }
            };
            if !matches!(change, Change::Begins) {
                self.succeeded();
            }
            if changes.send((position, change)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Says it, the first time, and waits before the next try.
    async fn failed(&mut self, error: &watcher::Error) {
        let Self {
            what, namespace, ..
        } = *self;
        if self.failures == 0 {
            let error = reason(error);
            warn!(target: "tower_model_route::kube", what, namespace, error, "not watched: what is known stays");
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10));
        self.failures += 1;
        sleep(jittered(pause.min(LONGEST_PAUSE), 0.5..1.0)).await;
    }

    fn succeeded(&mut self) {
        if self.failures > 0 {
            let Self {
                what, namespace, ..
            } = *self;
            info!(target: "tower_model_route::kube", what, namespace, "watched again");
        }
        self.failures = 0;
    }
}

fn change<K: Kind>(event: Event<Object<K>>) -> Change {
    match event {
        Event::Init => Change::Begins,
        Event::InitApply(object) => Change::Listed(object.seen()),
        Event::InitDone => Change::Ends,
        Event::Apply(object) => Change::Applied(object.seen()),
        Event::Delete(object) => Change::Deleted(object.name()),
    }
}

/// What an answer or an event says that is an error.
fn status(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => match error {
            ::kube::Error::Api(status) => Some(status),
            _ => None,
        },
        watcher::Error::WatchError(status) => Some(status),
        watcher::Error::NoResourceVersion => None,
    }
}

fn code(error: &watcher::Error) -> Option<u16> {
    status(error).map(|status| status.code)
}

/// Whether the API server does not know lists as streams: it answers that the request makes no sense.
fn is_refused(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(_)) && matches!(code(error), Some(400 | 422))
}

/// Whether the place in the history is gone from which the watch went on. As an event of a watch
/// the watcher knows it; as an answer it would ask for the same place forever.
fn is_gone(error: &watcher::Error) -> bool {
    code(error) == Some(410)
}

/// What the API server has said, or why it could not be asked.
fn reason(error: &watcher::Error) -> String {
    if let Some(status) = status(error) {
        return format!("{} {}: {}", status.code, status.reason, status.message);
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let more = error.to_string();
        // Many say what their source says.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

//! One list followed: watched, and listed anew whenever the watch is lost for good.

use std::{pin::pin, sync::Arc};

use ::kube::{
    Api, Client,
    core::Status,
    runtime::watcher::{self, Event, watcher},
};
use futures_util::{
    StreamExt,
    future::{Either, select},
};
use tokio::{sync::mpsc::Sender, time::sleep};
use tracing::{info, warn};

use super::{
    asking::{Asking, Watches, pause},
    kinds::Kind,
    lists::Change,
    object::Object,
};
use crate::route::{RouteTableHandle, Unwatched};

/// For how long a watch is asked for. A connection that is lost in silence is noticed five seconds
/// later; nothing else notices, since a watch in which nothing happens is silent.
const WATCH: u32 = 60;

/// Sends the changes of a list, with its position, for as long as somebody receives them. The `table`
/// knows when it can't be watched.
pub(super) async fn follow<K: Kind>(
    client: Client,
    table: RouteTableHandle,
    namespace: Option<String>,
    labels: Option<String>,
    position: usize,
    changes: Sender<(usize, Change)>,
) {
    let (client, watches) = Asking::through(client);
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
        objects: (K::PLURAL, namespace.as_deref().unwrap_or("*").into()),
        table,
        watches,
        streams: true,
        is_listing: false,
        is_told: false,
        failures: 0,
    };
    while follower.follow(&api, &config, position, &changes).await {}
}

struct Follower {
    objects: Unwatched,
    table: RouteTableHandle,
    watches: Arc<Watches>,
    /// Whether lists are asked for as streams, which costs the API server and us less memory.
    streams: bool,
    /// Whether a list has begun to arrive and is not whole yet.
    is_listing: bool,
    /// Whether it was said that it is not watched.
    is_told: bool,
    /// In a row.
    failures: u32,
}

impl Follower {
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
        let watches = Arc::clone(&self.watches);
        loop {
            let begun = pin!(watches.begun());
            let event = match select(events.next(), begun).await {
                Either::Left((event, _)) => event,
                Either::Right(((), _)) => {
                    self.begun();
                    continue;
                }
            };
            let Some(event) = event else {
                return true;
            };
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
            self.heard(&change).await;
            if changes.send((position, change)).await.is_err() {
                return false;
            }
        }
    }

    async fn heard(&mut self, change: &Change) {
        match change {
            Change::Begins => {
                if self.is_listing {
                    self.tell("the list has ended before it was whole");
                    self.rest().await;
                }
                self.is_listing = true;
            }
            // It may still break off.
            Change::Listed(_) => {}
            Change::Ends => {
                self.is_listing = false;
                self.succeeded();
            }
            Change::Applied(_) | Change::Deleted(_) => self.succeeded(),
        }
    }

    /// The API server has taken a watch, which may have nothing to tell for long. One that begins with
    /// a list has its use once that is whole.
    fn begun(&mut self) {
        if !self.is_listing {
            self.succeeded();
        }
    }

    async fn failed(&mut self, error: &watcher::Error) {
        // Connections end now and then: that matters if no other can be had.
        if !is_cut(error) || self.is_listing {
            self.tell(&reason(error));
        }
        self.is_listing = false;
        self.rest().await;
    }

    /// Says why it is not watched, once.
    fn tell(&mut self, error: &str) {
        if !self.is_told {
            let (what, namespace) = &self.objects;
            warn!(target: "tower_model_route::kube", what, namespace = &**namespace, error, "not watched: what is known stays");
            self.table.set_watched(&self.objects, false);
        }
        self.is_told = true;
    }

    /// Waits before the next try.
    async fn rest(&mut self) {
        sleep(pause(self.failures)).await;
        self.failures = self.failures.saturating_add(1);
    }

    fn succeeded(&mut self) {
        if self.is_told {
            let (what, namespace) = &self.objects;
            info!(target: "tower_model_route::kube", what, namespace = &**namespace, "watched again");
            self.table.set_watched(&self.objects, true);
        }
        self.is_told = false;
        self.failures = 0;
    }
}

impl Drop for Follower {
    /// What nobody wants to watch any more is not missed.
    fn drop(&mut self) {
        self.table.set_watched(&self.objects, true);
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

/// Whether the connection of a watch was lost.
fn is_cut(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::WatchFailed(::kube::Error::ReadEvents(_))
    )
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

//! From lists to tables: when a table is rebuilt, and from what.

use std::{sync::Arc, time::Duration};

use ::kube::Client;
use tokio::{
    sync::{
        mpsc::{Receiver, Sender},
        watch,
    },
    task::{self, JoinSet},
    time::{Instant, timeout_at},
};
use tracing::warn;

use super::{
    event_objects::EventObjects,
    follow::follow,
    kinds::{EndpointSlice, Kind, ModelRoute, ModelServer, Pod},
    lists::{Change, List},
};
use crate::{
    manifest::{Diagnostic, Manifests, ReadObject, Reloads, on_deep_stack},
    route::RouteTableHandle,
};

/// However often things change, no change waits for longer than this, and the time that a rebuild
/// takes.
const MOST_BEHIND: Duration = Duration::from_secs(1);
/// Between two rebuilds there is this many times what the last one took: where things change all
/// the time, they take a tenth of a core, as long as nothing waits for too long.
const REST: u32 = 9;

/// What manifests need beside the cluster's objects.
pub(super) type Complete = dyn Fn(Manifests) -> Manifests + Send + Sync;

/// Where objects come from.
pub(super) struct Sources {
    pub(super) client: Client,
    pub(super) table: RouteTableHandle,
    /// All namespaces are one that has no name.
    pub(super) namespaces: Vec<Option<String>>,
    pub(super) labels: Option<String>,
    pub(super) changes: Sender<(usize, Change)>,
    pub(super) tasks: JoinSet<()>,
}

impl Sources {
    /// Begins to follow the objects of a kind; the lists are those from the position `first` on.
    fn follow<K: Kind>(&mut self, first: usize) -> Vec<List> {
        let labels = self.labels.as_ref().filter(|_| K::IS_CHOSEN);
        for (position, namespace) in (first..).zip(&self.namespaces) {
            self.tasks.spawn(follow::<K>(
                self.client.clone(),
                self.table.clone(),
                namespace.clone(),
                labels.cloned(),
                position,
                self.changes.clone(),
            ));
        }
        let lists = self.namespaces.iter();
        lists.map(|_| List::new(K::KIND)).collect()
    }
}

/// Keeps the table of a handle as the cluster's objects say.
pub(super) struct Rebuilder {
    sources: Sources,
    changes: Receiver<(usize, Change)>,
    debounce: Duration,
    ready: watch::Sender<bool>,
    events: Option<EventObjects>,
    /// Before this no rebuild is begun, for as long as no change waits for too long.
    rest_until: Instant,
    follows_slices: bool,
}

/// What a rebuild works on, in a thread of its own.
struct Work {
    lists: Vec<List>,
    reloads: Reloads,
    complete: Arc<Complete>,
}

impl Rebuilder {
    pub(super) fn new(
        sources: Sources,
        changes: Receiver<(usize, Change)>,
        debounce: Duration,
        ready: watch::Sender<bool>,
        events: Option<EventObjects>,
    ) -> Self {
        Self {
            sources,
            changes,
            debounce,
            ready,
            events,
            rest_until: Instant::now(),
            follows_slices: false,
        }
    }

    /// Works until the runtime ends, or this is dropped.
    pub(super) async fn run(mut self, reloads: Reloads, complete: Arc<Complete>) {
        let mut lists = self.sources.follow::<ModelRoute>(0);
        lists.extend(self.sources.follow::<ModelServer>(lists.len()));
        lists.extend(self.sources.follow::<Pod>(lists.len()));
        let mut work = Work {
            lists,
            reloads,
            complete,
        };
        while self.changed(&mut work.lists).await {
            if *self.ready.borrow() {
                self.settle(&mut work.lists).await;
            } else if !work.lists.iter().all(List::is_in) {
                // The first table is made of everything.
                continue;
            }
            let Some(worked) = self.rebuild(work).await else {
                return;
            };
            work = worked;
        }
    }

    /// Waits for a change that makes a difference.
    async fn changed(&mut self, lists: &mut [List]) -> bool {
        while let Some(change) = self.changes.recv().await {
            if apply(lists, change) {
                return true;
            }
        }
        false
    }

    /// Waits until nothing changes for a moment, or a change has waited for long enough.
    async fn settle(&mut self, lists: &mut [List]) {
        let latest = Instant::now() + MOST_BEHIND.max(self.debounce);
        loop {
            let quiet = Instant::now() + self.debounce;
            let until = quiet.max(self.rest_until).min(latest);
            match timeout_at(until, self.changes.recv()).await {
                Ok(Some(change)) => apply(lists, change),
                Ok(None) | Err(_) => return,
            };
            if Instant::now() >= latest {
                return;
            }
        }
    }

    /// Makes a table, off the threads that serve requests; `None` if the runtime ends.
    async fn rebuild(&mut self, mut work: Work) -> Option<Work> {
        let begun = Instant::now();
        let rebuilding = task::spawn_blocking(move || {
            let news = work.rebuild();
            (work, news)
        });
        let (mut work, news) = rebuilding.await.ok()?;
        let now = Instant::now();
        self.rest_until = now + (now - begun).saturating_mul(REST);
        if !self.follows_slices && work.names_service() {
            let slices = self.sources.follow::<EndpointSlice>(work.lists.len());
            work.lists.extend(slices);
            self.follows_slices = true;
        }
        if let Some(news) = news {
            // Not before the slices are in, if it has just turned out that they are needed.
            if work.lists.iter().all(List::is_in) {
                self.ready.send_replace(true);
            }
            if let Some(events) = &self.events {
                events.tell(&news, &work.lists);
            }
        }
        Some(work)
    }
}

fn apply(lists: &mut [List], (position, change): (usize, Change)) -> bool {
    let list = lists.get_mut(position);
    list.is_some_and(|list| list.apply(change))
}

impl Work {
    /// Whether some ModelServer has its engines from a Service.
    fn names_service(&self) -> bool {
        let mut objects = self.lists.iter().flat_map(List::objects);
        objects.any(ReadObject::names_service)
    }

    /// The errors in objects that are new; `None` where the table stays as it was, for a mistake
    /// that is in no object.
    fn rebuild(&mut self) -> Option<Vec<Diagnostic>> {
        let lists = &mut self.lists;
        let complete = &self.complete;
        let manifests = || {
            if lists.iter().any(List::has_unread) {
                let read = on_deep_stack(|| lists.iter_mut().for_each(List::read));
                if let Err(error) = read {
                    // They are read with the next change.
                    warn!(target: "tower_model_route::kube", %error, "no thread to read objects");
                }
            }
            complete(Manifests::of_objects(lists.iter().flat_map(List::objects)))
        };
        self.reloads.reload(manifests, |_| Ok(()))
    }
}

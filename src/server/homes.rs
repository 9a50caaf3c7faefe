//! Which engine keeps what a client can ask for later.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::request::Parts;
use tokio::time::Instant;

use crate::{
    config::EngineState,
    model::{id, id_in_body, id_in_path, makes_ids, may_name_id},
    pieces::{Recent, later, lock},
};

/// The ids of responses, files, batches and videos, as hashes, and where each was made.
#[derive(Debug)]
pub(crate) struct Homes {
    /// Without a lock, so that tables without ids cost one load.
    knows_some: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    is_on: bool,
    kept_for: Duration,
    homes: Recent<Arc<Home>>,
}

/// Where something was made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Home {
    /// The model that the request was routed by.
    pub(crate) model: Arc<str>,
    /// Whether the request has named none.
    pub(crate) is_unnamed: bool,
    /// The name of the ModelServer.
    pub(crate) server: Arc<str>,
    /// The URI of the endpoint.
    pub(crate) endpoint: Arc<str>,
}

impl Homes {
    /// With the defaults if there is no configuration.
    pub(crate) fn new(config: Option<&EngineState>) -> Arc<Self> {
        let default = EngineState::default();
        let config = config.unwrap_or(&default);
        Arc::new(Self {
            knows_some: AtomicBool::new(false),
            known: Mutex::new(Known {
                is_on: config.is_on(),
                kept_for: config.get_kept_for(),
                homes: Recent::new(config.get_max_ids()),
            }),
        })
    }

    /// Adopts the options of `new`.
    pub(crate) fn change(&self, new: &Self) {
        let (is_on, kept_for, max) = {
            let new = lock(&new.known);
            (new.is_on, new.kept_for, new.homes.max())
        };
        let mut known = lock(&self.known);
        known.is_on = is_on;
        known.kept_for = kept_for;
        known.homes.limit(if is_on { max } else { 0 });
        let knows_some = is_on && known.homes.len() > 0;
        self.knows_some.store(knows_some, Ordering::Relaxed);
    }

    /// Whether the answer to this request has ids that are to be remembered.
    pub(crate) fn learns_from(&self, head: &Parts) -> bool {
        makes_ids(head) && lock(&self.known).is_on
    }

    /// Whether this request may name an id in its body.
    pub(crate) fn reads_body(&self, head: &Parts) -> bool {
        self.knows_some.load(Ordering::Relaxed) && may_name_id(head)
    }

    /// An id in an answer from there.
    pub(crate) fn learn(&self, text: &[u8], home: &Arc<Home>) {
        let mut known = lock(&self.known);
        if let Some(until) = known.until() {
            known.homes.put(id(text), Arc::clone(home), until);
            self.knows_some.store(true, Ordering::Relaxed);
        }
    }

    /// Where the object named in the path was made.
    pub(crate) fn of_path(&self, head: &Parts) -> Option<Arc<Home>> {
        let knows_some = self.knows_some.load(Ordering::Relaxed);
        self.find(knows_some.then(|| id_in_path(head.uri.path()))??)
    }

    /// The same, without counting as a use.
    pub(crate) fn peek(&self, head: &Parts) -> Option<Arc<Home>> {
        let knows_some = self.knows_some.load(Ordering::Relaxed);
        let id = knows_some.then(|| id_in_path(head.uri.path()))??;
        lock(&self.known).homes.get(id, Instant::now()).cloned()
    }

    /// Where the object named in the body was made.
    pub(crate) fn of_body(&self, body: &[u8]) -> Option<Arc<Home>> {
        self.find(id_in_body(body)?)
    }

    fn find(&self, id: u64) -> Option<Arc<Home>> {
        let mut known = lock(&self.known);
        let home = known.homes.get(id, Instant::now()).cloned()?;
        if let Some(until) = known.until() {
            known.homes.touch(id, until);
        }
        Some(home)
    }
}

impl Known {
    fn until(&self) -> Option<Instant> {
        self.is_on.then(|| later(Instant::now(), self.kept_for))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(endpoint: &str) -> Arc<Home> {
        Arc::new(Home {
            model: "m".into(),
            is_unnamed: false,
            server: "s".into(),
            endpoint: endpoint.into(),
        })
    }

    fn get(path: &str) -> Parts {
        http::Request::get(path).body(()).unwrap().into_parts().0
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn an_id_is_known_for_its_time_since_it_was_last_asked_for() {
        let homes = Homes::new(Some(&EngineState::new().kept_for(HOUR)));
        let asked = get("/v1/responses/resp_1");
        assert!(homes.of_path(&asked).is_none());
        homes.learn(b"resp_1", &home("http://a"));
        for _ in 0..3 {
            tokio::time::advance(HOUR / 2).await;
            assert_eq!(homes.of_path(&asked), Some(home("http://a")));
        }
        let body = br#"{"previous_response_id":"resp_1"}"#;
        assert_eq!(homes.of_body(body), Some(home("http://a")));
        tokio::time::advance(HOUR).await;
        assert!(homes.of_path(&asked).is_none() && homes.of_body(body).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_may_be_known_for_ever() {
        let homes = Homes::new(Some(&EngineState::new().kept_for(Duration::MAX)));
        homes.learn(b"resp_1", &home("http://a"));
        tokio::time::advance(24 * HOUR).await;
        let asked = get("/v1/responses/resp_1");
        assert_eq!(homes.of_path(&asked), Some(home("http://a")));
    }

    #[test]
    fn ids_are_bounded_and_a_reload_may_change_how_many() {
        let homes = Homes::new(Some(&EngineState::new().max_ids(2)));
        let knows = |id: &str| homes.of_path(&get(&format!("/v1/files/{id}"))).is_some();
        for id in ["file-1", "file-2", "file-3"] {
            homes.learn(id.as_bytes(), &home("http://a"));
        }
        assert_eq!(
            ["file-1", "file-2", "file-3"].map(knows),
            [false, true, true]
        );
        homes.change(&Homes::new(Some(&EngineState::new().max_ids(1))));
        assert_eq!(["file-2", "file-3"].map(knows), [false, true]);
        homes.change(&Homes::new(Some(&EngineState::off())));
        homes.learn(b"file-4", &home("http://a"));
        assert_eq!(["file-3", "file-4"].map(knows), [false, false]);
    }
}

//! Access to the bindings of sessions in Redis.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{registry::opened, store::RedisStore};
use crate::{
    config::SessionSticky,
    limit::{bindings::Bind, shared::SharedStore},
};

/// The longest that a request waits for an answer.
const PATIENCE: Duration = Duration::from_millis(50);

/// Keeps the bindings of sessions in the Redis that a policy names.
#[derive(Debug)]
pub(crate) struct SessionStore {
    redis: Arc<RedisStore>,
    /// How it does.
    shared: Arc<SharedStore>,
}

impl SessionStore {
    /// The one that this names, if it names one.
    pub(crate) fn of(config: &SessionSticky) -> Option<Arc<Self>> {
        let named = (config.get_redis()?.to_owned(), config.secret().cloned());
        let (shared, redis) = opened(named)?;
        Some(Arc::new(Self { redis, shared }))
    }

    /// Writes a binding a little later, and tells where the session is bound then.
    pub(crate) fn bind(&self, bind: Bind) {
        self.redis.bind_later(bind);
    }

    /// Where a session is bound; `None` if it is not, or the store has failed, now or a moment ago.
    pub(crate) async fn look_up(&self, key: Arc<str>) -> Option<String> {
        if self.shared.is_paused() {
            return None;
        }
        match timeout(PATIENCE, self.redis.look_up(&key)).await {
            Ok(Ok(found)) => {
                self.shared.answered(&[], &[]);
                found
            }
            Ok(Err(error)) => {
                self.shared.failed(&error.into());
                None
            }
            Err(_) => {
                self.shared.failed(&"it has not answered in 50 ms".into());
                None
            }
        }
    }
}

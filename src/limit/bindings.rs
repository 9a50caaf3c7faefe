//! Bindings of sessions that are kept outside of the process.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

/// A binding that is to be written.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "redis"),
    expect(dead_code, reason = "nothing writes it")
)]
pub(crate) struct Bind {
    /// What Redis calls the session.
    pub(crate) key: Arc<str>,
    /// The endpoint: the 16 digits that it is known by, a space, and its URI for people.
    pub(crate) to: Arc<str>,
    /// The digits of the endpoint in whose place it comes, or "". The binding to any other stays.
    pub(crate) from: String,
    /// For how long.
    pub(crate) idle: Duration,
    /// Who is told where the session is bound, and what they call the session.
    pub(crate) told: (Weak<dyn Bound>, u64),
}

#[cfg(feature = "redis")]
impl Bind {
    /// Says where the session is bound.
    pub(super) fn tell(&self, to: &str) {
        let (told, session) = &self.told;
        if let Some(told) = told.upgrade() {
            told.bound(*session, to);
        }
    }
}

/// Is told where a session is bound.
pub(crate) trait Bound: fmt::Debug + Send + Sync {
    #[cfg_attr(
        not(any(feature = "redis", test)),
        expect(dead_code, reason = "nobody tells")
    )]
    fn bound(&self, session: u64, to: &str);
}

/// None is built.
#[cfg(not(feature = "redis"))]
#[derive(Debug)]
pub(crate) enum SessionStore {}

#[cfg(not(feature = "redis"))]
impl SessionStore {
    pub(crate) fn of(_config: &crate::config::SessionSticky) -> Option<Arc<Self>> {
        None
    }

    pub(crate) fn bind(&self, _bind: Bind) {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "as with Redis")]
    pub(crate) async fn look_up(&self, _key: Arc<str>) -> Option<String> {
        match *self {}
    }
}

//! The endpoint for a request of a session, and the binding that results.

use std::sync::{Arc, Weak};

use super::{
    health::HealthState,
    key::Caller,
    model_server::Server,
    sessions::{Choice, Then, endpoint_in},
};
use crate::limit::{Bind, Bound};

/// A session that is not known here and may be known elsewhere.
pub(crate) struct Unknown {
    server: Arc<Server>,
    session: u64,
}

impl Server {
    /// The endpoint for a request of this session; `None` if there is no session, or no endpoint is
    /// usable.
    pub(super) fn for_session(
        &self,
        session: Option<u64>,
        usable: impl Fn(usize) -> bool,
    ) -> Option<Choice> {
        let (sticky, session) = (self.sticky.as_deref()?, session?);
        let bound = self.live.sessions.of(session);
        let known = bound.and_then(|endpoint| sticky.position(endpoint));
        let choice = |position, then| Choice {
            position,
            session,
            then,
        };
        let then = match known {
            Some(position) if usable(position) => return Some(choice(position, Then::Stays)),
            Some(position) if self.is_only_busy(position) => Then::IsElsewhere,
            _ => Then::Moves(bound),
        };
        Some(choice(sticky.home(session, usable)?, then))
    }

    /// Whether this endpoint, which is not usable now, will be soon: it is full, has asked for a
    /// pause, or is being tried; or only this request can't use it, because it has been there
    /// before.
    fn is_only_busy(&self, position: usize) -> bool {
        let endpoint = self.endpoints.get(position);
        endpoint.is_some_and(|endpoint| match endpoint.health.state() {
            HealthState::Healthy
            | HealthState::HalfOpen
            | HealthState::Tried
            | HealthState::Cooling(_) => true,
            HealthState::Ejected(_)
            | HealthState::Failing(_)
            | HealthState::Unhealthy
            | HealthState::Draining => false,
        })
    }

    /// A request has been given the endpoint of this choice.
    pub(super) fn has_gone(&self, choice: Choice) {
        let Some(sticky) = self.sticky.as_deref() else {
            return;
        };
        let (session, sessions) = (choice.session, &self.live.sessions);
        let Some(seat) = sticky.endpoints.get(choice.position) else {
            return;
        };
        let from = match choice.then {
            Then::IsElsewhere => return,
            Then::Stays if !sessions.used(session, sticky.idle) => return,
            Then::Stays => None,
            Then::Moves(from) => {
                sessions.bind(session, seat.id, sticky);
                from
            }
        };
        if let Some(store) = &sticky.store {
            let told = Arc::downgrade(sessions) as Weak<dyn Bound>;
            store.bind(Bind {
                key: sticky.name(session),
                to: format!("{:016x} {}", seat.id, seat.uri).into(),
                from: from.map_or_else(String::new, |id| format!("{id:016x}")),
                idle: sticky.idle,
                told: (told, session),
            });
        }
    }

    /// Whether others may have bound sessions.
    pub(crate) fn shares_sessions(&self) -> bool {
        let sticky = self.sticky.as_deref();
        sticky.is_some_and(|sticky| sticky.store.is_some())
    }

    /// The session of this request, if it is not bound here and others may have bound it.
    pub(crate) fn unknown_session(self: &Arc<Self>, caller: Caller<'_>) -> Option<Unknown> {
        let sticky = self.sticky.as_deref()?;
        sticky.store.as_ref()?;
        let session = sticky.session(caller)?;
        let is_bound = self.live.sessions.of(session).is_some();
        (!is_bound).then(|| Unknown {
            server: Arc::clone(self),
            session,
        })
    }

    /// The endpoint that the session of this request is bound to, if it is; this does not count
    /// as a use.
    pub(crate) fn bound_endpoint(&self, caller: Caller<'_>) -> Option<usize> {
        let sticky = self.sticky.as_deref()?;
        let bound = self.live.sessions.of(sticky.session(caller)?)?;
        sticky.position(bound)
    }
}

impl Unknown {
    /// Asks the store; from then on the session is bound here, if it is bound there.
    pub(crate) async fn recall(self) {
        let Some(sticky) = self.server.sticky.as_deref() else {
            return;
        };
        let Some(store) = &sticky.store else {
            return;
        };
        let found = store.look_up(sticky.name(self.session)).await;
        let sessions = &self.server.live.sessions;
        if let Some(endpoint) = found.as_deref().and_then(endpoint_in)
            && sessions.of(self.session).is_none()
        {
            sessions.bind(self.session, endpoint, sticky);
        }
    }
}

//! Which endpoints a request could go to, without sending one.

use super::{
    model_server::{Pass, Server},
    wanted::Wanted,
};

impl Server {
    /// Whether [`pick`](Self::pick) might choose the endpoint at this position.
    pub(crate) fn might_take(
        &self,
        position: usize,
        pass: Pass,
        wanted: Option<Wanted<'_>>,
    ) -> bool {
        let sought = self.sought(wanted);
        let is_usable = |position: usize| {
            let endpoint = self.endpoints.get(position);
            endpoint.is_some_and(|endpoint| {
                self.is_usable(endpoint, pass) && Self::may_have(endpoint, sought)
            })
        };
        let is_first = |position| {
            let own = self.own_zone(is_usable);
            own.is_none_or(|zones| zones.is_own(position))
        };
        let is_chosen = match pass {
            Pass::Proven | Pass::Healthy => is_usable(position) && is_first(position),
            Pass::LastResort => self.last_resort(is_usable) == Some(position),
        };
        self.is_open() && is_chosen
    }
}

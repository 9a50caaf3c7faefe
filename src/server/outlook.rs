//! Which endpoints a request could go to, without sending one.

use super::model_server::{Pass, Server};

impl Server {
    /// Whether [`pick`](Self::pick) might choose the endpoint at this position.
    pub(crate) fn might_take(&self, position: usize, pass: Pass) -> bool {
        let is_usable = |position: usize| {
            let endpoint = self.endpoints.get(position);
            endpoint.is_some_and(|endpoint| self.is_usable(endpoint, pass))
        };
        let is_chosen = match pass {
            Pass::Proven | Pass::Healthy => is_usable(position),
            Pass::LastResort => self.last_resort(is_usable) == Some(position),
        };
        self.is_open() && is_chosen
    }
}

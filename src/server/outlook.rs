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
            Pass::Healthy => is_usable(position),
            Pass::LastResort => {
                let usable = (0..self.endpoints.len()).filter(|&position| is_usable(position));
                let last_resort =
                    usable.min_by_key(|&position| self.endpoints[position].health.state().rank());
                last_resort == Some(position)
            }
        };
        self.is_open() && is_chosen
    }
}

//! Which endpoints a request could go to, without sending one.

use super::model_server::{Choice, Server};

impl Server {
    /// Whether [`pick`](Self::pick) might choose the endpoint at this position.
    pub(crate) fn might_take(&self, position: usize, choice: Choice) -> bool {
        let is_usable = |position: usize| {
            let endpoint = self.endpoints.get(position);
            endpoint.is_some_and(|endpoint| self.is_usable(endpoint, choice))
        };
        let is_chosen = match choice {
            Choice::Sound => is_usable(position),
            Choice::LeastBad => {
                let usable = (0..self.endpoints.len()).filter(|&position| is_usable(position));
                let least_bad =
                    usable.min_by_key(|&position| self.endpoints[position].health.standing());
                least_bad == Some(position)
            }
        };
        self.is_open() && is_chosen
    }
}

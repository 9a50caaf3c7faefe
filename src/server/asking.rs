//! From what is known about a request to the inputs of the choice of an
//! endpoint.

use super::{
    ask::{Ask, Tokens},
    balance::prompt::Prompt,
    key::Caller,
    model_server::Server,
};

impl Server {
    /// Whether the choice of an endpoint does not depend on the request.
    pub(super) fn asks_nothing(&self) -> bool {
        // With at most one endpoint the balancer is not touched: with many
        // ModelServers, the cost is the number of cache lines touched.
        self.sticky.is_none() && (self.endpoints.len() <= 1 || self.balancer.asks_nothing())
    }

    /// What a request asks of this ModelServer.
    pub(crate) fn ask(&self, caller: &Caller<'_>) -> Ask {
        if self.asks_nothing() {
            return Ask::default();
        }
        let sticky = self.sticky.as_deref();
        let session = sticky.and_then(|sticky| sticky.session(*caller));
        if let [] | [_] = *self.endpoints {
            return Ask {
                session,
                ..Ask::default()
            };
        }
        let wants = self.balancer.wants();
        let estimates = self.estimates();
        let tokens = match wants.tokens {
            true => Tokens {
                prompt: estimates.input(&caller.estimate),
                output: estimates.expected_output(&caller.estimate),
            },
            false => Tokens::default(),
        };
        let own = self.model.as_ref().map(|model| &*model.name);
        let engine_model = || caller.model.of_server(own).name;
        Ask {
            session,
            key: self.balancer.key(*caller, engine_model),
            is_weighed: wants.tokens,
            tokens,
            prompt: wants.prompt.then(|| {
                let blocks = caller.body.blocks.clone().unwrap_or_default();
                Prompt::new(blocks, engine_model(), estimates.bytes_per_token())
            }),
            model: wants.model.then(|| engine_model().into()),
        }
    }
}

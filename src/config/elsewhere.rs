//! The options of a policy about requests that another engine may serve.

use super::traffic_policy::TrafficPolicy;

impl TrafficPolicy {
    /// Whether a request for a model that its engine does not have goes on to another endpoint that
    /// may have it, most often a LoRA adapter that is loaded on some of them. On by default.
    ///
    /// An engine says so with a 404 (vLLM: `The model .. does not exist`, with the name that it was
    /// asked for; the code `model_not_found`), SGLang with a 400 for an adapter that is not loaded;
    /// the guide on [adapters](crate::guide::adapters) lists the messages that count. The endpoint
    /// is then skipped for this model for 60 s, as long as another may have it. Each endpoint is
    /// asked once; this costs no retry and nothing of the budget, since the engine has done no
    /// work. If no endpoint has the model, the client gets the engine's last answer.
    ///
    /// It needs the [`AttemptTimeoutLayer`](crate::AttemptTimeoutLayer), which reads such an answer
    /// of up to 4 KiB, and the [`FailoverLayer`](crate::FailoverLayer) to send the request again.
    /// The policy that counts is that of the ModelServer that answered. If off, nothing is learned
    /// from such an answer.
    pub fn retry_unknown_model(mut self, on: bool) -> Self {
        self.declined.retry_unknown_model = on;
        self
    }

    /// Whether a request that is too long for its model's context goes on to another ModelServer,
    /// when the engine answers 400 and says so (vLLM's `maximum context length`; the code
    /// `context_length_exceeded`). Off by default.
    ///
    /// It goes to the rule's targets whose [`max_model_len`](crate::ModelServer::max_model_len) is
    /// known to be longer, and then to its [fallbacks](crate::Rule::fallback) in order, except
    /// those whose maximum is known to be no longer. It costs no retry and nothing of the budget.
    /// If none is left, the client gets the engine's last answer.
    ///
    /// It needs the layers that [`retry_unknown_model`](Self::retry_unknown_model) needs.
    pub fn retry_too_long(mut self, on: bool) -> Self {
        self.declined.retry_too_long = on;
        self
    }

    /// Whether a request for a model that its engine does not have goes on to another endpoint.
    pub fn get_retry_unknown_model(&self) -> bool {
        self.declined.retry_unknown_model
    }

    /// Whether a request that is too long for its model goes on to another ModelServer.
    pub fn get_retry_too_long(&self) -> bool {
        self.declined.retry_too_long
    }
}

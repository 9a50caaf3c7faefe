//! The receiver of the answers.

use std::sync::Arc;

use http::Response;

use crate::server::{Endpoint, Server};

/// Who asks: reads the answers, whose bodies are `R`, and hears what they say.
pub(crate) trait Listener<R>: Send + 'static {
    /// What an answer says.
    type Said: Send + 'static;

    /// Reads an answer, within the time that a request has; `None` if it says nothing.
    fn read(answer: Response<R>) -> impl Future<Output = Option<Self::Said>> + Send;

    /// A round begins, and these are the endpoints of the table, each with the first ModelServer
    /// that has it; what is known of others can be forgotten.
    fn begin(&mut self, endpoints: &[(Arc<Endpoint>, Arc<Server>)]);

    /// What this endpoint has said; `None` if there was no answer in time, or one that says
    /// nothing.
    fn heard(&mut self, endpoint: Arc<Endpoint>, said: Option<Self::Said>);
}

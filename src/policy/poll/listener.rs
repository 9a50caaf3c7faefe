//! The receiver of the answers.

use std::sync::Arc;

use http::Response;

use crate::server::{Endpoint, Server};

/// The receiver of a poll's answers, whose bodies are `R`.
pub(crate) trait Listener<R>: Send + 'static {
    /// What an answer says.
    type Reading: Send + 'static;

    /// Reads an answer, within the time that a request has; `None` if it says nothing.
    fn read(answer: Response<R>) -> impl Future<Output = Option<Self::Reading>> + Send;

    /// A round begins, and these are the endpoints of the table, each with the first ModelServer
    /// that has it; what is known about others can be forgotten.
    fn begin(&mut self, endpoints: &[(Arc<Endpoint>, Arc<Server>)]);

    /// What this endpoint answered; `None` if there was no answer in time, or one that says
    /// nothing.
    fn heard(&mut self, endpoint: Arc<Endpoint>, reading: Option<Self::Reading>);
}

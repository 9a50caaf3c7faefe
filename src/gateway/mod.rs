//! The life of one request.
//!
//! [`service`] looks at the head before it reads any of the body: it may answer
//! at once (`GET /v1/models`, a refusal), forward the request without routing
//! it ([`forwarded`]), or begin to receive the body. From then on the request is a [`future`],
//! which is a state machine ([`phase`]). Each state ends in a function of
//! [`steps`], which returns the next state:
//!
//! - *Receiving* (folder `upload/`): the body is scanned as it arrives, until
//!   the model is known. Then [`dispatch`] finds the rule and an endpoint
//!   (folders `route/`, `server/`).
//! - *Limiting*: the store that keeps the route's limits is asked.
//! - *Queueing*: all endpoints are full, and the request waits for one.
//! - *Sending*: the head and the body have been rewritten for the engine (folder
//!   `wire/`), an exchange holds the endpoint's lease (folder `attempt/`), and
//!   the inner service is driven to readiness.
//! - *Calling*: the inner service (folder `policy/`, then the client) is at
//!   work. Its answer is passed on as a stream that holds the lease to its end.
//! - *Answering*: the gateway answers the request itself.
//!
//! No state runs in its own task, so dropping the future cancels the request: it
//! drops the upload and the call, and releases the lease. Only a WebSocket session
//! ([`upgrade`]) has a task, which begins with the engine's 101.

mod authorize;
mod deadline;
mod dispatch;
mod forwarded;
mod future;
mod layer;
mod limits;
mod options;
mod phase;
mod read;
mod rest;
mod routing;
mod service;
mod steps;
mod upgrade;
mod visible_models;
mod waiter;

pub use self::{
    authorize::RuleMatch, future::ResponseFuture, layer::ModelRouteLayer,
    service::ModelRouteService,
};

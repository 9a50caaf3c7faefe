//! The story of one request.
//!
//! [`service`] takes a first look at the head, before anything of the body is
//! read: it may answer at once (`GET /v1/models`, a refusal), forward the
//! request without routing it, or begin to receive the body. From there the
//! request is a [`future`], which is a table of states ([`phase`]); each state
//! ends in a function of [`steps`]:
//!
//! - *Receiving* (room `upload/`): the body is scanned as it arrives, until
//!   the model is known. Then [`dispatch`] finds the rule and an endpoint
//!   (room `route/`, `server/`).
//! - *Queueing*: all endpoints are full, and the request waits for one.
//! - *Sending*: the head and the body are those for the engine (room `wire/`),
//!   an exchange counts the request there (room `attempt/`), and the inner
//!   service is driven to readiness.
//! - *Calling*: the inner service (room `policy/`, then the client) is at work.
//!   Its answer is handed on as a stream that holds the lease to its end.
//! - *Answering*: an answer of the gateway's own.
//!
//! A future that is dropped drops everything: the upload, the call, the lease.
//! No state runs in a task of its own.

mod dispatch;
mod future;
mod layer;
mod options;
mod phase;
mod service;
mod steps;

pub use self::{
    future::ResponseFuture, layer::ModelRouteLayer, options::WithoutModel,
    service::ModelRouteService,
};

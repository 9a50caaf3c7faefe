//! The story of one request.

mod dispatch;
mod future;
mod layer;
mod options;
mod service;

pub use self::{
    future::ResponseFuture, layer::ModelRouteLayer, options::WithoutModel,
    service::ModelRouteService,
};

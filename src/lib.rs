//! x
mod answer_errors;
mod body;
mod decision;
mod dispatch;
mod error;
mod future;
mod layer;
mod model;
mod models;
mod rewrite;
mod route;
mod server;
mod service;
mod trace;

pub use self::{
    answer_errors::{AnswerErrors, AnswerErrorsFuture, AnswerErrorsLayer},
    body::{ResponseBody, RouteBody},
    decision::RouteDecision,
    error::{BuildError, Mistake, MistakeKind, RouteError, RouteErrorKind},
    future::ResponseFuture,
    layer::{ModelRouteLayer, WithoutModel},
    model::{ExtractModel, ExtractedModel, JsonBody},
    route::{
        ModelMatch, ModelRoute, RouteTable, RouteTableBuilder, Rule, StringMatch, TargetModel,
    },
    server::{EndpointSnapshot, ModelServer, ServerSnapshot},
    service::ModelRouteService,
};

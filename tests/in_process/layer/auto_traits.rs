//! What each public type may be used for: across threads, again, and without pinning.
//!
//! These tests fail by not compiling.

use std::{convert::Infallible, error::Error, fmt::Debug};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{Full, combinators::UnsyncBoxBody};
use test_kit::body::BoxError;
use tower::{Layer, Service};
use tower_model_route::{
    AnswerErrors, AnswerErrorsFuture, AnswerErrorsLayer, BuildError, EndpointSnapshot,
    ExtractModel, ExtractedModel, JsonBody, Mistake, MistakeKind, ModelMatch, ModelRoute,
    ModelRouteLayer, ModelRouteService, ModelServer, ResponseBody, ResponseFuture, RouteBody,
    RouteDecision, RouteError, RouteErrorKind, RouteTable, RouteTableBuilder, Rule, ServerSnapshot,
    StringMatch, TargetModel, WithoutModel,
};

fn send<T: Send>() {}
fn sync<T: Sync>() {}
fn unpin<T: Unpin>() {}
fn clone<T: Clone>() {}
fn debug<T: Debug>() {}
fn static_<T: 'static>() {}
fn error<T: Error + Clone + Send + Sync + Unpin + 'static>() {}
fn body<T: Body<Data = Bytes, Error: Into<BoxError>>>() {}
fn infallible<T: Service<Request<RouteBody>, Error = Infallible>>() {}

/// Values: they go anywhere.
fn value<T: Clone + Debug + Send + Sync + Unpin + 'static>() {}

type Inner = fn(Request<RouteBody>) -> Answer;
type Answer = std::future::Ready<Result<Response<Full<Bytes>>, std::io::Error>>;
type Engine = tower::util::ServiceFn<Inner>;
/// Neither Sync nor, as a type, known to be anything else: what many servers' bodies are.
type Boxed = UnsyncBoxBody<Bytes, BoxError>;

#[test]
fn configuration_and_results_are_plain_values() {
    value::<RouteTable>();
    value::<RouteTableBuilder>();
    value::<ModelServer>();
    value::<ModelRoute>();
    value::<Rule>();
    value::<ModelMatch>();
    value::<StringMatch>();
    value::<TargetModel>();
    value::<WithoutModel>();
    value::<JsonBody>();
    value::<ExtractedModel>();
    value::<RouteDecision>();
    value::<ServerSnapshot>();
    value::<EndpointSnapshot>();
    value::<Mistake>();
    value::<MistakeKind>();
    value::<RouteErrorKind>();
    send::<Box<dyn ExtractModel>>();
    sync::<Box<dyn ExtractModel>>();
}

#[test]
fn errors_are_errors() {
    error::<RouteError>();
    error::<BuildError>();
}

#[test]
fn layers_and_services_can_be_shared_and_cloned() {
    value::<ModelRouteLayer>();
    value::<AnswerErrorsLayer>();
    send::<ModelRouteService<Engine>>();
    sync::<ModelRouteService<Engine>>();
    clone::<ModelRouteService<Engine>>();
    unpin::<ModelRouteService<Engine>>();
    static_::<ModelRouteService<Engine>>();
    send::<AnswerErrors<Engine>>();
    sync::<AnswerErrors<Engine>>();
    clone::<AnswerErrors<Engine>>();
    unpin::<AnswerErrors<Engine>>();
    debug::<ModelRouteService<()>>();
    debug::<AnswerErrors<()>>();
    infallible::<AnswerErrors<Engine>>();
}

#[test]
fn futures_go_to_another_thread() {
    send::<ResponseFuture<Engine>>();
    unpin::<ResponseFuture<Engine>>();
    debug::<ResponseFuture<Engine>>();
    send::<AnswerErrorsFuture<Answer>>();
    sync::<AnswerErrorsFuture<Answer>>();
    unpin::<AnswerErrorsFuture<Answer>>();
    debug::<AnswerErrorsFuture<Answer>>();
}

#[test]
fn bodies_go_to_another_thread() {
    // It may hold the client's own body, which needs not be Sync: so it is not.
    send::<RouteBody>();
    unpin::<RouteBody>();
    clone::<RouteBody>();
    debug::<RouteBody>();
    static_::<RouteBody>();
    body::<RouteBody>();
    send::<ResponseBody<Boxed>>();
    unpin::<ResponseBody<Boxed>>();
    sync::<ResponseBody<Full<Bytes>>>();
    debug::<ResponseBody<Full<Bytes>>>();
    body::<ResponseBody<Full<Bytes>>>();
    body::<ResponseBody<Boxed>>();
}

/// What servers ask of a service, asked of the whole.
#[test]
fn the_stack_mounts_where_services_must_not_fail() {
    fn mounts<S>(_: S)
    where
        S: Service<Request<axum::body::Body>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
    }
    let table = RouteTable::builder().build().unwrap();
    let inner: Inner = |_| std::future::ready(Ok(Response::default()));
    let answering = AnswerErrorsLayer::new().layer(tower::service_fn(inner));
    mounts(ModelRouteLayer::new(table).layer(answering));
}

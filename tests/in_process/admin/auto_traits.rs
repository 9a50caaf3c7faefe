//! What the view and explanations may be used for. These tests fail by not compiling.

use std::{convert::Infallible, fmt::Debug};

use axum::response::IntoResponse;
use bytes::Bytes;
use http::Request;
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use serde::Serialize;
use test_kit::table::hostile_names;
use tower::Service;
use tower_model_route::{
    Admin, AdminBody, AdminFuture, EndpointSnapshot, Explanation, ServerSnapshot,
};

type Boxed = UnsyncBoxBody<Bytes, std::io::Error>;

fn value<T: Clone + Debug + Send + Sync + Unpin + 'static>() {}
fn serialize<T: Serialize>() {}
fn body<T: Body<Data = Bytes, Error = Infallible>>() {}
fn future<T: Future + Send + Unpin + Debug>() {}

#[test]
fn plain_values() {
    value::<Admin>();
    value::<AdminBody>();
    value::<Explanation>();
    body::<AdminBody>();
    future::<AdminFuture<Boxed>>();
}

#[test]
fn what_is_serializable() {
    serialize::<Explanation>();
    serialize::<ServerSnapshot>();
    serialize::<EndpointSnapshot>();
}

#[test]
fn it_mounts_where_services_must_not_fail() {
    fn mounts<S>(_: S)
    where
        S: Service<Request<axum::body::Body>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
    }
    mounts(Admin::new(hostile_names()));
}

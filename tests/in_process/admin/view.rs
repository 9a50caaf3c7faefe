//! A request to the view of a table with hostile names.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use test_kit::{answer::Answer, table::hostile_names};
use tower::ServiceExt;
use tower_model_route::Admin;

pub(super) async fn send(admin: Admin, request: Request<Full<Bytes>>) -> Answer {
    Answer::of(admin.oneshot(request).await.unwrap()).await
}

/// Asks it at `path` to explain.
pub(super) async fn explain(
    admin: Admin,
    path: &str,
    headers: impl IntoIterator<Item = (&str, &str)>,
    question: impl Into<Bytes>,
) -> Answer {
    let request = headers
        .into_iter()
        .fold(Request::post(path), |request, (name, value)| {
            request.header(name, value)
        });
    let request = request.body(Full::new(question.into())).unwrap();
    send(admin, request).await
}

pub(super) const JSON: (&str, &str) = ("content-type", "application/json");

pub(super) async fn ask(method: Method, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Full::default()).unwrap();
    send(
        Admin::new(hostile_names()).show_header("user-type"),
        request,
    )
    .await
}

pub(super) async fn get(path: &str) -> Answer {
    ask(Method::GET, path).await
}

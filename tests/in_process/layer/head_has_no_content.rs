//! Answers of the gateway's own to HEAD: not every server leaves their content out.

use std::{convert::Infallible, io};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Empty;
use test_kit::{body::text, table::simple};
use tower::{ServiceExt, service_fn};
use tower_model_route::{RouteBody, RouteError, RouteErrorKind, stack};

/// The status, the length as its field has it, and the content of the answer; no engine is reachable.
fn ask(method: Method, path: &str) -> (StatusCode, Option<HeaderValue>, String) {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let away = service_fn(|_: Request<RouteBody>| async {
        Err::<Response<Empty<Bytes>>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
    });
    let call = stack(simple()).service(away).oneshot(request);
    let answer: Result<_, Infallible> = call.now_or_never().unwrap();
    let (head, body) = answer.unwrap().into_parts();
    let length = head.headers.get("content-length").cloned();
    assert!(head.headers.contains_key("content-type"));
    assert!(length.is_none() || body.size_hint().exact() == Some(0));
    (head.status, length, text(body))
}

#[test]
fn it_has_the_head_of_get_alone() {
    for (path, status) in [
        ("/v1/models", 200),
        ("/v1/models/nobody", 404),
        ("/unknown", 404),
        ("/v1/models/asked/ready", 502),
    ] {
        let (of_get, _, content) = ask(Method::GET, path);
        let (of_head, length, nothing) = ask(Method::HEAD, path);
        assert_eq!((of_get.as_u16(), of_head.as_u16()), (status, status));
        assert_eq!(length, Some(content.len().into()), "{path}");
        assert_eq!(nothing, "", "{path}");
        assert!(!content.is_empty());
    }
}

#[test]
fn an_answer_that_a_program_makes_has_none_either() {
    let error = RouteError::new(RouteErrorKind::ModelNotFound, "there is none");
    let request = |method| Request::builder().method(method).body(()).unwrap();
    let of_get = error.to_response_to(&request(Method::GET));
    let of_head = error.to_response_to(&request(Method::HEAD));
    assert_eq!(
        of_head.headers()["content-length"],
        HeaderValue::from(of_get.body().len())
    );
    assert!(of_head.body().is_empty());
}

//! What can't be passed on is refused before anything is decided by it.

use http::{HeaderName, HeaderValue, Request};
use http_body_util::Full;
use test_kit::{
    answer::Answer,
    gateway::Rig,
    request::{ASKED, asked},
};
use tower_model_route::TrafficPolicy;

#[tokio::test(start_paused = true)]
async fn one_host_at_most_and_that_of_the_target() {
    let rig = Rig::one(1, TrafficPolicy::new());
    for (uri, hosts, status) in [
        ("/v1/chat", &[][..], 200),
        ("/v1/chat", &["gateway.test"], 200),
        ("/v1/chat", &[""], 200),
        ("/v1/chat", &["a", "b"], 400),
        ("/v1/chat", &["a", "a"], 400),
        ("/v1/chat", &["a, b"], 400),
        ("/v1/chat", &["user@a"], 400),
        ("http://a.test/v1/chat", &[], 200),
        ("http://a.test/v1/chat", &["A.test:80"], 200),
        ("https://a.test:443/v1/chat", &["a.test"], 200),
        ("http://me@a.test/v1/chat", &["a.test"], 200),
        ("http://a.test/v1/chat", &["b.test"], 400),
        ("http://a.test/v1/chat", &["a.test:81"], 400),
        ("http://a.test/v1/chat", &[""], 400),
    ] {
        let mut request = Request::post(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        let request = request.body(Full::<bytes::Bytes>::from(ASKED)).unwrap();
        let answer = Answer::of(rig.send(request).await).await;
        assert_eq!(answer.status(), status, "{uri} {hosts:?}");
        if status == 400 {
            assert_eq!(answer.code(), "invalid_host");
            assert!(rig.engines.attempts().is_empty());
        } else {
            rig.engines.attempts().remove(0);
        }
    }
}

/// There is room for what the gateway adds: a map of headers that is full panics.
#[tokio::test(start_paused = true)]
async fn very_many_fields_are_refused() {
    let rig = Rig::one(1, TrafficPolicy::new());
    for (count, status) in [(19_000, 200), (24_576, 431)] {
        let mut request = asked();
        for number in 0..count {
            let name = HeaderName::try_from(format!("x-{number}")).unwrap();
            let value = HeaderValue::from_static("1");
            request.headers_mut().insert(name, value);
        }
        assert_eq!(rig.send(request).await.status(), status);
    }
}

/// Nothing that an engine says can, either.
#[tokio::test(start_paused = true)]
async fn very_many_fields_of_an_engine_reach_the_client() {
    use tower::{Layer, ServiceExt};
    let table = test_kit::table::one_server(1, TrafficPolicy::new());
    let engine = tower::service_fn(|_: Request<tower_model_route::RouteBody>| async {
        let mut answer = http::Response::new(Full::<bytes::Bytes>::default());
        let headers = answer.headers_mut();
        headers.insert("connection", HeaderValue::from_static("x-1, x-absent"));
        for number in 0.. {
            let name = HeaderName::try_from(format!("x-{number}")).unwrap();
            if headers
                .try_insert(name, HeaderValue::from_static("1"))
                .is_err()
            {
                break;
            }
        }
        Ok::<_, std::convert::Infallible>(answer)
    });
    let service = tower_model_route::ModelRouteLayer::new(table).layer(engine);
    let answer = service.oneshot(asked()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().len() > 20_000);
    assert!(!answer.headers().contains_key("x-1"));
}

//! `stack(table)`: its error, and where it mounts.

use axum::{Router, body::Body};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use test_kit::{
    answer::Answer,
    engines::{EngineService, Engines, fails, says, status},
    gateway::Gateway,
    request::asked,
    table::{one_server, retries},
};
use tower::{ServiceBuilder, ServiceExt};
use tower_http::set_header::SetRequestHeaderLayer;
use tower_model_route::{ModelRouteLayer, RouteStackService, RouteTableHandle, stack};

#[tokio::test(start_paused = true)]
async fn it_mounts_in_axum_as_it_is() {
    let engines = Engines::default();
    let client = engines.service();
    let table = one_server(2, retries(1));
    let app: Router = Router::new()
        .route("/health", axum::routing::get(async || "fine"))
        .nest_service("/engines", stack(table.clone()).service(client.clone()))
        .route_service(
            "/v1/chat/completions",
            stack(table.clone()).service(client.clone()),
        )
        .fallback_service(stack(table).service(client));
    for uri in [
        "/v1/chat/completions",
        "/v1/completions",
        "/engines/v1/chat/completions",
    ] {
        engines.next([status(503), says(200, "from an engine")]);
        let request = Request::post(uri)
            .body(Body::from(r#"{"model":"asked"}"#))
            .unwrap();
        let Ok(answer) = app.clone().oneshot(request).await;
        assert_eq!(Answer::of(answer).await.text(), "from an engine", "{uri}");
    }
    engines.everywhere(fails);
    let Ok(answer) = app.clone().oneshot(asked().map(Body::new)).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let Ok(answer) = app
        .oneshot(Request::get("/health").body(Body::empty()).unwrap())
        .await;
    assert_eq!(Answer::of(answer).await.text(), "fine");
}

#[tokio::test(start_paused = true)]
async fn it_takes_a_handle_or_a_layer_too() {
    let engines = Engines::default();
    let client = engines.service();
    let table = one_server(1, retries(0));
    let handle = RouteTableHandle::new(table.clone());
    for service in [
        Gateway::new(stack(handle).service(client.clone())),
        Gateway::new(stack(ModelRouteLayer::new(table).max_body_bytes(1 << 20)).service(client)),
    ] {
        let Ok(answer) = service.oneshot(asked()).await;
        assert_eq!(answer.status(), 200);
    }
}

/// What a user would write down in a struct.
struct Owner {
    service: RouteStackService<EngineService>,
}

#[tokio::test(start_paused = true)]
async fn the_finished_service_has_a_name() {
    let engines = Engines::default();
    let owner = Owner {
        service: stack(one_server(1, retries(0))).service(engines.service()),
    };
    let Ok(answer) = owner.service.clone().oneshot(asked()).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn further_layers_go_below_the_others_in_the_order_in_which_they_are_added() {
    let engines = Engines::default();
    let mark = |value| {
        let value = HeaderValue::from_static(value);
        SetRequestHeaderLayer::appending(HeaderName::from_static("x-mark"), value)
    };
    let layers = stack(one_server(2, retries(1)))
        .layer(mark("a"))
        .layer(mark("b"));
    let by_builder = ServiceBuilder::new().layer(layers.clone());
    for service in [
        Gateway::over(&engines, layers),
        Gateway::new(by_builder.service(engines.service())),
    ] {
        engines.next([status(503)]);
        let Ok(answer) = service.oneshot(asked()).await;
        assert_eq!(answer.status(), 200);
        let attempts = engines.attempts();
        assert_eq!(attempts.len(), 2);
        for attempt in attempts {
            let marks: Vec<_> = attempt.head.headers.get_all("x-mark").iter().collect();
            assert_eq!(marks, ["a", "b"], "once for each attempt");
        }
    }
}

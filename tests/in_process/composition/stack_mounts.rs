//! `stack(table)`: its error, and where it mounts.

use axum::{Router, body::Body};
use http::{Request, StatusCode};
use test_kit::{
    answer::Answer,
    engines::{Engines, fails, says, status},
    gateway::Gateway,
    request::asked,
    table::{one_server, retries},
};
use tower::ServiceExt;
use tower_model_route::{ModelRouteLayer, RouteTableHandle, stack};

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

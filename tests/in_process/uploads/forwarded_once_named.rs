//! How much of a body that is already there is read before the request goes on.

use std::convert::Infallible;

use http::{Request, Response};
use test_kit::{
    body::{script_of, text},
    request::chat,
    table::simple,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_model_route::{ModelRouteLayer, RouteBody};

const FIRST: &[u8] = br#"{"model":"asked","prompt":"#;
const REST: &[u8] = br#""0123456789012345678901234"}"#;

/// How often the body was asked before the engine was called: there are two chunks, and both are
/// there.
async fn taken(replay_bytes: usize) -> usize {
    let (client, body) = script_of(Some((FIRST.len() + REST.len()) as u64));
    client.data(FIRST).data(REST).end();
    let engine = service_fn(move |_: Request<RouteBody>| {
        let count = client.polls().to_string();
        async move { Ok::<_, Infallible>(Response::new(count)) }
    });
    let service = ModelRouteLayer::new(simple())
        .replay_bytes(replay_bytes)
        .layer(engine);
    let answer = service.oneshot(chat(body)).await.unwrap();
    text(answer.into_body()).parse().unwrap()
}

#[tokio::test]
async fn a_body_too_large_to_be_kept_goes_on_as_soon_as_it_names_its_model() {
    assert_eq!(taken(FIRST.len() + REST.len() - 1).await, 1);
}

#[tokio::test]
async fn one_that_can_be_kept_is_read_as_far_as_it_is_there() {
    // The second one is the last, which its length says.
    assert!(taken(FIRST.len() + REST.len()).await >= 2);
}

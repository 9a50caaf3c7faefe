//! `Via`, and the end of loops.

use http::StatusCode;
use test_kit::{
    answer::Answer,
    engines::says,
    gateway::Rig,
    request::{asked, get},
    table::one_server,
};
use tower_model_route::{ModelRouteLayer, TrafficPolicy, Via};

fn rig(via: Option<Via>) -> Rig {
    let table = one_server(1, TrafficPolicy::new());
    Rig::with(table, |table| match via {
        Some(via) => ModelRouteLayer::new(table).via(via),
        None => ModelRouteLayer::new(table),
    })
}

#[tokio::test(start_paused = true)]
async fn both_ways_have_the_field_and_keep_that_of_others() {
    let rig = rig(Some(Via::named("gw").unwrap()));
    rig.engines.next([says(200, "").header("via", "1.0 cache")]);
    let mut request = asked();
    *request.version_mut() = http::Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert("via", "1.1 edge".parse().unwrap());
    let answer = Answer::of(rig.send(request).await).await;
    let sent = rig.engines.attempts().remove(0);
    let all = |headers: &http::HeaderMap| -> Vec<String> {
        let values = headers.get_all("via").iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(all(&sent.head.headers), ["1.1 edge", "2 gw"]);
    assert_eq!(all(answer.headers()), ["1.0 cache", "1.1 gw"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_here_is_a_508_at_once() {
    let rig = rig(None);
    rig.ask().await;
    let via = rig.engines.attempts().remove(0).head.headers["via"].clone();
    let mut request = asked();
    request.headers_mut().insert("via", via.clone());
    let answer = Answer::of(rig.send(request).await).await;
    assert_eq!(answer.status(), StatusCode::LOOP_DETECTED);
    assert_eq!(answer.json()["error"]["code"], "loop_detected");
    assert!(rig.engines.attempts().is_empty());
    // Whatever it asks for.
    let request = get("/v1/models").header("via", via);
    let request = request.body(axum::body::Body::empty()).unwrap();
    assert_eq!(rig.send(request).await.status(), 508);
}

#[tokio::test(start_paused = true)]
async fn it_can_be_turned_off() {
    let rig = rig(Some(Via::off()));
    let answer = rig.ask().await;
    let sent = rig.engines.attempts().remove(0);
    assert_eq!((sent.header("via"), answer.header("via")), (None, None));
}

//! A body beside a model in the path or the query: kept for a while, then forwarded.

use std::convert::Infallible;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use test_kit::{
    answer::Answer,
    body::{script_of, text},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_model_route::{ModelRoute, ModelRouteLayer, ModelServer, RouteBody, RouteTable, Rule};

const PADDING: &str = r#"{"padding":"0123456789","#;

fn layer() -> ModelRouteLayer {
    let to = |name: &str| {
        let rule = Rule::new("all").target(name);
        ModelRoute::new(name).model_name(name).rule(rule)
    };
    let server = |name: &str| ModelServer::new(name).endpoint("http://engine.test");
    let table = RouteTable::builder()
        .model_server(server("alias").model("real"))
        .model_server(server("kept"))
        .model_route(to("alias"))
        .model_route(to("kept"))
        .build()
        .unwrap();
    ModelRouteLayer::new(table).replay_bytes(PADDING.len() - 1)
}

/// The answer to a request whose body comes in these chunks, and what the engine got before it
/// broke off.
async fn sent(uri: &str, chunks: &[&'static str]) -> (Answer, String, bool) {
    let (client, body) = script_of(None);
    for chunk in chunks {
        client.data(*chunk);
    }
    client.end();
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let engine = service_fn(move |request: Request<RouteBody>| {
        let sender = sender.clone();
        async move {
            let mut body = request.into_body();
            let mut got = Vec::new();
            let mut is_whole = true;
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => got.extend(frame.into_data().unwrap_or_default()),
                    Err(_) => {
                        is_whole = false;
                        break;
                    }
                }
            }
            sender.send((got, is_whole)).unwrap();
            Ok::<_, Infallible>(Response::new(String::new()))
        }
    });
    let request = Request::post(uri).body(body).unwrap();
    let answer = layer().layer(engine).oneshot(request).await.unwrap();
    let answer = Answer::without_limit(answer).await;
    let (got, is_whole) = seen.recv().await.unwrap_or_default();
    (answer, String::from_utf8(got).unwrap(), is_whole)
}

const URIS: [&str; 3] = [
    "/v1/models/NAME:predict",
    "/openai/deployments/NAME/chat/completions",
    "/v1/realtime?model=NAME",
];

#[tokio::test]
async fn what_is_forwarded_may_still_name_the_same_model() {
    for uri in URIS {
        for rest in [r#""model":"kept"}"#, r#""x":1}"#] {
            let uri = uri.replace("NAME", "kept");
            let (answer, got, is_whole) = sent(&uri, &[PADDING, rest]).await;
            assert_eq!(answer.status(), StatusCode::OK, "{uri}");
            assert!(is_whole);
            assert_eq!(got, format!("{PADDING}{rest}"));
        }
    }
    let (answer, ..) = sent("/v1/models/kept:x", &[PADDING, r#""model":"models/kept"}"#]).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn another_model_breaks_it_off() {
    for uri in URIS {
        for rest in [
            r#""model":"other"}"#,
            r#""model":null}"#,
            r#""Model":"kept"}"#,
            r#""model":"kept","model":"kept"}"#,
        ] {
            let uri = uri.replace("NAME", "kept");
            let (answer, got, is_whole) = sent(&uri, &[PADDING, rest]).await;
            assert_eq!(
                (answer.status().as_u16(), &*answer.code()),
                (400, "ambiguous_model")
            );
            assert!(!is_whole && !got.contains("odel"), "{got}");
        }
    }
}

#[tokio::test]
async fn the_same_model_breaks_it_off_where_it_had_to_be_rewritten() {
    for uri in URIS {
        let uri = uri.replace("NAME", "alias");
        let (answer, _, is_whole) = sent(&uri, &[PADDING, r#""model":"alias"}"#]).await;
        assert_eq!(
            (answer.status().as_u16(), &*answer.code()),
            (400, "ambiguous_model")
        );
        assert!(!is_whole);
        let (answer, got, is_whole) = sent(&uri, &[PADDING, r#""x":1}"#]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(is_whole && got.ends_with(r#""x":1}"#));
    }
}

#[tokio::test]
async fn a_model_within_the_bytes_that_are_kept_is_rewritten() {
    let uri = "/v1/models/alias:predict";
    let (answer, got, _) = sent(
        uri,
        &[r#"{"model":"#, r#""alias","#, r#""x":"0123456789"}"#],
    )
    .await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(got, r#"{"model":"real","x":"0123456789"}"#);
}

#[tokio::test]
async fn it_is_asked_for_no_more_than_that_before_the_engine_is_called() {
    for (uri, content_type, expected) in [
        ("/v1/models/kept:predict", "application/json", 2),
        // What can't be JSON can't name a model: nothing is waited for.
        ("/v1/models/kept:predict", "audio/wav", 1),
    ] {
        let first = if expected == 1 { "RIFF" } else { r#"{"x":""# };
        let (client, body) = script_of(None);
        client
            .data(first)
            .data("0123456789012345678901234")
            .data("x")
            .end();
        let polls = client.clone();
        let engine = service_fn(move |_: Request<RouteBody>| {
            let count = polls.polls().to_string();
            async move { Ok::<_, Infallible>(Response::new(count)) }
        });
        let request = Request::post(uri).header("content-type", content_type);
        let service = layer()
            .replay_bytes(if expected == 1 { 3 } else { 20 })
            .layer(engine);
        let answer = service.oneshot(request.body(body).unwrap()).await.unwrap();
        let polled: usize = text(answer.into_body()).parse().unwrap();
        assert_eq!(polled, expected, "{content_type}");
    }
}

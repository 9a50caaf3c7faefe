//! `authorize`: asked once the rule is known, and before anything of an engine is touched.

use std::{
    error::Error,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, request::Parts};
use test_kit::{
    answer::Answer,
    body::script,
    engines::{Engines, says},
    exchange::Outcome,
    mock::mock,
    paused::within,
    request::{chat, chat_of, get, post},
    table::{in_flight, single},
};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_model_route::{
    ExtractModel, JsonBody, ModelRoute, ModelRouteLayer, RouteError, RouteErrorKind, RouteTable,
    Rule, RuleMatch, TrafficPolicy, WithoutModel,
};

const ASKED: &str = r#"{"model":"asked"}"#;

/// A split over three servers.
fn table() -> RouteTable {
    let policy = || TrafficPolicy::new().max_in_flight(1);
    let rule = Rule::new("all").target("a").target("b").target("c");
    RouteTable::builder()
        .model_server(single("a", policy()))
        .model_server(single("b", policy()))
        .model_server(single("c", policy()))
        .model_route(
            ModelRoute::new("route")
                .model_name("asked")
                .lora_adapter("lora")
                .rule(rule),
        )
        .build()
        .unwrap()
}

fn only_with_key(head: &Parts, _: &RuleMatch<'_>) -> Result<(), RouteError> {
    match head.extensions.get::<&str>() {
        Some(_) => Ok(()),
        None => Err(RouteError::new(RouteErrorKind::Forbidden, "not for you")),
    }
}

fn with_key<B>(mut request: Request<B>) -> Request<B> {
    request.extensions_mut().insert("key");
    request
}

async fn send<B>(layer: &ModelRouteLayer, engines: &Engines, request: Request<B>) -> Outcome
where
    B: http_body::Body<Data = bytes::Bytes, Error = std::convert::Infallible> + Send + 'static,
{
    Outcome::of(engines, layer.layer(engines.service()), request).await
}

#[tokio::test]
async fn it_sees_what_is_asked_for_and_where_it_goes() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let layer = ModelRouteLayer::new(table())
        .extract_model(JsonBody::new().map_name(|_, name| Ok(name.to_lowercase())))
        .authorize(move |head, to| {
            told.lock().unwrap().push(format!(
                "{} {}, {}, {}, {}, {}",
                head.uri.path(),
                to.requested_model(),
                to.model(),
                to.route(),
                to.rule(),
                to.is_lora()
            ));
            Ok(())
        });
    let engines = Engines::default();
    engines.everywhere(|| says(200, ""));
    for model in ["ASKED", "lora", "unknown"] {
        send(
            &layer,
            &engines,
            chat_of(format!(r#"{{"model":"{model}"}}"#)),
        )
        .await;
    }
    let layer = layer.without_model(WithoutModel::Route("route".to_owned()));
    send(&layer, &engines, chat_of("{}")).await;
    let expected = [
        "/v1/chat/completions ASKED, asked, route, all, false",
        "/v1/chat/completions lora, lora, route, all, true",
        "/v1/chat/completions , asked, route, all, false",
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_refusal_is_the_answer_and_costs_the_engines_nothing() {
    let run = async |refused: usize| {
        let table = table();
        let layer = ModelRouteLayer::new(table.clone()).authorize(only_with_key);
        let engines = Engines::default();
        engines.everywhere(|| says(200, ""));
        let mut hosts = Vec::new();
        for _ in 0..6 {
            // Never as many as would bring a split of three back to where it was.
            for _ in 0..refused {
                let outcome = send(&layer, &engines, chat_of(ASKED)).await;
                assert_eq!(outcome.status(), 403);
                assert_eq!(outcome.answer.code(), "forbidden");
                let ours = send(&layer, &engines, post("/v1/messages", ASKED)).await;
                assert_eq!(ours.answer.json()["error"]["type"], "permission_error");
            }
            let outcome = send(&layer, &engines, with_key(chat_of(ASKED))).await;
            hosts.push(outcome.forwarded().host().to_owned());
        }
        let (head, ()) = chat(()).into_parts();
        let explained = table.explain(&head, "asked");
        let picks: Vec<_> = explained.targets().iter().map(|it| it.requests()).collect();
        assert_eq!(in_flight(&table), 0);
        let next = table.decide(&head, "asked").unwrap();
        (hosts, picks, next.endpoint().to_owned())
    };
    // With or without refusals between them: the same engines in the same order.
    assert_eq!(run(0).await, run(1).await);
}

/// A quota of the caller's own: the client learns when it may come back, and only the logs learn why.
#[tokio::test]
async fn a_refusal_says_when_to_come_back_and_keeps_its_cause() {
    for (kind, status, retry_after) in [
        (RouteErrorKind::RateLimited, 429, Some("91")),
        (RouteErrorKind::Overloaded, 503, Some("91")),
        (RouteErrorKind::Forbidden, 403, None),
    ] {
        let layer = ModelRouteLayer::new(table()).authorize(move |_, _| {
            Err(RouteError::new(kind, "no more today")
                .with_source("ledger: row 7")
                .with_retry_after(Duration::from_millis(90_500)))
        });
        let outcome = send(&layer, &Engines::default(), chat_of(ASKED)).await;
        assert_eq!(outcome.status(), status);
        assert_eq!(outcome.answer.header("retry-after"), retry_after);
        assert!(!outcome.answer.text().contains("ledger"));
        let error = outcome.answer.head.extensions.get::<RouteError>().unwrap();
        assert_eq!(error.source().unwrap().to_string(), "ledger: row 7");
    }
}

/// Also where all engines are full: it does not wait in a queue to be refused.
#[tokio::test(start_paused = true)]
async fn who_may_not_is_refused_and_not_queued() {
    let table = table();
    let layer = ModelRouteLayer::new(table.clone()).authorize(only_with_key);
    let engines = Engines::default();
    engines.everywhere(|| says(200, "").late(Duration::from_secs(5)));
    let busy = async {
        let all = [(); 3].map(|()| send(&layer, &engines, with_key(chat_of(ASKED))));
        futures_util::future::join_all(all).await
    };
    let refused = async {
        tokio::task::yield_now().await;
        assert_eq!(in_flight(&table), 3);
        let begun = Instant::now();
        let outcome = send(&layer, &engines, chat_of(ASKED)).await;
        (outcome.status(), begun.elapsed())
    };
    let (_, (status, took)) = tokio::join!(busy, refused);
    assert_eq!((status.as_u16(), took), (403, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_the_upload_is_drained() {
    let (upload, body) = script();
    upload.data(r#"{"model":"asked","a":""#);
    let layer = ModelRouteLayer::new(table())
        .replay_bytes(10)
        .authorize(only_with_key);
    let answer = within(layer.layer(mock().0).oneshot(chat(body)));
    let answer = answer.await.unwrap();
    let read = tokio::spawn(Answer::of(answer));
    tokio::task::yield_now().await;
    upload.data("x".repeat(100_000)).end();
    let answer = read.await.unwrap();
    assert_eq!(answer.status(), 403);
    assert!(upload.is_dropped());
}

#[tokio::test]
async fn what_has_no_rule_is_not_asked_about() {
    let layer = ModelRouteLayer::new(table())
        .without_model(WithoutModel::Forward)
        .authorize(|_, _| unreachable!("there is no rule"));
    let engines = Engines::default();
    engines.everywhere(|| says(200, ""));
    for uri in ["/health", "/v1/models"] {
        let request = get(uri).body(http_body_util::Full::default()).unwrap();
        assert_eq!(send(&layer, &engines, request).await.status(), 200);
    }
    let outcome = send(&layer, &engines, chat_of(r#"{"model":"gone"}"#)).await;
    assert_eq!(outcome.status(), 404);
}

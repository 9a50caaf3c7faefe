//! Limits that tenants have each for themselves.

use http::{HeaderName, HeaderValue, Request, StatusCode};
use test_kit::{body::script, engines::streams};
use tower_model_route::{LimitKey, Per, RateLimit};

use super::{ask, chat, rig, rig_with, status};

type Chat = Request<http_body_util::Full<bytes::Bytes>>;

fn with(name: &'static str, value: &str) -> Chat {
    let mut request = chat(5);
    let value = HeaderValue::from_str(value).unwrap();
    request
        .headers_mut()
        .insert(HeaderName::from_static(name), value);
    request
}

async fn passed(rig: &test_kit::gateway::Rig, of: impl Fn() -> Chat) -> usize {
    let mut passed = 0;
    for _ in 0..6 {
        passed += usize::from(ask(rig, of()).await.status() == StatusCode::OK);
    }
    passed
}

#[tokio::test(start_paused = true)]
async fn each_value_of_a_header_has_its_own_and_all_without_it_one() {
    let by_key = LimitKey::Header("X-Api-Key".into());
    let rig = rig([RateLimit::requests(2, Per::Day).key(by_key)]);
    for key in ["sk-1", "sk-2", "ä"] {
        assert_eq!(passed(&rig, || with("x-api-key", key)).await, 2, "{key}");
    }
    assert_eq!(passed(&rig, || chat(5)).await, 2);
    assert_eq!(passed(&rig, || with("x-other", "sk-9")).await, 0);
}

#[derive(Clone)]
struct Tenant(&'static str);

#[tokio::test(start_paused = true)]
async fn a_function_sees_what_layers_above_have_put_there() {
    let limit = RateLimit::requests(2, Per::Day).key(LimitKey::Named("tenant".into()));
    let rig = rig_with([limit], |layer| {
        layer.limit_key("tenant", |head, to| {
            assert_eq!((to.route(), to.model()), ("route", "asked"));
            Some(head.extensions.get::<Tenant>()?.0.to_owned())
        })
    });
    let of = |tenant| {
        let mut request = chat(5);
        request.extensions_mut().insert(Tenant(tenant));
        request
    };
    assert_eq!(passed(&rig, || of("a")).await, 2);
    assert_eq!(passed(&rig, || of("b")).await, 2);
    // The function exempts those that have none.
    assert_eq!(passed(&rig, || chat(5)).await, 6);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_not_there_lets_nobody_through_unlimited() {
    let limit = RateLimit::requests(2, Per::Day).key(LimitKey::Named("tenant".into()));
    let rig = rig([limit]);
    assert_eq!(passed(&rig, || chat(5)).await, 2);
}

#[tokio::test(start_paused = true)]
async fn limits_of_the_route_and_of_a_tenant_hold_together() {
    let by_key = LimitKey::Header("x-api-key".into());
    let rig = rig([
        RateLimit::requests(3, Per::Day),
        RateLimit::requests(2, Per::Day).key(by_key),
    ]);
    assert_eq!(passed(&rig, || with("x-api-key", "a")).await, 2);
    assert_eq!(passed(&rig, || with("x-api-key", "b")).await, 1);
}

#[tokio::test(start_paused = true)]
async fn requests_at_a_time_end_with_their_answers() {
    let by_key = LimitKey::Header("x-api-key".into());
    let rig = rig([RateLimit::concurrent_requests(1).key(by_key)]);
    let of = |key: &str| with("x-api-key", key);
    let (body, scripted) = script();
    rig.engines.next([streams(scripted)]);
    let first = rig.send(of("a")).await;
    assert_eq!(status(&first), 200);
    let second = ask(&rig, of("a")).await;
    assert_eq!(
        (second.code().as_str(), second.header("retry-after")),
        ("rate_limit_exceeded", Some("1"))
    );
    assert_eq!(ask(&rig, of("b")).await.status(), StatusCode::OK);
    body.end();
    test_kit::answer::Answer::of(first).await;
    assert_eq!(ask(&rig, of("a")).await.status(), StatusCode::OK);

    // Nor does one count that nobody reads on.
    let (_body, scripted) = script();
    rig.engines.next([streams(scripted)]);
    drop(rig.send(of("a")).await);
    assert_eq!(ask(&rig, of("a")).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn any_number_of_unknown_keys_takes_no_more_memory() {
    let by_key = LimitKey::Header("x-api-key".into());
    let rig = rig([RateLimit::requests(2, Per::Day).key(by_key).max_keys(100)]);
    for key in 0..2000 {
        assert_eq!(
            ask(&rig, with("x-api-key", &key.to_string()))
                .await
                .status(),
            StatusCode::OK
        );
        rig.engines.attempts();
        // One in use stays known.
        if key % 20 == 0 {
            ask(&rig, with("x-api-key", "mine")).await;
        }
    }
    assert_eq!(passed(&rig, || with("x-api-key", "mine")).await, 0);
    // One that was forgotten begins anew.
    assert_eq!(passed(&rig, || with("x-api-key", "0")).await, 2);
}

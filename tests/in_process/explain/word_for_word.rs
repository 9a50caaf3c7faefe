//! The text, word for word.

use std::time::Duration;

use http::Request;
use test_kit::request::head;
use tower_model_route::{
    Balance, Endpoint, Explanation, HashKey, LimitKey, ModelMatch, ModelRoute, ModelServer, Per,
    RateLimit, Rule, StringMatch, TargetModel, TrafficPolicy,
};

use super::tables::{chat, one, servers, table};

#[track_caller]
fn check(explained: &Explanation, expected: &str) {
    let explained = explained.to_string();
    assert!(
        explained == expected,
        "\n{explained}\n\nis not\n\n{expected}"
    );
}

#[test]
fn the_first_rule_matches() {
    check(
        &table().explain(&chat(&[("user-type", "premium")]), "gpt"),
        r#"POST /v1/chat/completions asks for the model "gpt"
route "chat", found by its model name:
  rule "premium" matches
    header user-type is "premium": yes, it is "premium"
    path begins with "/v1/chat/": yes, it is "/v1/chat/completions"
  rule "default" is not reached
targets of rule "premium" of route "chat":
  target "large": 100 %
    model: stays "gpt"
    policy: no retries
    endpoint http://large: takes requests, healthy, 0 in flight
      POST http://large/v1/chat/completions, Host: large
it goes to "large""#,
    );
}

#[test]
fn the_route_has_limits() {
    let route = ModelRoute::new("r")
        .model_name("m")
        .rule(Rule::new("all").target("large"))
        .rate_limit(RateLimit::total_tokens(5000, Per::Minute))
        .rate_limit(RateLimit::requests(60, Per::Hour).observe_only(true))
        .rate_limit(RateLimit::requests(9, Per::Day).key(LimitKey::Header("x-api-key".into())))
        .rate_limit(RateLimit::requests(9, Per::Day).key(LimitKey::Named("tenant".into())))
        .rate_limit(RateLimit::requests(8, Per::Month).redis("redis:6379"));
    let table = servers().model_route(route).build().unwrap();
    check(
        &table.explain(&chat(&[]), "m"),
        r#"POST /v1/chat/completions asks for the model "m"
route "r", found by its model name:
  rule "all" matches always
limits of route "r":
  5000 tokens per minute: 5000 left
  60 requests per hour: 60 left, refuses nothing
  9 requests per day and header "x-api-key": 9 left
  9 requests per day and "tenant": what is left depends on the key, or is in a store
  8 requests per month: what is left is in Redis at redis:6379
targets of rule "all" of route "r":
  target "large": 100 %
    model: stays "m"
    policy: no retries
    endpoint http://large: takes requests, healthy, 0 in flight
      POST http://large/v1/chat/completions, Host: large
it goes to "large""#,
    );
}

#[test]
fn a_condition_fails_and_the_rest_is_split() {
    check(
        &table().explain(&chat(&[("user-type", "basic"), ("user-type", "x")]), "gpt"),
        r#"POST /v1/chat/completions asks for the model "gpt"
route "chat", found by its model name:
  rule "premium" does not match
    header user-type is "premium": no, it is "basic" and "x"
    path begins with "/v1/chat/": yes, it is "/v1/chat/completions"
  rule "default" matches always
targets of rule "default" of route "chat":
  target "small": 70 % (weight 70)
    model: "gpt" becomes "org/small"
    policy: no retries
    choice of the endpoint: least request
    endpoint http://s1:8000: takes requests, healthy, 0 in flight
      POST http://s1:8000/v1/chat/completions, Host: s1:8000
    endpoint http://s2:8000/engine: takes requests, healthy, 0 in flight
      POST http://s2:8000/engine/v1/chat/completions, Host: s2:8000
  target "large": 30 % (weight 30)
    model: stays "gpt"
    policy: no retries
    endpoint http://large: takes requests, healthy, 0 in flight
      POST http://large/v1/chat/completions, Host: large
it goes to "small" or "large""#,
    );
}

#[test]
fn an_adapter_keeps_its_name() {
    let table = servers()
        .model_route(
            ModelRoute::new("lora")
                .lora_adapter("sql")
                .rule(Rule::new("all").target("small")),
        )
        .build()
        .unwrap();
    check(
        &table.explain(&chat(&[]), "sql"),
        r#"POST /v1/chat/completions asks for the model "sql"
route "lora", found as a LoRA adapter:
  rule "all" matches always
targets of rule "all" of route "lora":
  target "small": 100 %
    model: stays "sql", the name of a LoRA adapter
    policy: no retries
    choice of the endpoint: least request
    endpoint http://s1:8000: takes requests, healthy, 0 in flight
      POST http://s1:8000/v1/chat/completions, Host: s1:8000
    endpoint http://s2:8000/engine: takes requests, healthy, 0 in flight
      POST http://s2:8000/engine/v1/chat/completions, Host: s2:8000
it goes to "small""#,
    );
}

#[test]
fn by_model_name_first_and_then_as_an_adapter() {
    let never = || ModelMatch::new().header("x", StringMatch::regex("^y$"));
    let table = servers()
        .model_route(
            ModelRoute::new("adapter")
                .lora_adapter("m")
                .rule(Rule::new("c").target("large")),
        )
        .model_route(
            ModelRoute::new("older")
                .model_name("m")
                .rule(Rule::new("a").when(never()).target("large")),
        )
        .model_route(
            ModelRoute::new("newer")
                .model_name("m")
                .rule(Rule::new("b").when(never()).target("large")),
        )
        .build()
        .unwrap();
    check(
        &table.explain(&chat(&[]), "m"),
        r#"POST /v1/chat/completions asks for the model "m"
route "older", found by its model name:
  rule "a" does not match
    header x matches "^y$": no, there is none
route "newer", found by its model name:
  rule "b" does not match
    header x matches "^y$": no, there is none
route "adapter", found as a LoRA adapter:
  rule "c" matches always
targets of rule "c" of route "adapter":
  target "large": 100 %
    model: stays "m", the name of a LoRA adapter
    policy: no retries
    endpoint http://large: takes requests, healthy, 0 in flight
      POST http://large/v1/chat/completions, Host: large
it goes to "large""#,
    );
}

#[test]
fn an_unknown_model_that_would_write_to_the_terminal() {
    check(
        &table().explain(&chat(&[]), "gone\u{1b}[31m"),
        "POST /v1/chat/completions asks for the model \"gone\\u{1b}[31m\"\n\
         no route has it as its model name or as a LoRA adapter\n\
         it is answered with 404 model_not_found: the model `gone\u{fffd}[31m` does not exist",
    );
}

#[test]
fn no_rule_matches() {
    let other = ModelMatch::new().body_model("other");
    let table = one(Rule::new("x").when(other).target("small"));
    check(
        &table.explain(&chat(&[]), "m"),
        r#"POST /v1/chat/completions asks for the model "m"
route "r", found by its model name:
  rule "x" does not match
    model is "other": no, it is "m"
it is answered with 404 route_not_found: no rule for the model `m` matches this request"#,
    );
}

#[test]
fn no_target_has_an_endpoint() {
    check(
        &one(Rule::new("x").target("empty")).explain(&chat(&[]), "m"),
        r#"POST /v1/chat/completions asks for the model "m"
route "r", found by its model name:
  rule "x" matches always
targets of rule "x" of route "r":
  target "empty": 100 %, now 0 %
    model: stays "m"
    policy: no retries
    it has no endpoints
it is answered with 503 no_endpoint: no engine for the model `m` is available, try again shortly"#,
    );
}

#[test]
fn a_fallback_steps_in() {
    let rule = Rule::new("x").target("empty").fallback("large");
    check(
        &one(rule).explain(&chat(&[]), "m"),
        r#"POST /v1/chat/completions asks for the model "m"
route "r", found by its model name:
  rule "x" matches always
targets of rule "x" of route "r":
  target "empty": 100 %, now 0 %
    model: stays "m"
    policy: no retries
    it has no endpoints
  fallback "large": now 100 %
    model: stays "m"
    policy: no retries
    endpoint http://large: takes requests, healthy, 0 in flight
      POST http://large/v1/chat/completions, Host: large
it goes to "large""#,
    );
}

#[test]
fn siblings_take_the_share_of_one_without_endpoints() {
    let rule = Rule::new("x")
        .target("empty")
        .target("large")
        .target(TargetModel::new("third"));
    let table = servers()
        .model_server(ModelServer::new("third").endpoint("https://third:444"))
        .model_route(ModelRoute::new("r").model_name("m").rule(rule))
        .build()
        .unwrap();
    check(
        &table.explain(&chat(&[]), "m"),
        r#"POST /v1/chat/completions asks for the model "m"
route "r", found by its model name:
  rule "x" matches always
targets of rule "x" of route "r":
  target "empty": 33.3 %, now 0 %
    model: stays "m"
    policy: no retries
    it has no endpoints
  target "large": 33.3 %, now 50 %
    model: stays "m"
    policy: no retries
    endpoint http://large: takes requests, healthy, 0 in flight
      POST http://large/v1/chat/completions, Host: large
  target "third": 33.3 %, now 50 %
    model: stays "m"
    policy: no retries
    endpoint https://third:444: takes requests, healthy, 0 in flight
      POST https://third:444/v1/chat/completions, Host: third:444
it goes to "large" or "third""#,
    );
}

#[test]
fn a_target_of_weight_zero_has_no_share() {
    let rule = Rule::new("x")
        .target(TargetModel::new("large").weight(5))
        .target(TargetModel::new("empty").weight(0));
    let explained = one(rule).explain(&chat(&[]), "m").to_string();
    assert!(explained.contains("\n  target \"large\": 100 % (weight 5)\n"));
    assert!(explained.contains("\n  target \"empty\": 0 % (weight 0)\n"));
}

#[test]
fn a_policy_and_weighted_endpoints() {
    let policy = TrafficPolicy::new()
        .max_retries(2)
        .timeout(Duration::from_secs(10))
        .max_in_flight(8);
    let table = servers()
        .model_server(
            ModelServer::new("busy")
                .balance(Balance::ConsistentHash(HashKey::User.into()))
                .endpoint(Endpoint::new("http://b1").weight(3))
                .endpoint("http://b2")
                .traffic_policy(policy),
        )
        .model_route(
            ModelRoute::new("r")
                .model_name("m")
                .rule(Rule::new("x").target("busy")),
        )
        .build()
        .unwrap();
    check(
        &table.explain(&chat(&[]), "m"),
        r#"POST /v1/chat/completions asks for the model "m"
route "r", found by its model name:
  rule "x" matches always
targets of rule "x" of route "r":
  target "busy": 100 %
    model: stays "m"
    policy: up to 2 retries elsewhere on a connection error, a timeout, 429, 500, 502, 503, 504, after 100ms, doubling to 2s; 10s for an attempt; at most 8 in flight to an endpoint
    choice of the endpoint: consistent hash of the body's user
    endpoint http://b1: takes requests, healthy, 0 of 8 in flight, weight 3
      POST http://b1/v1/chat/completions, Host: b1
    endpoint http://b2: takes requests, healthy, 0 of 8 in flight
      POST http://b2/v1/chat/completions, Host: b2
it goes to "busy""#,
    );
}

#[test]
fn the_model_in_the_path_is_rewritten_there() {
    let table = one(Rule::new("x").target("small"));
    let asked = head("/openai/deployments/m/chat?api-version=1&key=secret", &[]);
    check(
        &table.explain(&asked, "m"),
        r#"POST /openai/deployments/m/chat?api-version=1&key=*** asks for the model "m"
route "r", found by its model name:
  rule "x" matches always
targets of rule "x" of route "r":
  target "small": 100 %
    model: "m" becomes "org/small"
    policy: no retries
    choice of the endpoint: least request
    endpoint http://s1:8000: takes requests, healthy, 0 in flight
      POST http://s1:8000/openai/deployments/org%2Fsmall/chat?api-version=1&key=***, Host: s1:8000
    endpoint http://s2:8000/engine: takes requests, healthy, 0 in flight
      POST http://s2:8000/engine/openai/deployments/org%2Fsmall/chat?api-version=1&key=***, Host: s2:8000
it goes to "small""#,
    );
}

#[test]
fn a_request_without_a_path() {
    let (asked, ()) = Request::options("*").body(()).unwrap().into_parts();
    check(
        &one(Rule::new("x").target("large")).explain(&asked, "m"),
        r#"OPTIONS * asks for the model "m"
route "r", found by its model name:
  rule "x" matches always
targets of rule "x" of route "r":
  target "large": 100 %
    model: stays "m"
    policy: no retries
    endpoint http://large: takes requests, healthy, 0 in flight
      400 invalid_target: the request has no path to forward
it goes to "large""#,
    );
}

#[test]
fn values_are_quoted_decoded_and_cut() {
    let path = ModelMatch::new()
        .uri(StringMatch::exact("/x/v1/completions"))
        .header("user-type", StringMatch::prefix("a"));
    let table = one(Rule::new("x").when(path).target("large"));
    let long = "b".repeat(1000);
    let explained = table.explain(&head("/v1/%63hat%0A%1b", &[("user-type", &long)]), "m");
    let [path, header] = explained.routes()[0].rules()[0].conditions() else {
        panic!("{explained}");
    };
    assert_eq!(path.seen(), ["/v1/chat\n\u{1b}"]);
    assert!(
        explained
            .to_string()
            .contains(r#"it is "/v1/chat\n\u{1b}""#)
    );
    assert!(header.seen()[0].chars().count() < 300);
}

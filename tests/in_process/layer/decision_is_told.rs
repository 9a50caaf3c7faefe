//! The decision in the extensions, and what the engine and the client get beside it.

use http::{Request, StatusCode, Version};
use http_body::Body;
use http_body_util::Full;
use test_kit::{
    answer::own,
    body::text,
    mock::{called, mock, ok, waits},
    request::{ASKED, asked, chat_of},
    table::{in_flight, simple},
};
use tokio_test::{assert_ready_ok, task};
use tower::{Layer, Service, ServiceBuilder};
use tower_model_route::{
    AnswerErrorsLayer, ModelMatch, ModelRoute, ModelRouteLayer, ModelServer, RouteDecision,
    RouteError, RouteErrorKind, RouteTable, Rule, StringMatch, TargetModel,
};

/// Two servers, one of two endpoints; rules, weights and an adapter.
fn rich_table() -> RouteTable {
    let premium = ModelMatch::new().header("user-type", StringMatch::exact("premium"));
    RouteTable::builder()
        .model_server(
            ModelServer::new("small")
                .model("org/small")
                .endpoint("http://small:80/"),
        )
        .model_server(
            ModelServer::new("large")
                .model("org/large")
                .endpoints(["http://Large:8000/engine/", "https://large-2"]),
        )
        .model_route(
            ModelRoute::new("assistant")
                .model_name("assistant")
                .lora_adapter("assistant-sql")
                .rule(Rule::new("premium").when(premium).target("large"))
                .rule(
                    Rule::new("everyone")
                        .target(TargetModel::new("large").weight(0))
                        .target(TargetModel::new("small").weight(100)),
                ),
        )
        .build()
        .unwrap()
}

/// What all accessors say, in one line each.
fn told(decision: &RouteDecision) -> String {
    format!(
        "{} as {}: {}/{}#{} -> {} at {}, lora {}, attempts {}",
        decision.requested_model(),
        decision.engine_model(),
        decision.route(),
        decision.rule(),
        decision.target(),
        decision.model_server(),
        decision.endpoint(),
        decision.is_lora(),
        decision.attempts(),
    )
}

#[test]
fn it_is_in_the_request_and_in_the_response() {
    let cases = [
        (
            "assistant",
            "free",
            "assistant as org/small: assistant/everyone#1 -> small at http://small, \
             lora false, attempts 1",
        ),
        (
            "assistant",
            "premium",
            "assistant as org/large: assistant/premium#0 -> large at \
             http://large:8000/engine, lora false, attempts 1",
        ),
        (
            "assistant-sql",
            "premium",
            "assistant-sql as assistant-sql: assistant/premium#0 -> large at \
             https://large-2, lora true, attempts 1",
        ),
    ];
    let (mock, mut handle) = mock();
    let table = rich_table();
    let mut service = ModelRouteLayer::new(table.clone()).layer(mock);
    let mut answers = Vec::new();
    for (model, user, expected) in cases {
        // The name is told unescaped, however it was written.
        let body = format!(r#"{{"model":"\u0061{}"}}"#, &model[1..]);
        let mut request = chat_of(body);
        request
            .headers_mut()
            .insert("user-type", user.parse().unwrap());
        let mut call = task::spawn(service.call(request));
        waits(&mut call);
        let (request, reply) = called(&mut handle);
        let in_request = request.body().decision().unwrap();
        assert_eq!(told(&in_request), expected);
        reply.send_response(ok(""));
        let response = assert_ready_ok!(call.poll());
        let in_response = response.extensions().get::<RouteDecision>().unwrap();
        assert_eq!(told(in_response), expected);
        assert!(response.extensions().get::<RouteError>().is_none());
        answers.push(response);
    }
    drop(answers);
    assert_eq!(in_flight(&table), 0);
}

#[test]
fn the_head_is_the_engines_and_the_length_exact() {
    let (mock, mut handle) = mock();
    let mut service = ModelRouteLayer::new(simple()).layer(mock);
    let request = Request::post("/v1/chat/completions?trace=1")
        .version(Version::HTTP_2)
        .header("host", "gateway")
        .header("content-length", "31")
        .header("authorization", "Bearer key")
        .extension("an extension of the server's")
        .body(Full::<bytes::Bytes>::from(ASKED))
        .unwrap();
    let mut call = task::spawn(service.call(request));
    waits(&mut call);
    let (request, _reply) = called(&mut handle);
    assert_eq!(
        request.uri(),
        "http://engine:8000/v1/chat/completions?trace=1"
    );
    assert_eq!(request.version(), Version::HTTP_11);
    assert_eq!(request.headers()["host"], "engine:8000");
    assert_eq!(request.headers()["content-length"], "30");
    assert_eq!(request.headers()["authorization"], "Bearer key");
    // And what the gateway adds.
    assert!(request.headers().contains_key("via"));
    assert_eq!(request.headers()["x-request-id"].len(), 32);
    assert_eq!(request.headers().len(), 5);
    assert!(request.extensions().get::<&str>().is_some());
    assert_eq!(request.body().size_hint().exact(), Some(30));
}

#[test]
fn a_rejection_has_its_error_and_no_decision() {
    let (mock, _handle) = mock();
    let mut service = ModelRouteLayer::new(simple()).layer(mock);
    let mut call = task::spawn(service.call(chat_of(r#"{"model":"x"}"#)));
    let response = assert_ready_ok!(call.poll());
    assert!(response.extensions().get::<RouteDecision>().is_none());
    let refused = own(response);
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    assert_eq!(refused.error.kind(), RouteErrorKind::ModelNotFound);
    assert_eq!(refused.error.message(), "the model `x` does not exist");
}

#[test]
fn an_answer_to_a_failed_call_has_both() {
    let (mock, mut handle) = mock();
    let table = simple();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table.clone()))
        .layer(AnswerErrorsLayer::new())
        .service(mock);
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    called(&mut handle)
        .1
        .send_error("connection to 10.0.0.7 refused");
    let response = assert_ready_ok!(call.poll());
    assert_eq!(in_flight(&table), 1, "until the answer has been read");
    let decision = response
        .extensions()
        .get::<RouteDecision>()
        .unwrap()
        .clone();
    assert_eq!(decision.model_server(), "server");
    let answer = own(response);
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.code, "upstream_unreachable");
    assert!(!answer.error.message().contains("10.0.0.7"));
    assert_eq!(in_flight(&table), 0);
}

#[test]
fn an_error_of_readiness_is_answered_and_the_next_request_is_served() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(simple()))
        .layer(AnswerErrorsLayer::new())
        .service(mock);
    handle.send_error("no connection left");
    let mut call = task::spawn(service.call(asked()));
    let response = assert_ready_ok!(call.poll());
    assert!(response.extensions().get::<RouteDecision>().is_some());
    assert_eq!(own(response).status, StatusCode::BAD_GATEWAY);

    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    called(&mut handle).1.send_response(ok("served"));
    assert_eq!(text(assert_ready_ok!(call.poll()).into_body()), "served");
}

/// An engine's own failure is the engine's word: it goes to the client as it is.
#[test]
fn an_upstreams_own_error_is_never_replaced() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(simple()))
        .layer(AnswerErrorsLayer::new())
        .service(mock);
    for status in [400, 404, 429, 500, 502, 503, 504] {
        let mut call = task::spawn(service.call(asked()));
        waits(&mut call);
        let mut answer = ok("the engine's own words");
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        answer.headers_mut().insert("retry-after", 7.into());
        called(&mut handle).1.send_response(answer);
        let response = assert_ready_ok!(call.poll());
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["retry-after"], "7");
        assert!(response.extensions().get::<RouteError>().is_none());
        assert_eq!(text(response.into_body()), "the engine's own words");
    }
}

/// No Upgrade is passed on, so an engine that switches protocols answers something else.
#[test]
fn an_upgrade_that_nobody_asked_for_is_a_502() {
    let (mock, mut handle) = mock();
    let table = simple();
    let mut service = ModelRouteLayer::new(table.clone()).layer(mock);
    let mut call = task::spawn(service.call(asked()));
    waits(&mut call);
    let mut answer = ok("");
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    called(&mut handle).1.send_response(answer);
    let response = assert_ready_ok!(call.poll());
    assert_eq!(in_flight(&table), 0);
    assert!(response.extensions().get::<RouteDecision>().is_some());
    let answer = own(response);
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.code, "upstream_unreachable");
}

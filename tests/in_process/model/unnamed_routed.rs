//! Requests that name no model, where it is said that they are routed all the same.

use bytes::Bytes;
use http::{HeaderName, Method, Request};
use http_body_util::Full;
use proptest::prelude::*;
use test_kit::{
    engines::says,
    exchange::Outcome,
    request::{get, post},
};
use tower_model_route::{
    ApiPaths, ExtractModel, Extraction, JsonBody, ModelMatch, ModelRoute, ModelRouteLayer,
    ModelServer, ModelSources, RouteTable, RouteTableBuilder, Rule, StringMatch, WithoutModel,
};

use super::send::{REAL, send_through};

const CHAT: &str = "/v1/chat/completions";

fn named(name: &str) -> WithoutModel {
    WithoutModel::Model(name.to_owned())
}

fn to(name: &str) -> WithoutModel {
    WithoutModel::Route(name.to_owned())
}

/// The route `first` has rules by header and by model, and a server with its own name.
fn builder() -> RouteTableBuilder {
    let staff = ModelMatch::new().header("x-staff", StringMatch::exact("yes"));
    RouteTable::builder()
        .model_server(ModelServer::new("real").model(REAL).endpoint("http://real"))
        .model_server(ModelServer::new("spare").endpoint("http://spare"))
        .model_route(
            ModelRoute::new("first")
                .model_name("alias")
                .lora_adapter("lora")
                .rule(
                    Rule::new("by-model")
                        .when(ModelMatch::new().body_model("alias"))
                        .target("spare"),
                )
                .rule(Rule::new("staff").when(staff).target("real")),
        )
        .model_route(
            ModelRoute::new("second")
                .lora_adapter("other")
                .rule(Rule::new("all").target("spare")),
        )
}

fn layer(what: WithoutModel) -> ModelRouteLayer {
    ModelRouteLayer::new(builder().build().unwrap()).without_model(what)
}

async fn send(layer: ModelRouteLayer, request: Request<Full<Bytes>>) -> Outcome {
    send_through(layer, request, || says(200, "")).await
}

fn staff(request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let (mut head, body) = request.into_parts();
    head.headers.insert("x-staff", "yes".parse().unwrap());
    Request::from_parts(head, body)
}

fn empty_get(uri: &str) -> Request<Full<Bytes>> {
    get(uri).body(Full::default()).unwrap()
}

#[tokio::test]
async fn whether_a_body_is_read_or_not_they_go_to_the_model() {
    let form = "--b\r\ncontent-disposition: form-data; name=\"x\"\r\n\r\n1\r\n--b--\r\n";
    let mut upload = post("/v1/audio/transcriptions", form);
    let kind = "multipart/form-data; boundary=b".parse().unwrap();
    upload.headers_mut().insert("content-type", kind);
    for request in [
        post(CHAT, r#"{"messages":[{"model":"no"}]}"#),
        post(CHAT, "{}"),
        post(CHAT, ""),
        upload,
        empty_get(CHAT),
        // The query should name it.
        empty_get("/v1/realtime"),
    ] {
        let sent = request.clone().into_body();
        let uri = request.uri().clone();
        let forwarded = send(layer(named("lora")), staff(request)).await.forwarded();
        let decision = forwarded.decision();
        assert_eq!(decision.route(), "first", "{uri}");
        assert_eq!(decision.model(), "lora");
        assert_eq!(decision.requested_model(), "");
        // Nothing is written: the engine has been told no model.
        assert_eq!(decision.engine_model(), "");
        let sent = http_body_util::BodyExt::collect(sent).await.unwrap();
        assert_eq!(forwarded.bytes(), sent.to_bytes());
        assert_eq!(forwarded.uri().path(), uri.path());
    }
}

#[tokio::test]
async fn a_model_counts_in_the_rules_but_a_route_has_none() {
    let forwarded = send(layer(named("alias")), post(CHAT, "{}")).await;
    assert_eq!(forwarded.forwarded().decision().rule(), "by-model");
    let forwarded = send(layer(to("first")), staff(post(CHAT, "{}"))).await;
    let forwarded = forwarded.forwarded();
    assert_eq!(forwarded.decision().rule(), "staff");
    assert_eq!(forwarded.decision().model(), "alias");
    assert_eq!(forwarded.decision().requested_model(), "");
    assert!(!forwarded.decision().is_lora());
    assert_eq!(forwarded.text(), "{}");
    send(layer(to("first")), post(CHAT, "{}"))
        .await
        .refused(404, "route_not_found");
    let forwarded = send(layer(to("second")), empty_get(CHAT)).await.forwarded();
    assert_eq!(forwarded.decision().model(), "other");
}

#[tokio::test]
async fn what_names_a_model_or_is_broken_stays_as_it_is() {
    for what in [named("lora"), to("second")] {
        let forwarded = send(layer(what.clone()), post(CHAT, r#"{"model":"alias"}"#)).await;
        assert_eq!(forwarded.forwarded().asked_for(), "alias");
        for (body, code) in [
            ("[]", "invalid_json"),
            ("{", "invalid_json"),
            (r#"{"model":""}"#, "invalid_model"),
            (r#"{"model":null}"#, "invalid_model"),
            (r#"{"model":"a","model":"b"}"#, "ambiguous_model"),
            // To some engines it names one.
            (r#"{"Model":"a"}"#, "ambiguous_model"),
        ] {
            let outcome = send(layer(what.clone()), post(CHAT, body)).await;
            outcome.refused(400, code);
        }
        let unknown = post(CHAT, r#"{"model":"unknown"}"#);
        send(layer(what), unknown)
            .await
            .refused(404, "model_not_found");
    }
}

#[tokio::test]
async fn their_path_must_be_one_that_may_reach_an_engine() {
    let health = || empty_get("/health");
    for what in [named("other"), to("second")] {
        send(layer(what.clone()), health())
            .await
            .refused(404, "unknown_path");
        let open = layer(what).paths(ApiPaths::any());
        let forwarded = send(open, health()).await.forwarded();
        assert_eq!(forwarded.uri(), "http://spare/health");
    }
}

/// Forwarding is for those of which no body is read, as it was.
#[tokio::test]
async fn rejected_or_forwarded_a_body_must_name_its_model() {
    for what in [WithoutModel::Reject, WithoutModel::Forward] {
        send(layer(what), post(CHAT, "{}"))
            .await
            .refused(400, "missing_model");
    }
    send(layer(WithoutModel::Reject), empty_get("/v1/realtime"))
        .await
        .refused(400, "missing_model");
}

#[tokio::test]
async fn the_tables_word_holds_unless_the_layer_has_one() {
    let table = || builder().without_model(named("lora")).build().unwrap();
    let layer = ModelRouteLayer::new(table());
    let forwarded = send(layer.clone(), staff(post(CHAT, "{}"))).await;
    assert_eq!(forwarded.forwarded().asked_for(), "lora");
    let forwarded = send(layer.clone().without_model(to("second")), post(CHAT, "{}")).await;
    assert_eq!(forwarded.forwarded().asked_for(), "other");
    send(layer.without_model(WithoutModel::Reject), post(CHAT, "{}"))
        .await
        .refused(400, "missing_model");
}

#[tokio::test]
async fn a_layer_may_name_what_the_table_has_not() {
    send(layer(named("gone")), post(CHAT, "{}"))
        .await
        .refused(404, "model_not_found");
    send(layer(to("gone")), post(CHAT, "{}"))
        .await
        .refused(404, "route_not_found");
}

#[tokio::test]
async fn an_extractors_own_default_and_a_header_come_first() {
    #[derive(Debug)]
    struct OrLora;
    impl ExtractModel for OrLora {
        fn begin(&self, _: &http::request::Parts) -> Extraction {
            Extraction::json_field("model").or_model("lora")
        }
    }
    let own = layer(to("second")).extract_model(OrLora);
    let forwarded = send(own, staff(post(CHAT, "{}"))).await.forwarded();
    assert_eq!(forwarded.asked_for(), "lora");
    assert_eq!(forwarded.decision().requested_model(), "");
    assert_eq!(forwarded.decision().engine_model(), "");
    let sources = || ModelSources::standard().and_header(HeaderName::from_static("x-model"));
    for mut request in [post(CHAT, "{}"), empty_get("/v1/realtime"), empty_get(CHAT)] {
        request
            .headers_mut()
            .insert("x-model", "lora".parse().unwrap());
        let layer = layer(to("second")).extract_model(sources());
        let forwarded = send(layer, staff(request)).await.forwarded();
        assert_eq!(forwarded.asked_for(), "lora");
        assert_eq!(forwarded.decision().requested_model(), "lora");
    }
}

#[tokio::test]
async fn several_routes_of_one_name_are_tried_in_order() {
    let more = ModelRoute::new("first")
        .model_name("more")
        .rule(Rule::new("rest").target("spare"));
    let table = builder().model_route(more).without_model(to("first"));
    let layer = ModelRouteLayer::new(table.build().unwrap());
    for (request, rule) in [
        (post(CHAT, "{}"), "rest"),
        (staff(post(CHAT, "{}")), "staff"),
    ] {
        let forwarded = send(layer.clone(), request).await.forwarded();
        assert_eq!(forwarded.decision().rule(), rule);
    }
}

fn bodies() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "",
        "{}",
        "[]",
        "{",
        r#"{"a":1}"#,
        r#"{"model":"alias"}"#,
        r#"{"model":7}"#,
        r#"{"Model":"alias"}"#,
        r#"{"model":"alias","model":"alias"}"#,
    ])
    .prop_map(str::to_owned)
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

proptest! {
    /// Whatever is said of requests without a model, it changes only those.
    #[test]
    fn only_requests_without_a_model_are_concerned(
        body in bodies(),
        method in prop::sample::select(vec![Method::POST, Method::GET, Method::PUT]),
    ) {
        block_on(async {
            let request = || {
                let mut request = staff(post(CHAT, body.clone()));
                *request.method_mut() = method.clone();
                request
            };
            let rejected = send(layer(WithoutModel::Reject), request()).await.status();
            let routed = send(layer(to("first")).extract_model(JsonBody::new()), request()).await;
            let is_unnamed = method == Method::GET || ["", "{}", r#"{"a":1}"#].contains(&&*body);
            match is_unnamed {
                true => assert_eq!(routed.status(), 200, "{method} {body}"),
                false => assert_eq!(routed.status(), rejected, "{method} {body}"),
            }
        });
    }
}

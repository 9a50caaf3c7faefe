//! `map_name`: the name to route by, and the one that engines get, are not the client's.

use bytes::Bytes;
use http::{HeaderName, Request, request::Parts};
use http_body_util::Full;
use proptest::prelude::*;
use test_kit::{
    engines::says,
    request::{chat_of, post},
};
use tower_model_route::{
    ApiPaths, DuplicateModels, ExtractModel, ExtractedModel, Extraction, JsonBody, ModelName,
    ModelRoute, ModelRouteLayer, ModelServer, ModelSources, PathModel, RouteDecision, RouteError,
    RouteErrorKind, RouteTable, Rule,
};

use super::send::send_through;

/// `acme/m` has a server with a name of its own, `acme/n` one without; `acme/lora` is an adapter.
fn table() -> RouteTable {
    let to = |model: &str, server: &str| {
        ModelRoute::new(model)
            .model_name(model)
            .rule(Rule::new("all").target(server))
    };
    RouteTable::builder()
        .model_server(
            ModelServer::new("real")
                .model("org/real")
                .endpoint("http://real"),
        )
        .model_server(ModelServer::new("as-it-is").endpoint("http://as-it-is"))
        .model_route(to("acme/m", "real").lora_adapter("acme/lora"))
        .model_route(to("acme/n", "as-it-is"))
        .model_route(to("n", "as-it-is"))
        .build()
        .unwrap()
}

fn layer(extract: impl ExtractModel) -> ModelRouteLayer {
    ModelRouteLayer::new(table())
        .extract_model(extract)
        .paths(ApiPaths::any())
}

fn prefixed(_: &Parts, name: &str) -> Result<String, RouteError> {
    Ok(format!("acme/{name}"))
}

fn unprefixed(_: &Parts, name: &str) -> Result<ModelName, RouteError> {
    Ok(name.strip_prefix("acme/").unwrap_or(name).into())
}

fn back_again(_: &Parts, name: &str) -> Result<ModelName, RouteError> {
    Ok(ModelName::new(format!("acme/{name}")).for_engine(name))
}

/// What the client asked for, what it was routed by, what the engine got.
fn names(decision: &RouteDecision) -> [&str; 3] {
    [
        decision.requested_model(),
        decision.model(),
        decision.engine_model(),
    ]
}

async fn sent(
    extract: impl ExtractModel,
    request: Request<Full<Bytes>>,
) -> (String, String, String) {
    let outcome = send_through(layer(extract), request, || says(200, "")).await;
    let forwarded = outcome.forwarded();
    let names = names(forwarded.decision()).join(" ");
    let path = forwarded.uri().path().to_owned();
    (names, path, forwarded.text().to_owned())
}

fn chat(model: &str) -> Request<Full<Bytes>> {
    chat_of(format!(r#"{{"model":"{model}"}}"#))
}

#[tokio::test]
async fn it_is_routed_by_the_new_name_and_the_engine_gets_its_own() {
    for (asked, names, body) in [
        ("m", "m acme/m org/real", r#"{"model":"org/real"}"#),
        ("n", "n acme/n acme/n", r#"{"model":"acme/n"}"#),
        (
            "lora",
            "lora acme/lora acme/lora",
            r#"{"model":"acme/lora"}"#,
        ),
    ] {
        let (told, _, text) = sent(ModelSources::standard().map_name(prefixed), chat(asked)).await;
        assert_eq!((&*told, &*text), (names, body));
    }
    // And the other way.
    let (told, _, text) = sent(JsonBody::new().map_name(unprefixed), chat("acme/n")).await;
    assert_eq!((&*told, &*text), ("acme/n n n", r#"{"model":"n"}"#));
    // A name that stays is not touched.
    let odd = chat_of(r#"{"model":"\u006e"}"#);
    let (told, _, text) = sent(JsonBody::new().map_name(unprefixed), odd).await;
    assert_eq!((&*told, &*text), ("n n n", r#"{"model":"\u006e"}"#));
}

#[tokio::test]
async fn what_is_for_the_engine_comes_before_its_servers_name() {
    for asked in ["m", "n", "lora"] {
        let extract = ModelSources::standard().map_name(back_again);
        let (told, _, text) = sent(extract, chat(asked)).await;
        assert_eq!(told, format!("{asked} acme/{asked} {asked}"));
        assert_eq!(text, format!(r#"{{"model":"{asked}"}}"#));
    }
    let adapter = JsonBody::new().map_name(|_, _| Ok(ModelName::new("n").for_engine("my \"own\"")));
    let (told, _, text) = sent(adapter, chat("x")).await;
    assert_eq!(told, "x n my \"own\"");
    assert_eq!(text, r#"{"model":"my \"own\""}"#);
}

#[tokio::test]
async fn the_path_the_body_and_the_header_are_all_rewritten() {
    let sources = || {
        ModelSources::standard()
            .and_header(HeaderName::from_static("x-model"))
            .map_name(prefixed)
    };
    let uri = "/v1/models/n:predict";
    let mut request = post(uri, r#"{"model":"n"}"#);
    request
        .headers_mut()
        .insert("x-model", "n".parse().unwrap());
    let outcome = send_through(layer(sources()), request, || says(200, "")).await;
    let forwarded = outcome.forwarded();
    assert_eq!(forwarded.uri().path(), "/v1/models/acme%2Fn:predict");
    assert_eq!(forwarded.text(), r#"{"model":"acme/n"}"#);
    assert_eq!(forwarded.header("x-model"), Some("acme/n"));
    // They must agree in the client's words, not in ours.
    let other = post(uri, r#"{"model":"acme/n"}"#);
    let outcome = send_through(layer(sources()), other, || says(200, "")).await;
    outcome.refused(400, "ambiguous_model");
}

/// One source among others: its names are mapped, theirs are not.
#[tokio::test]
async fn a_part_of_the_sources_can_be_wrapped() {
    let sources = || {
        ModelSources::new()
            .or(PathModel::new("/acme/{model}/*")
                .unwrap()
                .map_name(prefixed))
            .or(JsonBody::new())
    };
    let (told, path, text) = sent(sources(), post("/acme/n/chat", r#"{"model":"n"}"#)).await;
    assert_eq!(told, "n acme/n acme/n");
    assert_eq!(
        (&*path, &*text),
        ("/acme/acme%2Fn/chat", r#"{"model":"acme/n"}"#)
    );
    let (told, ..) = sent(sources(), chat("n")).await;
    assert_eq!(told, "n n n");
    // A header that names the model alone is no part of what is wrapped.
    let sources = ModelSources::new()
        .or(JsonBody::new().map_name(prefixed))
        .and_header(HeaderName::from_static("x-model"));
    let mut request = chat_of("{}");
    request
        .headers_mut()
        .insert("x-model", "n".parse().unwrap());
    assert_eq!(sent(sources, request).await.0, "n n n");
}

#[tokio::test]
async fn two_maps_follow_each_other() {
    let extract = JsonBody::new()
        .map_name(|_, name| Ok(name.to_lowercase()))
        .map_name(back_again);
    let (told, _, text) = sent(extract, chat("N")).await;
    assert_eq!((&*told, &*text), ("N acme/n n", r#"{"model":"n"}"#));
}

#[tokio::test]
async fn an_error_is_the_answer_in_the_clients_dialect() {
    for (kind, status, openai, anthropic) in [
        (
            RouteErrorKind::Unauthorized,
            401,
            "unauthorized",
            "authentication_error",
        ),
        (
            RouteErrorKind::Forbidden,
            403,
            "forbidden",
            "permission_error",
        ),
    ] {
        let refusing = || {
            ModelSources::standard().map_name(move |head, name| {
                match head.headers.contains_key("x-key") {
                    true => Ok(name.to_owned()),
                    false => Err(RouteError::new(kind, "no key")),
                }
            })
        };
        let outcome = send_through(layer(refusing()), chat("n"), || says(200, "")).await;
        outcome.refused(status, openai);
        let ours = post("/v1/messages", r#"{"model":"n"}"#);
        let outcome = send_through(layer(refusing()), ours, || says(200, "")).await;
        assert_eq!(outcome.answer.json()["error"]["type"], anthropic);
        let mut known = chat("n");
        known.headers_mut().insert("x-key", "1".parse().unwrap());
        let outcome = send_through(layer(refusing()), known, || says(200, "")).await;
        assert_eq!(outcome.status(), 200);
    }
}

#[tokio::test]
async fn errors_call_the_model_as_the_client_does() {
    let extract = JsonBody::new().map_name(prefixed);
    let outcome = send_through(layer(extract), chat("x"), || says(200, "")).await;
    let message = outcome.answer.json()["error"]["message"].clone();
    assert_eq!(message, "the model `x` does not exist");
}

#[tokio::test]
async fn an_empty_name_is_the_extractors_fault() {
    for names in [ModelName::new(""), ModelName::new("n").for_engine("")] {
        let extract = JsonBody::new().map_name(move |_, _| Ok(names.clone()));
        let outcome = send_through(layer(extract), chat("n"), || says(200, "")).await;
        outcome.refused(500, "extractor_error");
    }
}

#[tokio::test]
async fn one_of_two_models_that_counts_overwrites_the_other() {
    let extract = JsonBody::new()
        .duplicates(DuplicateModels::First)
        .map_name(back_again);
    let twice = chat_of(r#"{"model":"n","model":"o"}"#);
    let (told, _, text) = sent(extract, twice).await;
    assert_eq!(told, "n acme/n n");
    assert_eq!(text, r#"{"model":"n","model":"n"}"#);
}

/// An extractor of one's own has the same means.
#[tokio::test]
async fn own_extractors_say_what_the_engine_gets() {
    #[derive(Debug)]
    struct Own(fn(ExtractedModel) -> ExtractedModel);
    impl ExtractModel for Own {
        fn begin(&self, _: &Parts) -> Extraction {
            let names = self.0;
            Extraction::whole_body(move |_, body| {
                Ok(names(
                    ExtractedModel::new("acme/m").text_span(0..body.len()),
                ))
            })
        }
    }
    for (names, told, body) in [
        (
            (|model| model) as fn(ExtractedModel) -> ExtractedModel,
            "acme/m acme/m org/real",
            "org/real",
        ),
        (
            |model| model.asked_as("sql").for_engine("sql"),
            "sql acme/m sql",
            "sql",
        ),
        (
            |model| model.asked_as("sql"),
            "sql acme/m org/real",
            "org/real",
        ),
        (
            |model| model.for_engine("adapter"),
            "acme/m acme/m adapter",
            "adapter",
        ),
    ] {
        let sent = sent(Own(names), post("/own", "sql")).await;
        assert_eq!((&*sent.0, &*sent.2), (told, body));
    }
}

/// Beside a path, the body must name what the client calls it, not what it is routed by.
#[tokio::test]
async fn what_the_client_has_written_must_agree() {
    #[derive(Debug)]
    struct Tenant;
    impl ExtractModel for Tenant {
        fn begin(&self, head: &Parts) -> Extraction {
            let model = head.uri.path().strip_prefix("/t/");
            model.map_or_else(Extraction::none, |model| {
                let found = ExtractedModel::new(format!("acme/{model}")).asked_as(model);
                Extraction::found(found.path_span(3..3 + model.len()))
            })
        }
    }
    let sources = || ModelSources::new().or(Tenant).or(JsonBody::new());
    let (told, path, text) = sent(sources(), post("/t/n", r#"{"model":"n"}"#)).await;
    assert_eq!(told, "n acme/n acme/n");
    assert_eq!((&*path, &*text), ("/t/acme%2Fn", r#"{"model":"acme/n"}"#));
    for body in ["acme/n", "m"] {
        let other = post("/t/n", format!(r#"{{"model":"{body}"}}"#));
        let outcome = send_through(layer(sources()), other, || says(200, "")).await;
        outcome.refused(400, "ambiguous_model");
    }
}

/// Without a place nothing is rewritten, and the decision says so.
#[tokio::test]
async fn the_decision_does_not_claim_what_was_not_written() {
    #[derive(Debug)]
    struct Nowhere;
    impl ExtractModel for Nowhere {
        fn begin(&self, _: &Parts) -> Extraction {
            Extraction::found(ExtractedModel::new("acme/m"))
        }
    }
    let (told, _, text) = sent(Nowhere, post("/own", "as it is")).await;
    assert_eq!((&*told, &*text), ("acme/m acme/m acme/m", "as it is"));
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

proptest! {
    /// What the engine gets is what the decision says, and all else stays.
    #[test]
    fn the_engine_gets_what_the_decision_says(
        asked in "[ -~]{1,12}",
        routed in prop::sample::select(vec!["acme/m", "acme/n", "acme/lora", "n"]),
        engine in prop::option::of("[ -~]{1,12}"),
    ) {
        let (name, forced) = (routed.to_owned(), engine.clone());
        let extract = JsonBody::new().map_name(move |_, _| {
            let names = ModelName::new(name.clone());
            Ok(match &forced {
                Some(engine) => names.for_engine(engine.clone()),
                None => names,
            })
        });
        let body = serde_json::json!({"a": [asked.clone()], "model": asked.clone(), "z": 1});
        let sent_body = body.to_string();
        let forwarded = block_on(async {
            send_through(layer(extract), chat_of(sent_body), || says(200, ""))
                .await
                .forwarded()
        });
        let expected = engine.unwrap_or_else(|| match routed {
            "acme/m" => "org/real".to_owned(),
            other => other.to_owned(),
        });
        prop_assert_eq!(names(forwarded.decision()), [&*asked, routed, &*expected]);
        let mut body = body;
        body["model"] = expected.into();
        let got: serde_json::Value = serde_json::from_slice(&forwarded.bytes()).unwrap();
        prop_assert_eq!(got, body);
    }
}

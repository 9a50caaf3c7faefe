//! A request that names no model is given one, which its engine reads.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use proptest::prelude::*;
use serde_json::{Value, json};
use test_kit::{
    engines::{fails, says},
    exchange::Outcome,
    request::{get, post},
};
use tower_model_route::{
    ModelRoute, ModelRouteLayer, ModelServer, RouteTable, Rule, TrafficPolicy, WithoutModel, stack,
};

use super::send::{REAL, send_through};

const CHAT: &str = "/v1/chat/completions";

/// The model `alias` has another name at its engines, and another one at those that stand in.
fn layer() -> ModelRouteLayer {
    let policy = TrafficPolicy::new().max_retries(1);
    let table = RouteTable::builder()
        .model_server(
            ModelServer::new("real")
                .model(REAL)
                .endpoint("http://real.test")
                .traffic_policy(policy),
        )
        .model_server(ModelServer::new("spare").endpoint("http://spare.test"))
        .model_route(
            ModelRoute::new("route")
                .model_name("alias")
                .lora_adapter("lora")
                .rule(Rule::new("all").target("real").fallback("spare")),
        )
        .without_model(WithoutModel::Insert("alias".to_owned()));
    ModelRouteLayer::new(table.build().unwrap())
}

async fn send(request: Request<Full<Bytes>>) -> Outcome {
    send_through(layer(), request, || says(200, "")).await
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap()
}

#[tokio::test]
async fn the_engines_own_name_is_the_first_member() {
    for (body, sent) in [
        ("{}", r#"{"model":REAL}"#),
        (" \n{ } ", " \n{\"model\":REAL } "),
        (r#"{"n":1}"#, r#"{"model":REAL,"n":1}"#),
        ("{ \"n\": {} }", "{\"model\":REAL, \"n\": {} }"),
        ("\u{feff}{\"n\":1}", "\u{feff}{\"model\":REAL,\"n\":1}"),
    ] {
        let forwarded = send(post(CHAT, body)).await.forwarded();
        let name = serde_json::Value::from(REAL).to_string();
        let sent = sent.replace("REAL", &name);
        forwarded.assert_is(sent.as_bytes(), None);
        assert_eq!(parsed(forwarded.text())["model"], REAL);
        let decision = forwarded.decision();
        assert_eq!(decision.requested_model(), "");
        assert_eq!((decision.model(), decision.engine_model()), ("alias", REAL));
    }
}

#[tokio::test]
async fn what_has_no_object_or_names_one_stays_as_it_is() {
    let form = "--b\r\ncontent-disposition: form-data; name=\"x\"\r\n\r\n1\r\n--b--\r\n";
    let mut upload = post("/v1/audio/transcriptions", form);
    let kind = "multipart/form-data; boundary=b".parse().unwrap();
    upload.headers_mut().insert("content-type", kind);
    let read = get("/v1/files").body(Full::default()).unwrap();
    for (request, sent) in [(upload, form), (post(CHAT, ""), ""), (read, "")] {
        let forwarded = send(request).await.forwarded();
        assert_eq!(forwarded.text(), sent);
        assert_eq!(forwarded.decision().model(), "alias");
    }
    let forwarded = send(post(CHAT, r#"{"n":1,"model":"lora"}"#))
        .await
        .forwarded();
    assert_eq!(forwarded.text(), r#"{"n":1,"model":"lora"}"#);
    send(post(CHAT, "{")).await.refused(400, "invalid_json");
}

/// Each attempt is made from the client's own body.
#[tokio::test]
async fn another_engine_gets_its_own_name() {
    let engines = test_kit::engines::Engines::default();
    engines.at("http://real.test", [fails()]);
    let service = stack(layer()).service(engines.service());
    let outcome = Outcome::of(&engines, service, post(CHAT, r#"{"n":1}"#)).await;
    let names = outcome
        .forwarded
        .iter()
        .map(|sent| parsed(sent.text())["model"].clone());
    assert_eq!(names.collect::<Vec<_>>(), [REAL, "alias"]);
}

#[cfg(feature = "decompression")]
#[tokio::test]
async fn a_compressed_body_gets_it_too() {
    use tokio::io::AsyncReadExt;
    let mut gzip = Vec::new();
    let mut encoder = async_compression::tokio::bufread::GzipEncoder::new(&br#"{"n":1}"#[..]);
    encoder.read_to_end(&mut gzip).await.unwrap();
    let mut request = post(CHAT, gzip);
    let coding = "gzip".parse().unwrap();
    request.headers_mut().insert("content-encoding", coding);
    let forwarded = send(request).await.forwarded();
    let expected = json!({"model": REAL, "n": 1});
    assert_eq!(parsed(forwarded.text()), expected);
}

#[test]
fn it_is_explained() {
    let (head, body) = post(CHAT, "{}").into_parts();
    drop(body);
    let explanation = layer().explain(&head, b"{}").unwrap();
    let what = WithoutModel::Insert("alias".to_owned());
    assert_eq!(explanation.without_model(), Some(&what));
    assert_eq!(explanation.targets()[0].model(), REAL);
}

proptest! {
    /// Nothing but the member is new, whatever the object is.
    #[test]
    fn the_rest_of_the_body_is_the_clients(
        keys in prop::collection::btree_map("[a-l]{1,5}", any::<i32>(), 0..5),
        pretty in any::<bool>(),
    ) {
        let value = json!(keys);
        let text = match pretty {
            true => serde_json::to_string_pretty(&value).unwrap(),
            false => value.to_string(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let forwarded = runtime.block_on(send(post(CHAT, text))).forwarded();
        let mut sent = parsed(forwarded.text());
        let name = sent.as_object_mut().unwrap().remove("model");
        prop_assert_eq!(name, Some(json!(REAL)));
        prop_assert_eq!(sent, value);
    }
}

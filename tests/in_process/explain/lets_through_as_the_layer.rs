//! What the layer refuses by a request's head, an explanation and the admin view refuse too.

use http::{HeaderName, HeaderValue, Request, Uri, request::Parts};
use http_body_util::Full;
use serde_json::{Value, json};
use test_kit::{answer::Answer, engines::says, gateway::Rig, request::ASKED, table::one_server};
use tower::ServiceExt;
use tower_model_route::{
    ApiPaths, ExtractModel, Extraction, ModelRouteLayer, ModelSources, RouteTable, TrafficPolicy,
    Via, WithoutModel,
};

#[derive(Debug)]
struct OwnApi;

impl ExtractModel for OwnApi {
    fn begin(&self, head: &Parts) -> Extraction {
        match self.reads_path(head.uri.path()) {
            true => Extraction::json_field("model"),
            false => Extraction::none(),
        }
    }

    fn reads_path(&self, path: &str) -> bool {
        path == "/own"
    }
}

/// A layer with each option that lets requests through, and what it is called here.
fn layers(table: &RouteTable) -> Vec<(&'static str, ModelRouteLayer)> {
    let layer = || ModelRouteLayer::new(table.clone());
    let own = ModelSources::new().or(OwnApi).or(ModelSources::standard());
    let original = |head: &Parts| {
        let given = head.headers.get("x-original")?;
        given.to_str().ok()?.parse::<Uri>().ok()
    };
    vec![
        ("plain", layer()),
        ("any", layer().paths(ApiPaths::any())),
        (
            "few",
            layer().paths(ApiPaths::none().and("/flush_cache").unwrap()),
        ),
        ("forward", layer().without_model(WithoutModel::Forward)),
        (
            "model",
            layer().without_model(WithoutModel::Model("asked".to_owned())),
        ),
        ("unlisted", layer().models_endpoint(false)),
        ("named", layer().via(Via::named("gw").unwrap())),
        ("nested", layer().original_path(original)),
        ("own", layer().extract_model(own)),
    ]
}

type Asked = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

const ASKED_ABOUT: [Asked; 31] = [
    ("POST", "/v1/chat/completions", &[], ASKED),
    ("POST", "/v1/chat/completions/", &[], ASKED),
    ("POST", "/llm/v1/chat/completions?api-version=1", &[], ASKED),
    ("POST", "/flush_cache", &[], ASKED),
    ("GET", "/flush_cache", &[], ""),
    ("POST", "/health", &[], "{}"),
    ("POST", "/own", &[], ASKED),
    ("POST", "/", &[], ASKED),
    ("GET", "/v1/models/asked/ready", &[], ""),
    ("POST", "/v1/models/asked/ready", &[], ""),
    ("POST", "/v1/models/asked:predict", &[], "{}"),
    (
        "POST",
        "/v1/models/asked:predict",
        &[],
        r#"{"model":"other"}"#,
    ),
    ("POST", "/v1/chat/completions", &[], r#"{"model":"gone"}"#),
    ("POST", "/v1/chat/completions", &[], "{}"),
    ("POST", "//v1/chat/completions", &[], ASKED),
    ("POST", "/v1//chat/completions", &[], ASKED),
    ("POST", "/v1/chat/completions//", &[], ASKED),
    ("POST", "/openai/deployments//chat/completions", &[], ASKED),
    ("POST", "/x/../v1/chat/completions", &[], ASKED),
    ("POST", "/%2e%2e/v1/chat/completions", &[], ASKED),
    ("GET", "/x/../health", &[], ""),
    (
        "POST",
        "/v1/chat/completions",
        &[("host", "a"), ("host", "b")],
        ASKED,
    ),
    ("POST", "/v1/chat/completions", &[("host", "me@a")], ASKED),
    (
        "POST",
        "http://a.test/v1/chat/completions",
        &[("host", "b.test")],
        ASKED,
    ),
    (
        "POST",
        "http://a.test/v1/chat/completions",
        &[("host", "a.test:80")],
        ASKED,
    ),
    ("GET", "/health", &[("host", "a b")], ""),
    ("POST", "/v1/chat/completions", &[("via", "1.1 gw")], ASKED),
    (
        "POST",
        "/chat/completions",
        &[("x-original", "/v1/chat/completions")],
        ASKED,
    ),
    (
        "POST",
        "/chat/completions",
        &[("x-original", "/v1//chat/completions")],
        ASKED,
    ),
    (
        "POST",
        "/chat/completions",
        &[("x-original", "/flush_cache")],
        ASKED,
    ),
    (
        "POST",
        "/x//y",
        &[("x-original", "/v1/chat/completions")],
        ASKED,
    ),
];

fn request((method, uri, headers, body): Asked) -> Request<Full<bytes::Bytes>> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if uri.starts_with('/') && headers.iter().all(|(name, _)| *name != "host") {
        request = request.header("host", "gateway.test");
    }
    request.body(Full::from(body)).unwrap()
}

/// The code of a refusal, or the URI that the engine is asked for.
async fn answered(table: &RouteTable, layer: ModelRouteLayer, asked: Asked) -> String {
    let rig = Rig::with(table.clone(), |_| layer);
    rig.engines.everywhere(|| says(200, ""));
    let answer = Answer::of(rig.send(request(asked)).await).await;
    match rig.engines.attempts().pop() {
        Some(attempt) => attempt.head.uri.to_string(),
        None => answer.code(),
    }
}

/// The same by an explanation in JSON.
fn in_words(explained: &Value, asked: Asked) -> String {
    if let Some(code) = explained["error"]["code"].as_str() {
        return code.to_owned();
    }
    match explained["verdict"].as_str().unwrap() {
        // It goes on as it is.
        "forwarded" => asked.1.to_owned(),
        "sent" => {
            let target = &explained["targets"][0];
            target["endpoints"][0]["request_uri"]
                .as_str()
                .unwrap()
                .to_owned()
        }
        verdict => panic!("{verdict}"),
    }
}

fn explained(layer: &ModelRouteLayer, asked: Asked) -> String {
    let (head, _) = request(asked).into_parts();
    match layer.explain(&head, asked.3.as_bytes()) {
        Ok(explained) => in_words(&serde_json::to_value(explained).unwrap(), asked),
        Err(error) => error.kind().code().to_owned(),
    }
}

/// What the view of the layer says.
async fn viewed(layer: &ModelRouteLayer, asked: Asked) -> String {
    let (method, path, given, body) = asked;
    let mut headers = serde_json::Map::new();
    for (name, value) in given {
        let values = headers.entry(*name).or_insert(json!([]));
        values.as_array_mut().unwrap().push(json!(value));
    }
    let question = json!({"method": method, "path": path, "headers": headers, "body": body});
    let request = Request::post("/_explain").header("content-type", "application/json");
    let request = request
        .body(Full::<bytes::Bytes>::from(question.to_string()))
        .unwrap();
    let answer = Answer::of(layer.admin().oneshot(request).await.unwrap()).await;
    in_words(&answer.json(), asked)
}

#[tokio::test(start_paused = true)]
async fn whatever_is_asked_by_whatever_options() {
    let table = one_server(1, TrafficPolicy::new());
    let mut seen = std::collections::BTreeSet::new();
    for asked in ASKED_ABOUT {
        for (name, layer) in layers(&table) {
            let met = answered(&table, layer.clone(), asked).await;
            assert_eq!(explained(&layer, asked), met, "{name}: {asked:?}");
            assert_eq!(viewed(&layer, asked).await, met, "{name}: {asked:?}");
            seen.insert(met);
        }
        // Without options the table knows it alone.
        let plain = ModelRouteLayer::new(table.clone());
        let (head, _) = request(asked).into_parts();
        let alone = table.explain_request(&head, asked.3.as_bytes());
        let by_layer = plain.explain(&head, asked.3.as_bytes());
        assert_eq!(format!("{alone:?}"), format!("{by_layer:?}"));
    }
    for code in [
        "unknown_path",
        "invalid_target",
        "invalid_host",
        "loop_detected",
    ] {
        assert!(seen.contains(code), "{code} of {seen:?}");
    }
    for uri in ["http://e0/flush_cache", "/flush_cache", "http://e0/own"] {
        assert!(seen.contains(uri), "{uri} of {seen:?}");
    }
}

/// It is taken for a request with that model, and no more of it.
#[tokio::test(start_paused = true)]
async fn a_question_for_a_model_is_refused_as_well() {
    let table = one_server(1, TrafficPolicy::new());
    let ask = async |layer: &ModelRouteLayer, method: &str, path: &str| {
        let question = json!({"method": method, "path": path, "model": "asked"});
        let request = Request::post("/_explain").header("content-type", "application/json");
        let request = request
            .body(Full::<bytes::Bytes>::from(question.to_string()))
            .unwrap();
        let answer = Answer::of(layer.admin().oneshot(request).await.unwrap()).await;
        let explained = answer.json();
        let code = explained["error"]["code"].as_str();
        code.or(explained["verdict"].as_str()).unwrap().to_owned()
    };
    let plain = ModelRouteLayer::new(table.clone());
    let any = ModelRouteLayer::new(table).paths(ApiPaths::any());
    for method in ["GET", "POST"] {
        assert_eq!(ask(&plain, method, "/flush_cache").await, "unknown_path");
        assert_eq!(ask(&any, method, "/flush_cache").await, "sent");
        let twice = "/v1//completions";
        assert_eq!(ask(&plain, method, twice).await, "invalid_target");
        assert_eq!(ask(&any, method, twice).await, "sent");
        for layer in [&plain, &any] {
            assert_eq!(ask(layer, method, "/v1/../x").await, "invalid_target");
            assert_eq!(ask(layer, method, "/v1/completions").await, "sent");
        }
    }
}

#[test]
fn nor_do_more_fields_pass_than_the_layer_takes() {
    let table = one_server(1, TrafficPolicy::new());
    let mut head = request(ASKED_ABOUT[0]).into_parts().0;
    for (count, code) in [(20_000, None), (20_001, Some("headers_too_large"))] {
        while head.headers.keys_len() < count {
            let name = HeaderName::try_from(format!("x-{}", head.headers.len())).unwrap();
            head.headers.insert(name, HeaderValue::from_static("1"));
        }
        let refused = table.explain_request(&head, ASKED.as_bytes()).err();
        assert_eq!(refused.map(|error| error.kind().code()), code);
    }
}

//! The model in the path or query, and in the body too: the engine reads one name in both.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use proptest::prelude::*;
use test_kit::{engines::says, exchange::Outcome, request::post};
use tower_model_route::{
    DuplicateModels, ExtractModel, Extraction, JsonBody, ModelRouteLayer, ModelSources, PathModel,
};

use super::send::{REAL, REAL_IN_JSON, REAL_IN_URI, send, send_by, send_through, table};

const GEMINI: (&str, &str) = ("/v1beta/models/", ":embedContent");
const AZURE: (&str, &str) = ("/openai/deployments/", "/chat/completions");
const KSERVE: (&str, &str) = ("/v2/models/", "/infer");
const QUERY: (&str, &str) = ("/v1/realtime?model=", "&x=1");

fn request((before, after): (&str, &str), name: &str, body: &str) -> Request<Full<Bytes>> {
    post(&format!("{before}{name}{after}"), body.to_owned())
}

fn with_type(
    mut request: Request<Full<Bytes>>,
    content_type: Option<&str>,
) -> Request<Full<Bytes>> {
    let headers = request.headers_mut();
    headers.remove("content-type");
    if let Some(content_type) = content_type {
        headers.insert("content-type", content_type.parse().unwrap());
    }
    request
}

fn form(model: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--b--\r\n")
}

#[tokio::test]
async fn equal_names_are_rewritten_in_both() {
    for api in [GEMINI, AZURE, KSERVE, QUERY] {
        let (before, after) = api;
        let sent = request(api, "org%2Falias", r#"{"a":[1],"model":"org\/\u0061lias"}"#);
        let forwarded = send(sent).await.forwarded();
        let expected = format!("http://engine.test:8000/base{before}{REAL_IN_URI}{after}");
        assert_eq!(forwarded.uri().to_string(), expected);
        let expected = format!(r#"{{"a":[1],"model":{REAL_IN_JSON}}}"#);
        assert_eq!(forwarded.bytes(), expected);
        let length = expected.len().to_string();
        assert_eq!(forwarded.header("content-length"), Some(&*length));
    }
}

/// A prefix passes, so what is behind it is read as it is at the root.
#[tokio::test]
async fn below_a_prefix_too() {
    let realtime = ("/openai/realtime?deployment=", "&api-version=1");
    let invoke = ("/model/", "/invoke");
    let answers = ("/openai/deployments/", "/responses");
    for (before, after) in [GEMINI, AZURE, KSERVE, QUERY, realtime, invoke, answers] {
        for prefix in ["", "/pre", "/openai", "/v1/gateway"] {
            let before = format!("{prefix}{before}");
            let sent = request((&before, after), "alias", r#"{"model":"alias"}"#);
            let forwarded = send(sent).await.forwarded();
            let expected = format!("http://engine.test:8000/base{before}{REAL_IN_URI}{after}");
            assert_eq!(forwarded.uri().to_string(), expected);
            assert_eq!(forwarded.bytes(), format!(r#"{{"model":{REAL_IN_JSON}}}"#));

            let sent = request((&before, after), "alias", r#"{"model":"lora"}"#);
            let outcome = send(sent).await;
            if before.ends_with(AZURE.0) {
                let body = outcome.forwarded().bytes();
                assert_eq!(body, format!(r#"{{"model":{REAL_IN_JSON}}}"#), "{before}");
            } else {
                outcome.refused(400, "ambiguous_model");
            }
        }
    }
}

/// Anthropic's SDK for Vertex AI counts tokens so.
#[tokio::test]
async fn what_looks_like_a_model_in_the_path_is_none_where_tokens_are_counted() {
    let path = "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict";
    let body = r#"{"model":"alias","messages":[]}"#;
    let forwarded = send(post(path, body)).await.forwarded();
    assert_eq!(
        forwarded.uri().to_string(),
        format!("http://engine.test:8000/base{path}")
    );
    let expected = format!(r#"{{"model":{REAL_IN_JSON},"messages":[]}}"#);
    assert_eq!(forwarded.bytes(), expected);
}

#[tokio::test]
async fn names_that_stay_keep_their_spelling() {
    for api in [GEMINI, AZURE, KSERVE, QUERY] {
        let body = r#"{"model":"l\u006fra"}"#;
        let forwarded = send(request(api, "lor%61", body)).await.forwarded();
        assert_eq!(forwarded.bytes(), body);
    }
}

#[tokio::test]
async fn different_names_are_refused() {
    for api in [GEMINI, KSERVE, QUERY] {
        for name in ["lora", "Alias", "models/lora", "models/models/alias"] {
            let body = format!(r#"{{"model":"{name}"}}"#);
            let outcome = send(request(api, "alias", &body)).await;
            outcome.refused(400, "ambiguous_model");
        }
        for value in ["null", r#""""#, "1", "[]"] {
            let body = format!(r#"{{"model":{value}}}"#);
            let outcome = send(request(api, "alias", &body)).await;
            outcome.refused(400, "invalid_model");
        }
    }
}

#[tokio::test]
async fn geminis_prefix_is_kept() {
    for (name, value) in [
        ("alias", r#""models/org/real \"1\"""#),
        ("lora", r#""models/lora""#),
    ] {
        let body = format!(r#"{{"model":"models/{name}"}}"#);
        let forwarded = send(request(GEMINI, name, &body)).await.forwarded();
        assert_eq!(forwarded.bytes(), format!(r#"{{"model":{value}}}"#));
    }
    // Only Gemini has it.
    for api in [KSERVE, QUERY] {
        let outcome = send(request(api, "alias", r#"{"model":"models/alias"}"#)).await;
        outcome.refused(400, "ambiguous_model");
    }
}

#[tokio::test]
async fn on_azures_paths_the_path_counts() {
    for value in [r#""gpt-4o""#, r#""lora""#, "null", r#""""#, r#"{"a":1}"#] {
        let body = format!(r#"{{"model": {value},"a":1}}"#);
        for (name, expected) in [("alias", REAL_IN_JSON), ("lora", r#""lora""#)] {
            let forwarded = send(request(AZURE, name, &body)).await.forwarded();
            assert_eq!(forwarded.asked_for(), name);
            assert_eq!(
                forwarded.bytes(),
                format!(r#"{{"model": {expected},"a":1}}"#)
            );
        }
    }
    // So does that of a pattern of one's own.
    let sources = ModelSources::new()
        .or(PathModel::new("/azure/openai/deployments/{model}/*").unwrap())
        .or(JsonBody::new());
    let sent = post("/azure/openai/deployments/alias/x", r#"{"model":"gpt"}"#);
    let forwarded = send_by(sources, sent).await.forwarded();
    assert_eq!(forwarded.bytes(), format!(r#"{{"model":{REAL_IN_JSON}}}"#));
}

#[tokio::test]
async fn a_form_is_read_too() {
    let multipart = |api, body: &str| {
        with_type(
            request(api, "alias", body),
            Some("multipart/form-data; boundary=b"),
        )
    };
    for api in [AZURE, KSERVE] {
        let forwarded = send(multipart(api, &form("alias"))).await.forwarded();
        assert_eq!(forwarded.bytes(), form(REAL));
    }
    let forwarded = send(multipart(AZURE, &form("whisper-1"))).await.forwarded();
    assert_eq!(forwarded.bytes(), form(REAL));
    let outcome = send(multipart(KSERVE, &form("lora"))).await;
    outcome.refused(400, "ambiguous_model");
    // A part keeps its headers, by which the name would be read: as base64, in UTF-16, as a file.
    for headers in [
        "\r\nContent-Transfer-Encoding: base64",
        "\r\nContent-Type: text/plain; charset=utf-16",
        "\r\nContent-Encoding: gzip",
        "; filename=\"f\"",
    ] {
        let form = form("alias").replace("name=\"model\"", &format!("name=\"model\"{headers}"));
        for api in [AZURE, KSERVE] {
            let outcome = send(multipart(api, &form)).await;
            outcome.refused(400, "invalid_model");
        }
    }
    // What can't be read is not passed on unread.
    let unbound = with_type(
        request(AZURE, "alias", &form("x")),
        Some("multipart/form-data"),
    );
    send(unbound).await.refused(400, "invalid_multipart");
}

#[tokio::test]
async fn a_body_that_names_none_is_not_touched() {
    for api in [GEMINI, AZURE, KSERVE, QUERY] {
        for body in [
            "",
            " \n",
            "{}",
            r#"{"a":{"model":"lora"}}"#,
            r#"[{"model":"x"}]"#,
            "1",
            "\u{feff}{}",
        ] {
            let forwarded = send(request(api, "alias", body)).await.forwarded();
            assert_eq!(forwarded.bytes(), body);
        }
        for body in [r#"{"a":NaN"#, r#"{"a":1}{"#] {
            let outcome = send(request(api, "alias", body)).await;
            outcome.refused(400, "invalid_json");
        }
    }
}

#[tokio::test]
async fn by_its_content_type_it_is_read_or_not() {
    let body = r#"{"model":"lora"}"#;
    for content_type in [
        None,
        Some("application/json"),
        Some("Application/JSON ; charset=utf-8"),
        Some("application/vnd.own+json"),
    ] {
        let sent = with_type(request(KSERVE, "alias", body), content_type);
        send(sent).await.refused(400, "ambiguous_model");
    }
    for content_type in ["application/octet-stream", "audio/wav", "text/plain"] {
        let sent = with_type(request(KSERVE, "alias", body), Some(content_type));
        assert_eq!(send(sent).await.forwarded().bytes(), body);
    }
    // KServe's binary form: JSON, and then the tensors.
    let binary = "{\"inputs\":[]}\u{1}\0";
    let sent = in_binary_form(request(KSERVE, "alias", binary));
    assert_eq!(send(sent).await.forwarded().bytes(), binary);
    // No other API has it: an engine there reads JSON, whatever the field says.
    let sent = in_binary_form(request(GEMINI, "alias", body));
    send(sent).await.refused(400, "ambiguous_model");
}

fn in_binary_form(request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let mut request = with_type(request, None);
    let headers = request.headers_mut();
    headers.insert("inference-header-content-length", "13".parse().unwrap());
    request
}

/// An engine may read the body by any of them.
#[tokio::test]
async fn several_content_types_are_refused_if_one_is_json() {
    let body = r#"{"model":"lora"}"#;
    for types in [
        &["application/json", "text/plain"][..],
        &["text/plain", "application/json"],
        &["text/plain, application/json"],
    ] {
        let mut sent = with_type(request(KSERVE, "alias", body), None);
        for content_type in types {
            let headers = sent.headers_mut();
            headers.append("content-type", content_type.parse().unwrap());
        }
        send(sent).await.refused(400, "invalid_body");
    }
}

#[tokio::test]
async fn two_in_the_body() {
    let two = r#"{"model":"alias","model":"lora"}"#;
    for api in [GEMINI, AZURE] {
        send(request(api, "alias", two))
            .await
            .refused(400, "ambiguous_model");
    }
    let by = |duplicates| {
        let path = PathModel::new("/v2/models/{model}/*").unwrap();
        ModelSources::new()
            .or(path)
            .or(JsonBody::new().duplicates(duplicates))
    };
    for (duplicates, name, other) in [
        (DuplicateModels::First, "alias", "lora"),
        (DuplicateModels::Last, "lora", "alias"),
    ] {
        let forwarded = send_by(by(duplicates), request(KSERVE, name, two))
            .await
            .forwarded();
        let expected = forwarded.asked_for().to_owned();
        assert_eq!(expected, name);
        let value = if name == "alias" {
            REAL_IN_JSON
        } else {
            r#""lora""#
        };
        assert_eq!(
            forwarded.bytes(),
            format!(r#"{{"model":{value},"model":{value}}}"#)
        );
        let outcome = send_by(by(duplicates), request(KSERVE, other, two)).await;
        outcome.refused(400, "ambiguous_model");
    }
}

#[derive(Debug)]
struct Engine;

impl ExtractModel for Engine {
    fn begin(&self, _head: &http::request::Parts) -> Extraction {
        Extraction::json_field("engine").or_model("lora")
    }
}

/// Google's bodies name the resource, in the collection that the path has it in.
#[tokio::test]
async fn googles_other_collections() {
    let vertex = "/v1/projects/p/locations/l/publishers/google/models/";
    for (before, prefix) in [
        ("/v1beta/tunedModels/", "tunedModels/"),
        (vertex, "models/"),
    ] {
        for name in ["alias", "org/alias"] {
            let api = (before, ":generateContent");
            let body = format!(r#"{{"model":"{prefix}{name}"}}"#);
            let forwarded = send(request(api, name, &body)).await.forwarded();
            let real = REAL_IN_JSON.trim_start_matches('"');
            assert_eq!(forwarded.bytes(), format!(r#"{{"model":"{prefix}{real}}}"#));
        }
    }
    for (before, model) in [
        ("/v1beta/tunedModels/", "models/alias"),
        ("/v1beta/models/", "tunedModels/alias"),
        ("/v1beta/models/", "x/models/alias"),
    ] {
        let body = format!(r#"{{"model":"{model}"}}"#);
        let outcome = send(request((before, ":x"), "alias", &body)).await;
        outcome.refused(400, "ambiguous_model");
    }
}

/// What is read as JSON is so under the same rules as where nothing else names the model.
#[tokio::test]
async fn its_content_type_must_not_lie_either() {
    for api in [AZURE, KSERVE, GEMINI] {
        let body = r#"{"model":"alias"}"#;
        let sent = with_type(
            request(api, "alias", body),
            Some("application/json; charset=utf-7"),
        );
        send(sent).await.refused(415, "unsupported_media_type");
    }
}

/// Engines written in Go take such a key for the model.
#[tokio::test]
async fn a_key_that_differs_in_case_is_no_agreement() {
    for api in [AZURE, KSERVE, GEMINI, QUERY] {
        for body in [r#"{"Model":"lora"}"#, r#"{"MODEL":"alias","x":1}"#] {
            let outcome = send(request(api, "alias", body)).await;
            outcome.refused(400, "ambiguous_model");
        }
    }
    let sources = ModelSources::standard().and_header("x-model".parse().unwrap());
    let mut sent = post("/v1/chat/completions", r#"{"Model":"lora"}"#);
    let headers = sent.headers_mut();
    headers.insert("x-model", "alias".parse().unwrap());
    let outcome = send_by(sources, sent).await;
    outcome.refused(400, "ambiguous_model");
}

/// The field that an extractor of one's own reads in other requests counts here too.
#[tokio::test]
async fn a_field_of_ones_own() {
    let sources = || {
        ModelSources::new()
            .or(PathModel::new("/m/{model}").unwrap())
            .or(Engine)
    };
    let forwarded = send_by(sources(), post("/m/alias", r#"{"engine":"alias"}"#)).await;
    let expected = format!(r#"{{"engine":{REAL_IN_JSON}}}"#);
    assert_eq!(forwarded.forwarded().bytes(), expected);
    let outcome = send_by(sources(), post("/m/alias", r#"{"engine":"lora"}"#)).await;
    outcome.refused(400, "ambiguous_model");
    assert_eq!(
        send_by(sources(), post("/m/alias", "{}"))
            .await
            .forwarded()
            .asked_for(),
        "alias"
    );
}

/// How one request is sent, and where its body names the model.
#[derive(Clone, Debug)]
struct Sent {
    api: (&'static str, &'static str),
    name: &'static str,
    /// `None` if the body names none.
    named: Option<&'static str>,
    before: usize,
    after: usize,
    pieces: Vec<usize>,
    replay_bytes: usize,
}

impl Sent {
    /// The body, with this JSON string as its model.
    fn body(&self, value: Option<&str>) -> String {
        let (before, after) = ("x".repeat(self.before), "y".repeat(self.after));
        let model = value.map(|value| format!(r#","model":{value}"#));
        let model = model.unwrap_or_default();
        format!(r#"{{"a":"{before}"{model},"b":{{"model":"{after}"}}}}"#)
    }

    fn pieces(&self) -> Vec<Bytes> {
        let named = self.named.map(|name| format!("\"{name}\""));
        let mut rest = Bytes::from(self.body(named.as_deref()));
        let mut pieces: Vec<_> = self
            .pieces
            .iter()
            .map(|len| rest.split_to((*len).min(rest.len())))
            .collect();
        pieces.push(rest);
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }

    /// Whether the model comes before the request has to be sent.
    fn is_early(&self) -> bool {
        let named = self.named.unwrap_or_default();
        let named_at = r#"{"a":"","model":"""#.len() + self.before + named.len();
        let ends = self.pieces().into_iter().scan(0, |end, piece| {
            *end += piece.len();
            Some(*end)
        });
        ends.into_iter()
            .find(|end| *end > self.replay_bytes)
            .is_none_or(|end| end >= named_at)
    }

    /// What the engine gets; `None` if the request is refused.
    fn expected(&self) -> Option<String> {
        let Some(named) = self.named else {
            return Some(self.body(None));
        };
        let real = if self.name == "alias" {
            REAL
        } else {
            self.name
        };
        let (prefix, bare) = match named.strip_prefix("models/") {
            Some(bare) if self.api == GEMINI => ("models/", bare),
            _ => ("", named),
        };
        let is_rewritten = match self.api == AZURE {
            true => named != real,
            false if bare != self.name => return None,
            false => real != self.name,
        };
        if is_rewritten && !self.is_early() {
            return None;
        }
        let value = format!("{prefix}{real}").replace('"', "\\\"");
        Some(self.body(Some(&format!("\"{value}\""))))
    }

    async fn send(&self) -> Outcome {
        let pieces = self.pieces().into_iter();
        let pieces = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        let body = StreamBody::new(stream::iter(pieces));
        let (before, after) = self.api;
        let request = Request::post(format!("{before}{}{after}", self.name))
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        let layer = ModelRouteLayer::new(table()).replay_bytes(self.replay_bytes);
        send_through(layer, request, || says(200, "")).await
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let names = ["alias", "lora", "models/alias", "models/lora", "gpt"];
    (
        prop::sample::select(vec![GEMINI, AZURE, KSERVE, QUERY]),
        prop::sample::select(vec!["alias", "lora"]),
        prop::option::weighted(0.9, prop::sample::select(names.to_vec())),
        0..60_usize,
        0..60_usize,
        prop::collection::vec(1..40_usize, 0..8),
        prop_oneof![Just(1 << 20), 0..120_usize],
    )
        .prop_map(
            |(api, name, named, before, after, pieces, replay_bytes)| Sent {
                api,
                name,
                named,
                before,
                after,
                pieces,
                replay_bytes,
            },
        )
}

proptest! {
    /// Wherever the body names it, however it is cut and whenever the request has to go on.
    #[test]
    fn the_engine_reads_one_name_or_gets_no_whole_body(sent in sent()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(sent.send());
        match sent.expected() {
            Some(body) => {
                let forwarded = outcome.forwarded();
                prop_assert_eq!(forwarded.bytes(), body);
                prop_assert_eq!(forwarded.asked_for(), sent.name);
            }
            None => {
                prop_assert_eq!(outcome.status(), 400);
                prop_assert_eq!(outcome.answer.code(), "ambiguous_model");
                prop_assert!(outcome.forwarded.iter().all(|attempt| attempt.body.is_err()));
                prop_assert_eq!(outcome.forwarded.is_empty(), sent.is_early());
            }
        }
    }
}

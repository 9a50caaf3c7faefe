//! An extractor of one's own.

use http::{HeaderName, request::Parts};
use test_kit::request::post;
use tower_model_route::{
    ExtractModel, ExtractedModel, Extraction, JsonBody, ModelSources, RouteError, RouteErrorKind,
};

use super::send::{REAL, REAL_IN_JSON, REAL_IN_URI, send_by};

/// The model of a request in an envelope: `{"request":{"model":...}}`.
#[derive(Debug)]
struct Envelope;

impl ExtractModel for Envelope {
    fn begin(&self, head: &Parts) -> Extraction {
        if head.uri.path() != "/envelope" {
            return Extraction::none();
        }
        Extraction::whole_body(|_, body| {
            let missing = || RouteError::new(RouteErrorKind::MissingModel, "an empty envelope");
            let text = std::str::from_utf8(body).map_err(|_| missing())?;
            let key = r#""model":"#;
            let start = text.find(key).ok_or_else(missing)? + key.len();
            let end = start + 2 + text[start + 1..].find('"').ok_or_else(missing)?;
            let name: String = serde_json::from_str(&text[start..end]).map_err(|_| missing())?;
            Ok(ExtractedModel::new(name).json_span(start..end))
        })
    }
}

/// Says that the model stands here, whatever there is.
#[derive(Debug)]
struct At(std::ops::Range<usize>);

impl ExtractModel for At {
    fn begin(&self, _: &Parts) -> Extraction {
        let span = self.0.clone();
        Extraction::whole_body(move |_, _| Ok(ExtractedModel::new("alias").json_span(span)))
    }
}

#[tokio::test]
async fn what_it_points_at_is_rewritten() {
    let before = r#"{"request":{"stream":true,"model":"#;
    let after = r#","messages":[]}}"#;
    let sent = post("/envelope", format!(r#"{before}"alias"{after}"#));
    let forwarded = send_by(Envelope, sent).await.forwarded();
    let expected = format!("{before}{REAL_IN_JSON}{after}");
    assert_eq!(forwarded.bytes(), expected);
    let length = expected.len().to_string();
    assert_eq!(forwarded.header("content-length"), Some(&*length));
    assert_eq!(forwarded.asked_for(), "alias");
}

#[tokio::test]
async fn what_it_refuses_is_refused() {
    let outcome = send_by(Envelope, post("/envelope", "{}")).await;
    outcome.refused(400, "missing_model");
    let outcome = send_by(Envelope, post("/elsewhere", r#"{"model":"alias"}"#)).await;
    outcome.refused(404, "route_not_found");
}

#[tokio::test]
async fn it_stands_among_others() {
    let sources = || ModelSources::new().or(Envelope).or(JsonBody::new());
    let sent = post("/envelope", r#"{"model":"lora"}"#);
    assert_eq!(
        send_by(sources(), sent).await.forwarded().asked_for(),
        "lora"
    );
    let sent = post("/v1/chat", r#"{"x":{"model":"no"},"model":"lora"}"#);
    assert_eq!(
        send_by(sources(), sent).await.forwarded().asked_for(),
        "lora"
    );
}

/// With a header, it must agree like any other.
#[tokio::test]
async fn it_is_checked_against_the_header() {
    let sources = || {
        ModelSources::new()
            .or(Envelope)
            .and_header("x-model".parse().unwrap())
    };
    for (header, status) in [("lora", 200), ("alias", 400)] {
        let mut sent = post("/envelope", r#"{"model":"lora"}"#);
        let headers = sent.headers_mut();
        headers.insert("x-model", header.parse().unwrap());
        assert_eq!(send_by(sources(), sent).await.status(), status);
    }
}

#[tokio::test]
async fn one_without_a_place_changes_nothing() {
    #[derive(Debug)]
    struct Always;
    impl ExtractModel for Always {
        fn begin(&self, _: &Parts) -> Extraction {
            Extraction::found(ExtractedModel::new("alias"))
        }
    }
    let forwarded = send_by(Always, post("/v1/chat", "anything"))
        .await
        .forwarded();
    assert_eq!(forwarded.bytes(), "anything");
    assert_eq!(forwarded.asked_for(), "alias");
}

/// A fault of the extractor's: nothing is sent that could be spoiled by it.
#[tokio::test]
async fn a_place_outside_of_the_body() {
    for span in [0..10, 9..11, 10..10, 5..5, 20..30, 0..usize::MAX] {
        let inside = span.start < span.end && span.end <= 10;
        let outcome = send_by(At(span.clone()), post("/v1/chat", "0123456789")).await;
        if inside {
            assert_eq!(outcome.forwarded().bytes(), REAL_IN_JSON, "{span:?}");
        } else {
            outcome.refused(500, "extractor_error");
        }
    }
    // A range the wrong way round can't be written down, so it is made by hand.
    let backwards = std::ops::Range { start: 7, end: 3 };
    let outcome = send_by(At(backwards), post("/v1/chat", "0123456789")).await;
    outcome.refused(500, "extractor_error");
}

/// The places that the built-in extractors rewrite are open to all.
#[derive(Debug)]
struct Anywhere;

impl ExtractModel for Anywhere {
    fn begin(&self, head: &Parts) -> Extraction {
        let name = ExtractedModel::new("alias");
        match head.uri.path() {
            "/field" => Extraction::json_field("engine"),
            "/field-or-small" => Extraction::json_field("engine").or_model("lora"),
            "/in/alias/path" => Extraction::found(name.path_span(4..9)),
            "/in-query" => Extraction::found(name.query_span(2..7)),
            "/in-header" => Extraction::found(name.in_header(HeaderName::from_static("x-model"))),
            "/in-text" => {
                Extraction::whole_body(|_, _| Ok(ExtractedModel::new("alias").text_span(6..11)))
            }
            "/past-the-path" => Extraction::found(name.path_span(4..99)),
            "/empty-in-query" => Extraction::found(name.query_span(2..2)),
            _ => Extraction::none(),
        }
    }
}

#[tokio::test]
async fn a_json_field_of_any_name_is_read_while_it_arrives_and_rewritten() {
    // The field's name may be escaped, and be cut anywhere: it is the scanner of `model`.
    for key in ["engine", r"\u0065ngin\u0065"] {
        let body = format!(r#"{{"model":"no","x":{{"engine":"no"}},"{key}":"alias","z":1}}"#);
        let forwarded = send_by(Anywhere, post("/field", body.clone()))
            .await
            .forwarded();
        let expected = body.replace(r#""alias""#, REAL_IN_JSON);
        assert_eq!(forwarded.text(), expected);
        assert_eq!(forwarded.asked_for(), "alias");
    }
    for (body, code) in [
        (r#"{"model":"alias"}"#, "missing_model"),
        (r#"{"engine":7}"#, "invalid_model"),
        (r#"{"engine":""}"#, "invalid_model"),
        (r#"{"engine":"alias","engine":"alias"}"#, "ambiguous_model"),
        (r#"{"engine":"alias""#, "invalid_json"),
    ] {
        let outcome = send_by(Anywhere, post("/field", body)).await;
        outcome.refused(400, code);
        let told = outcome.answer.text().to_owned();
        assert!(
            code == "invalid_json" || told.contains("`engine`"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_default_is_for_bodies_that_name_no_model() {
    let send = async |body: &'static str| send_by(Anywhere, post("/field-or-small", body)).await;
    let forwarded = send(r#"{"model":"x"}"#).await.forwarded();
    assert_eq!(forwarded.asked_for(), "lora");
    assert_eq!(forwarded.text(), r#"{"model":"x"}"#);
    let forwarded = send(r#"{"engine":"alias"}"#).await.forwarded();
    assert_eq!(forwarded.asked_for(), "alias");
    send("{").await.refused(400, "invalid_json");
    send(r#"{"engine":[]}"#).await.refused(400, "invalid_model");
}

#[tokio::test]
async fn spans_of_the_head_and_of_plain_text_are_rewritten() {
    let send = async |uri: &str| {
        let request = post(uri, "model=alias");
        send_by(Anywhere, request).await.forwarded()
    };
    let path = send("/in/alias/path").await;
    assert_eq!(path.uri().path(), format!("/base/in/{REAL_IN_URI}/path"));
    let query = send("/in-query?m=alias&n=1").await;
    let expected = format!("m={REAL_IN_URI}&n=1");
    assert_eq!(query.uri().query(), Some(&*expected));
    let header = send("/in-header").await;
    assert_eq!(header.header("x-model"), Some(REAL));
    let text = send("/in-text").await;
    assert_eq!(text.text(), format!("model={REAL}"));
}

#[tokio::test]
async fn spans_outside_of_the_head_are_the_extractors_fault() {
    for uri in ["/past-the-path", "/empty-in-query?m=alias"] {
        let outcome = send_by(Anywhere, post(uri, "x")).await;
        outcome.refused(500, "extractor_error");
    }
}

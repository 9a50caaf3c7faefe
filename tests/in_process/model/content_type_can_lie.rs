//! A Content-Type by which an engine could read another model out of the body.

use bytes::Bytes;
use http::{Request, header::CONTENT_TYPE};
use http_body_util::Full;
use test_kit::request::post;
use tower_model_route::{ExtractModel, Extraction};

use super::send::{send, send_by};

/// JSON to one reader, and a form with `model=alias` to another.
const BOTH: &str = r#"{"model":"lora","x":"&model=alias&"}"#;

fn with(uri: &str, types: &[&str]) -> Request<Full<Bytes>> {
    let mut request = post(uri, BOTH);
    request.headers_mut().remove(CONTENT_TYPE);
    for value in types {
        request
            .headers_mut()
            .append(CONTENT_TYPE, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn a_form_is_never_read_as_json() {
    for kind in [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-URLencoded; charset=utf-8",
        "multipart/mixed; boundary=b",
    ] {
        for uri in ["/v1/chat/completions", "/v1/models/lora:predict"] {
            send(with(uri, &[kind]))
                .await
                .refused(415, "unsupported_media_type");
        }
    }
}

#[tokio::test]
async fn only_utf_8_is_read() {
    for charset in ["utf-7", "UTF-16", "latin-1", "utf-8; charset=utf-7", ""] {
        let kind = format!("application/json; charset={charset}");
        let outcome = send(with("/v1/chat/completions", &[&kind])).await;
        outcome.refused(415, "unsupported_media_type");
    }
    for kind in [
        "application/json; charset=UTF-8",
        "application/json;charset=\"us-ascii\"",
        "text/plain; charset=utf-8",
        "application/vnd.api+json",
    ] {
        let forwarded = send(with("/v1/chat/completions", &[kind]))
            .await
            .forwarded();
        assert_eq!(forwarded.header("content-type"), Some(kind));
        assert_eq!(forwarded.bytes(), BOTH);
    }
}

#[tokio::test]
async fn there_is_one_or_none() {
    let json = "application/json";
    let form = "multipart/form-data; boundary=b";
    for types in [
        &[json, json][..],
        &[json, form],
        &[form, json],
        &["text/plain", json],
    ] {
        let outcome = send(with("/v1/chat/completions", types)).await;
        outcome.refused(400, "invalid_content_type");
    }
    let forwarded = send(with("/v1/chat/completions", &[])).await.forwarded();
    assert_eq!(forwarded.bytes(), BOTH);
}

#[tokio::test]
async fn a_field_of_ones_own_is_read_under_the_same_rules() {
    #[derive(Debug)]
    struct Own;
    impl ExtractModel for Own {
        fn begin(&self, _: &http::request::Parts) -> Extraction {
            Extraction::json_field("model")
        }
    }
    let sent = with("/own", &["application/x-www-form-urlencoded"]);
    send_by(Own, sent)
        .await
        .refused(415, "unsupported_media_type");
}

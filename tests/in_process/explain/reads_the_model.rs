//! `explain_request`: the model is read out of the request.

use test_kit::request::head;

use super::tables::{chat, table};

#[test]
fn the_model_is_read_as_the_gateway_reads_it() {
    for (uri, body) in [
        (
            "/v1/chat/completions",
            r#"{"model":"g\u0070t","messages":[]}"#,
        ),
        ("/openai/deployments/gpt/chat/completions", "{}"),
        ("/v1/realtime?model=gpt", ""),
    ] {
        let explained = table().explain_request(&head(uri, &[]), body.as_bytes());
        let explained = explained.unwrap();
        assert_eq!(explained.model(), "gpt", "{uri}");
        assert_eq!(explained.rule(), Some("default"), "{uri}");
    }
}

#[test]
fn a_multipart_form_names_it_in_a_field() {
    let kind = "multipart/form-data; boundary=b";
    let body = "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\ngpt\r\n--b--\r\n";
    let head = head("/v1/audio/transcriptions", &[("content-type", kind)]);
    let explained = table().explain_request(&head, body.as_bytes()).unwrap();
    assert_eq!(explained.model(), "gpt");
}

#[test]
fn what_names_no_model_is_refused_as_by_the_gateway() {
    for (body, code) in [
        ("", "missing_model"),
        ("{}", "missing_model"),
        (r#"{"model":""}"#, "invalid_model"),
        (r#"{"model":"a","model":"b"}"#, "ambiguous_model"),
        (r#"{"model":"gpt"} x"#, "invalid_json"),
    ] {
        let error = table().explain_request(&chat(&[]), body.as_bytes());
        assert_eq!(error.unwrap_err().kind().code(), code, "{body}");
    }
    for (path, code) in [
        ("/v1/chat/completions", "route_not_found"),
        ("/health", "unknown_path"),
    ] {
        let (get, ()) = http::Request::get(path).body(()).unwrap().into_parts();
        let error = table().explain_request(&get, b"").unwrap_err();
        assert_eq!(error.kind().code(), code);
    }
}

#[test]
fn the_path_counts_as_in_the_request() {
    for (uri, body, expected) in [
        ("/v1/models/gpt:predict", "{}", Ok("gpt")),
        ("/v1/models/gpt:predict", "", Ok("gpt")),
        ("/v1/models/gpt:predict", r#"{"model":"gpt"}"#, Ok("gpt")),
        (
            "/v1/models/gpt:predict",
            r#"{"model":"other"}"#,
            Err("ambiguous_model"),
        ),
        (
            "/openai/deployments/gpt/completions",
            r#"{"model":"other"}"#,
            Ok("gpt"),
        ),
    ] {
        let explained = table().explain_request(&head(uri, &[]), body.as_bytes());
        let model = explained.as_ref().map(|explained| explained.model());
        let model = model.map_err(|error| error.kind().code());
        assert_eq!(model, expected, "{uri} {body}");
        // The URI to the engine has its name.
        if let Ok(explained) = &explained {
            let endpoint = &explained.targets()[0].endpoints()[0];
            assert!(!endpoint.request_uri().unwrap().contains("gpt"), "{uri}");
        }
    }
}

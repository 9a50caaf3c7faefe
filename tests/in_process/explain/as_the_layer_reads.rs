//! Explanations by an extractor of one's own, and of requests that name no model.

use http::request::Parts;
use test_kit::request::head;
use tower_model_route::{
    ExtractModel, ExtractedModel, Extraction, JsonBody, ModelName, ModelSources, RouteError,
    RouteErrorKind, RouteTable, Verdict, WithoutModel,
};

use super::tables::{chat, table};

fn with(what: WithoutModel) -> RouteTable {
    let config = table().config().clone();
    config.without_model(what).build().unwrap()
}

fn get(uri: &str) -> Parts {
    http::Request::get(uri).body(()).unwrap().into_parts().0
}

#[test]
fn a_mapped_name_is_shown_beside_the_clients() {
    let extract = ModelSources::standard().map_name(|head, name| {
        if head.headers.contains_key("x-out") {
            return Err(RouteError::new(RouteErrorKind::Unauthorized, "who?"));
        }
        Ok(ModelName::new(name.to_lowercase()).for_engine("own"))
    });
    let path = "/openai/deployments/GPT/chat/completions";
    let explained = table()
        .explain_request_with(&extract, &head(path, &[]), b"{}")
        .unwrap();
    assert_eq!(explained.requested_model(), "GPT");
    assert_eq!(explained.model(), "gpt");
    let target = &explained.targets()[0];
    assert_eq!(target.model(), "own");
    let uri = target.endpoints()[0].request_uri().unwrap();
    assert_eq!(
        uri,
        "http://s1:8000/openai/deployments/own/chat/completions"
    );
    let text = explained.to_string();
    assert!(
        text.contains("asks for the model \"GPT\", which is routed as \"gpt\""),
        "{text}"
    );
    assert!(text.contains("model: \"GPT\" becomes \"own\""), "{text}");
    let refused = table().explain_request_with(&extract, &head(path, &[("x-out", "1")]), b"{}");
    assert_eq!(refused.unwrap_err().kind(), RouteErrorKind::Unauthorized);
}

#[test]
fn an_extractor_that_needs_the_whole_body_gets_it() {
    #[derive(Debug)]
    struct Line;
    impl ExtractModel for Line {
        fn begin(&self, _: &Parts) -> Extraction {
            Extraction::whole_body(|_, body| {
                Ok(ExtractedModel::new(String::from_utf8_lossy(body)).text_span(0..body.len()))
            })
        }
    }
    let explained = table().explain_request_with(&Line, &chat(&[]), b"sql");
    let explained = explained.unwrap();
    assert_eq!(explained.model(), "sql");
    assert!(explained.is_lora());
}

#[test]
fn what_happens_without_a_model_is_explained() {
    let model = with(WithoutModel::Model("sql".to_owned()));
    let route = with(WithoutModel::Route("chat".to_owned()));
    for (head, body) in [
        (chat(&[]), "{}"),
        (chat(&[]), ""),
        (get("/v1/chat/completions"), ""),
        (get("/v1/realtime"), ""),
    ] {
        let explained = model.explain_request(&head, body.as_bytes()).unwrap();
        assert_eq!(
            (explained.requested_model(), explained.model()),
            ("", "sql")
        );
        assert_eq!(explained.rule(), Some("default"));
        assert_eq!(explained.verdict(), Verdict::Sent);
        assert_eq!(explained.targets()[0].model(), "");
        let text = explained.to_string();
        assert!(
            text.contains("names no model, and is routed as one for \"sql\"\n"),
            "{text}"
        );
        assert!(text.contains("model: none is sent to the engine"), "{text}");

        let explained = route.explain_request(&head, body.as_bytes()).unwrap();
        assert_eq!(explained.route(), Some("chat"));
        assert_eq!(explained.rule(), Some("default"));
        let what = WithoutModel::Route("chat".to_owned());
        assert_eq!(explained.without_model(), Some(&what));
        let text = explained.to_string();
        assert!(
            text.contains(
                "names no model, and goes to the route \"chat\"\nroute \"chat\", found by its own name:\n"
            ),
            "{text}"
        );
    }
    let explained = model.explain_request(&chat(&[]), br#"{"model":"gpt"}"#);
    assert_eq!(explained.unwrap().without_model(), None);
}

#[test]
fn what_is_forwarded_or_rejected_is_said() {
    let table = with(WithoutModel::Forward);
    let explained = table.explain_request(&get("/health"), b"").unwrap();
    assert_eq!(explained.verdict(), Verdict::Forwarded);
    let text = "GET /health names no model\nit is forwarded to the inner service unchanged";
    assert_eq!(explained.to_string(), text);
    let error = table.explain_request(&chat(&[]), b"{}").unwrap_err();
    assert_eq!(error.kind(), RouteErrorKind::MissingModel);
    let table = with(WithoutModel::Reject);
    for (path, kind) in [
        ("/v1/chat/completions", RouteErrorKind::RouteNotFound),
        ("/health", RouteErrorKind::UnknownPath),
    ] {
        let error = table.explain_request(&get(path), b"").unwrap_err();
        assert_eq!(error.kind(), kind);
    }
}

#[test]
fn an_extractors_default_is_no_word_of_the_client() {
    #[derive(Debug)]
    struct OrSql;
    impl ExtractModel for OrSql {
        fn begin(&self, head: &Parts) -> Extraction {
            JsonBody::new().begin(head).or_model("sql")
        }
    }
    let explained = table().explain_request_with(&OrSql, &chat(&[]), b"{}");
    let explained = explained.unwrap();
    assert_eq!(
        (explained.requested_model(), explained.model()),
        ("", "sql")
    );
    let text = explained.to_string();
    assert!(
        text.contains("names no model: its extractor says \"sql\""),
        "{text}"
    );
}

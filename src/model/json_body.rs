//! The top-level `model` of a JSON body.

use http::request::Parts;

use super::{
    choose::choose,
    duplicates::DuplicateModels,
    extract::{ExtractModel, has_body},
    extraction::{ExtractedModel, Extraction, Plan, Written},
    found::FIELD,
    json::Scanner,
};
use crate::error::RouteError;

/// The top-level `model` of a JSON object.
///
/// The body is scanned as it arrives, and not parsed: the scanner tracks
/// strings and nesting, reads the keys of the top level, and compares them
/// unescaped (`"mod\u0065l"` is `model`). Every document that serde_json
/// accepts is read the way serde_json reads it. Other documents are refused if
/// their top level is malformed, or if they are truncated, unbalanced, or
/// followed by anything but white space. Errors inside nested values are left
/// to the engine.
///
/// Requests with a method that has no body (GET, HEAD, OPTIONS, DELETE, TRACE,
/// CONNECT) name no model.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct JsonBody {
    duplicates: DuplicateModels,
}

impl JsonBody {
    /// Reads `model`, and refuses bodies that name it twice.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how a second top-level `model` key is treated; by default it is refused.
    pub fn duplicates(mut self, duplicates: DuplicateModels) -> Self {
        self.duplicates = duplicates;
        self
    }
}

impl JsonBody {
    /// The model of a whole JSON body.
    ///
    /// # Errors
    ///
    /// The error that the client would get, with status 400.
    pub fn read(&self, body: &[u8]) -> Result<ExtractedModel, RouteError> {
        let mut scanner = Scanner::new(None, self.duplicates.scanned());
        scanner
            .feed(body)
            .and_then(|()| scanner.finish())
            .map_err(|refusal| refusal.in_field(FIELD))?;
        let (field, models) = scanner.found();
        choose(self.duplicates, models, Written::Json, field)
    }
}

impl ExtractModel for JsonBody {
    fn begin(&self, head: &Parts) -> Extraction {
        if has_body(head) {
            Extraction(Plan::Json(None, self.duplicates))
        } else {
            Extraction::none()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use std::ops::Range;

    use super::*;
    use crate::{error::RouteErrorKind, model::extraction::Location};

    /// The name and its span, read from the whole body and from any two chunks.
    fn find(body: &[u8]) -> Result<(String, Range<usize>), RouteError> {
        let model = JsonBody::new().read(body)?;
        let Location::Body { span, .. } = model.location else {
            panic!("{model:?}");
        };
        Ok((model.name, span.start as usize..span.end as usize))
    }

    fn kind(body: &str) -> RouteErrorKind {
        find(body.as_bytes()).expect_err(body).kind()
    }

    #[test]
    fn finds_the_value_and_its_span() {
        for (body, name, value) in [
            (r#"{"model":"m"}"#, "m", r#""m""#),
            (
                " {\n\t\"a\":[{\"model\":1}],\r \"model\" : \"m\" , \"b\":{}}\n",
                "m",
                r#""m""#,
            ),
            (r#"{"mod\u0065l":"a\u0062"}"#, "ab", r#""a\u0062""#),
            (
                r#"{"model":"\ud83d\ude00\n"}"#,
                "😀\n",
                r#""\ud83d\ude00\n""#,
            ),
            ("{\"model\":\"größe\"}", "größe", "\"größe\""),
            (
                r#"{"x":1e400,"y":0.10,"z":"\ud800","model":"m"}"#,
                "m",
                r#""m""#,
            ),
        ] {
            let (found, span) = find(body.as_bytes()).expect(body);
            assert_eq!((&*found, &body[span]), (name, value), "{body}");
        }
    }

    #[test]
    fn refuses_what_is_not_one_object_with_one_model() {
        use RouteErrorKind::*;
        for (body, expected) in [
            ("", MissingModel),
            (" \n", InvalidJson),
            ("null", InvalidJson),
            (r#"["model"]"#, InvalidJson),
            (r#""model""#, InvalidJson),
            (r#"{"model":"m"} x"#, InvalidJson),
            (r#"{"model":"m"}{"model":"n"}"#, InvalidJson),
            (r#"{"model":"m""#, InvalidJson),
            (r#"{"model":"m",}"#, InvalidJson),
            (r#"{"model":"m","a":tru}"#, InvalidJson),
            ("{\"model\":\"a\nb\"}", InvalidModel),
            ("{}", MissingModel),
            (r#"{"Model":"m","a":{"model":"m"}}"#, MissingModel),
            (r#"{"model":null}"#, InvalidModel),
            (r#"{"model":7}"#, InvalidModel),
            (r#"{"model":["m"]}"#, InvalidModel),
            (r#"{"model":"\ud800"}"#, InvalidModel),
            (r#"{"model":""}"#, InvalidModel),
            (r#"{"model":"a","model":"a"}"#, AmbiguousModel),
            (r#"{"model":"a","mod\u0065l":1}"#, AmbiguousModel),
        ] {
            assert_eq!(kind(body), expected, "{body}");
        }
    }

    #[test]
    fn messages_never_quote_the_body() {
        for body in [
            r#""my secret""#,
            r#"{"my secret":tru}"#,
            r#"{"model":{"my":"secret"}}"#,
        ] {
            let error = find(body.as_bytes()).unwrap_err();
            assert!(!error.message().contains("secret"), "{error}");
        }
    }

    #[test]
    fn deep_nesting_is_only_skipped() {
        let deep = 100_000;
        let body = format!(
            r#"{{"a":{}{},"model":"m"}}"#,
            "[".repeat(deep),
            "]".repeat(deep)
        );
        assert_eq!(find(body.as_bytes()).unwrap().0, "m");
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            key().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((key(), inner), 0..6)
                    .prop_map(|entries| Value::Object(Map::from_iter(entries))),
            ]
        })
    }

    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("model".to_owned()),
            Just("mod\"el".to_owned()),
            any::<String>()
        ]
    }

    /// The result expected of this module, computed from serde_json's own tree.
    fn expected(body: &[u8]) -> Result<String, RouteErrorKind> {
        let tree: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| RouteErrorKind::InvalidJson)?;
        match tree.get("model") {
            None => Err(RouteErrorKind::MissingModel),
            Some(Value::String(name)) if !name.is_empty() => Ok(name.clone()),
            Some(_) => Err(RouteErrorKind::InvalidModel),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_documents(value in json(), pretty: bool) {
            let body = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let found = find(&body);
            if let Ok((name, span)) = &found {
                let value: String = serde_json::from_slice(&body[span.clone()]).unwrap();
                prop_assert_eq!(&value, name);
            }
            let found = found.map(|(name, _)| name).map_err(|error| error.kind());
            prop_assert_eq!(found, expected(&body));
        }
    }
}

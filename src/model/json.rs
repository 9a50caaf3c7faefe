//! The top-level `model` of a JSON body: its value and the bytes in which it stands.

use std::{borrow::Cow, fmt, ops::Range};

use http::request::Parts;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{error::Category, value::RawValue};

use super::{ExtractModel, ExtractedModel};
use crate::error::{RouteError, RouteErrorKind};

/// The top-level `model` of a JSON object, the default [`ExtractModel`].
///
/// It accepts exactly the documents that serde_json accepts as an object, and
/// reads nothing but the keys of the top level and the one value. The key is
/// compared unescaped (`"mod\u0065l"` is `model`), and so is the name. What
/// is refused with a 400: a body that is not a JSON object, a `model` that is
/// missing, not a string or empty, and two of them, whatever their values,
/// because routers and engines disagree on which of them counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonBody;

impl ExtractModel for JsonBody {
    fn extract<'a>(
        &self,
        _head: &'a Parts,
        body: &'a [u8],
    ) -> Result<ExtractedModel<'a>, RouteError> {
        let (name, span) = find_model(body)?;
        Ok(ExtractedModel::new(name).json_span(span))
    }
}

/// The decoded model of a whole JSON document, and where its value stands.
fn find_model(body: &[u8]) -> Result<(Cow<'_, str>, Range<usize>), RouteError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let found = deserializer
        .deserialize_map(TopLevel)
        .and_then(|found| deserializer.end().map(|()| found))
        .map_err(|error| not_an_object(&error))?;
    match found {
        Found::Nothing => Err(RouteError::new(
            RouteErrorKind::MissingModel,
            "the request body has no `model`",
        )),
        Found::Several => Err(RouteError::new(
            RouteErrorKind::AmbiguousModel,
            "the request body has more than one `model`",
        )),
        Found::One(raw) => {
            let name = decode(raw.get())?;
            // The raw value borrows from the body: its place is the distance of the two.
            let start = raw.get().as_ptr().addr() - body.as_ptr().addr();
            Ok((name, start..start + raw.get().len()))
        }
    }
}

fn decode(value: &str) -> Result<Cow<'_, str>, RouteError> {
    let invalid = |message| RouteError::new(RouteErrorKind::InvalidModel, message);
    let name = match value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
        None => return Err(invalid("the `model` in the request body is not a string")),
        Some(name) if !name.contains('\\') => Cow::Borrowed(name),
        Some(_) => serde_json::from_str(value)
            .map(Cow::Owned)
            .map_err(|_| invalid("the `model` in the request body is not a valid string"))?,
    };
    if name.is_empty() {
        return Err(invalid("the `model` in the request body is empty"));
    }
    Ok(name)
}

/// Says where, but not what: serde_json's own text may quote the body.
fn not_an_object(error: &serde_json::Error) -> RouteError {
    let message: Cow<'static, str> = match error.classify() {
        Category::Data => "the request body is not a JSON object".into(),
        Category::Eof => "the request body is not valid JSON: it ends too early".into(),
        Category::Syntax | Category::Io => format!(
            "the request body is not valid JSON (line {}, column {})",
            error.line(),
            error.column()
        )
        .into(),
    };
    RouteError::new(RouteErrorKind::InvalidJson, message)
}

enum Found<'a> {
    Nothing,
    One(&'a RawValue),
    Several,
}

struct TopLevel;

impl<'de> Visitor<'de> for TopLevel {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Found::Nothing;
        while let Some(is_model) = map.next_key_seed(IsModel)? {
            found = match (is_model, found) {
                (false, found) => {
                    map.next_value::<IgnoredAny>()?;
                    found
                }
                (true, Found::Nothing) => Found::One(map.next_value()?),
                (true, _) => {
                    map.next_value::<IgnoredAny>()?;
                    Found::Several
                }
            };
        }
        Ok(found)
    }
}

/// Compares a key without keeping it.
struct IsModel;

impl<'de> DeserializeSeed<'de> for IsModel {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsModel {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == "model")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn kind(body: &str) -> RouteErrorKind {
        find_model(body.as_bytes()).expect_err(body).kind()
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
            let (found, span) = find_model(body.as_bytes()).expect(body);
            assert_eq!((&*found, &body[span]), (name, value), "{body}");
        }
    }

    #[test]
    fn refuses_what_is_not_one_object_with_one_model() {
        use RouteErrorKind::*;
        for (body, expected) in [
            ("", InvalidJson),
            ("null", InvalidJson),
            (r#"["model"]"#, InvalidJson),
            (r#""model""#, InvalidJson),
            (r#"{"model":"m"} x"#, InvalidJson),
            (r#"{"model":"m"}{"model":"n"}"#, InvalidJson),
            (r#"{"model":"m""#, InvalidJson),
            (r#"{"model":"m",}"#, InvalidJson),
            (r#"{"model":"m","a":tru}"#, InvalidJson),
            ("\u{feff}{\"model\":\"m\"}", InvalidJson),
            ("{\"model\":\"a\nb\"}", InvalidJson),
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
            let error = find_model(body.as_bytes()).unwrap_err();
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
        assert_eq!(find_model(body.as_bytes()).unwrap().0, "m");
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

    /// What this module must say of a document, by serde_json's own tree.
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
            let found = find_model(&body);
            if let Ok((name, span)) = &found {
                let value: String = serde_json::from_slice(&body[span.clone()]).unwrap();
                prop_assert_eq!(&value, name);
            }
            let found = found.map(|(name, _)| name.into_owned()).map_err(|error| error.kind());
            prop_assert_eq!(found, expected(&body));
        }

        #[test]
        fn agrees_with_serde_json_on_broken_documents(
            value in json(), at: prop::sample::Index, byte in prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\",:\\0 "[..])],
        ) {
            let mut body = serde_json::to_vec(&value).unwrap();
            let at = at.index(body.len());
            body[at] = byte;
            let accepted = serde_json::from_slice::<std::collections::HashMap<String, IgnoredAny>>(&body).is_ok();
            let refused = matches!(&find_model(&body), Err(error) if error.kind() == RouteErrorKind::InvalidJson);
            // A model in broken UTF-8 is refused as a whole.
            if !accepted || std::str::from_utf8(&body).is_ok() {
                prop_assert_eq!(accepted, !refused);
            }
        }
    }
}

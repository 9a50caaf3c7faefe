//! `modelMatch`: the conditions of a rule.

use super::{
    fields::{Field, Object, Reader},
    re2,
};
use crate::{
    config::{Condition, StringMatch},
    manifest::place::Spot,
};

/// A pattern in the syntax of the `regex` crate, which only annotations may have.
pub(crate) const RUST_REGEX: &str = "rustRegex";

/// Whose words a `modelMatch` is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// Kthena's, whose regular expressions are Go's.
    Kthena,
    /// Those of this crate's annotations, which are Kthena's, [`RUST_REGEX`] and `promptTokens`.
    Annotation,
}

/// The conditions, each with its position.
pub(crate) fn read(
    field: &Field<'_>,
    words: Words,
    reader: &mut Reader<'_>,
) -> Vec<(Condition, Spot)> {
    let mut conditions = Vec::new();
    const FIELDS: [&str; 4] = ["headers", "uri", "body", "promptTokens"];
    let fields = match words {
        Words::Kthena => &FIELDS[..3],
        Words::Annotation => &FIELDS,
    };
    let Some(object) = field.object(reader, fields) else {
        return conditions;
    };
    if let Some(headers) = object
        .get("headers")
        .and_then(|field| field.mapping(reader))
    {
        for (name, field) in headers.fields() {
            if let Some(value) = string_match(&field, words, reader) {
                let spot = field.spot(reader);
                conditions.push((Condition::Header(name.to_owned(), value), spot));
            }
        }
    }
    if let Some(field) = object.get("uri")
        && let Some(value) = string_match(&field, words, reader)
    {
        conditions.push((Condition::Uri(value), field.spot(reader)));
    }
    if let Some(model) = model(&object, reader)
        && let Some(text) = model.text(reader)
    {
        conditions.push((Condition::BodyModel(text.to_owned()), model.spot(reader)));
    }
    if let Some(field) = object
        .get("promptTokens")
        .filter(|_| words == Words::Annotation)
        && let Some(range) = field.object(reader, &["min", "max"])
    {
        let number = |name, reader: &mut Reader<'_>| range.get(name)?.number(reader, 0, u64::MAX);
        let min = number("min", reader).unwrap_or(0);
        let max = number("max", reader);
        let condition = Condition::PromptTokens { min, max };
        conditions.push((condition, field.spot(reader)));
    }
    conditions
}

fn model<'n>(object: &Object<'n>, reader: &mut Reader<'_>) -> Option<Field<'n>> {
    object.get("body")?.object(reader, &["model"])?.get("model")
}

/// `None` also for one that sets none of its fields: it matches everything, as in Kthena.
fn string_match(field: &Field<'_>, words: Words, reader: &mut Reader<'_>) -> Option<StringMatch> {
    const KINDS: [&str; 4] = ["exact", "prefix", "regex", RUST_REGEX];
    let kinds = match words {
        Words::Kthena => &KINDS[..3],
        Words::Annotation => &KINDS,
    };
    let object = field.object(reader, kinds)?;
    let given: Vec<_> = kinds
        .iter()
        .filter_map(|kind| Some((*kind, object.get(kind)?)))
        .collect();
    match given.as_slice() {
        [] => {
            let message = "it says neither exact, prefix nor regex, and so matches everything, \
                           also where there is nothing";
            let spot = field.spot(reader);
            reader.warning(&spot, "matches-everything", message);
            None
        }
        [(kind, value)] => {
            let text = value.text(reader)?;
            Some(match *kind {
                "exact" => StringMatch::exact(text),
                "prefix" => StringMatch::prefix(text),
                RUST_REGEX => StringMatch::regex(text),
                _ => StringMatch::regex(go_regex(value, text, reader)?),
            })
        }
        [..] => {
            let spot = field.spot(reader);
            let message = "only one of exact, prefix and regex may be set";
            reader.error(&spot, "invalid-value", message);
            None
        }
    }
}

fn go_regex(field: &Field<'_>, pattern: &str, reader: &mut Reader<'_>) -> Option<String> {
    re2::to_rust(pattern)
        .map_err(|reason| {
            let spot = field.spot(reader);
            let message = format!("the regular expression does not compile: {reason}");
            reader.error(&spot, "invalid-value", message);
        })
        .ok()
}

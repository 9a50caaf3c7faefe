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

/// A condition and where it is.
type Placed = (Condition, Spot);

/// The conditions, each with its position.
pub(crate) fn read(field: &Field<'_>, words: Words, reader: &mut Reader<'_>) -> Vec<Placed> {
    const FIELDS: [&str; 4] = ["headers", "uri", "body", "promptTokens"];
    let fields = match words {
        Words::Kthena => &FIELDS[..3],
        Words::Annotation => &FIELDS,
    };
    let Some(object) = field.object(reader, fields) else {
        return Vec::new();
    };
    let mut conditions = headers(&object, words, reader);
    conditions.extend(uri(&object, words, reader));
    conditions.extend(model(&object, reader));
    if words == Words::Annotation {
        conditions.extend(prompt_tokens(&object, reader));
    }
    conditions
}

fn headers(object: &Object<'_>, words: Words, reader: &mut Reader<'_>) -> Vec<Placed> {
    let headers = condition(object, "headers", reader);
    let Some(headers) = headers.and_then(|field| field.mapping(reader)) else {
        return Vec::new();
    };
    let mut conditions = Vec::new();
    for (name, field) in headers.all_fields() {
        if !is_blank(&field, reader)
            && let Some(value) = string_match(&field, words, reader)
        {
            let spot = field.spot(reader);
            conditions.push((Condition::Header(name.to_owned(), value), spot));
        }
    }
    conditions
}

fn uri(object: &Object<'_>, words: Words, reader: &mut Reader<'_>) -> Option<Placed> {
    let field = condition(object, "uri", reader)?;
    let value = string_match(&field, words, reader)?;
    Some((Condition::Uri(value), field.spot(reader)))
}

fn model(object: &Object<'_>, reader: &mut Reader<'_>) -> Option<Placed> {
    let body = condition(object, "body", reader)?.object(reader, &["model"])?;
    let field = condition(&body, "model", reader)?;
    let text = field.text(reader)?;
    Some((Condition::BodyModel(text.to_owned()), field.spot(reader)))
}

fn prompt_tokens(object: &Object<'_>, reader: &mut Reader<'_>) -> Option<Placed> {
    let field = condition(object, "promptTokens", reader)?;
    let range = field.object(reader, &["min", "max"])?;
    let (min, max) = (range.get("min"), range.get("max"));
    if min.is_none() && max.is_none() {
        matches_everything(&field, "it has neither min nor max", reader);
        return None;
    }
    let mut number = |field: Option<Field<'_>>| field?.number(reader, 0, u64::MAX);
    let condition = Condition::PromptTokens {
        min: number(min).unwrap_or(0),
        max: number(max),
    };
    Some((condition, field.spot(reader)))
}

/// A part of a condition that says something.
fn condition<'n>(object: &Object<'n>, name: &str, reader: &mut Reader<'_>) -> Option<Field<'n>> {
    let field = object.written(name)?;
    (!is_blank(&field, reader)).then_some(field)
}

/// Whether it is left blank, which is reported: the rule then matches more than it
/// seems to.
fn is_blank(field: &Field<'_>, reader: &mut Reader<'_>) -> bool {
    let is_blank = field.is_blank();
    if is_blank {
        matches_everything(field, "it is left blank", reader);
    }
    is_blank
}

fn matches_everything(field: &Field<'_>, why: &str, reader: &mut Reader<'_>) {
    let spot = field.spot(reader);
    let message = format!("{why}, and so matches everything, even if there is nothing");
    reader.warning(&spot, "matches-everything", message);
}

/// `None` also for one that sets none of its fields: it matches everything, as in Kthena. Of
/// several the first counts.
fn string_match(field: &Field<'_>, words: Words, reader: &mut Reader<'_>) -> Option<StringMatch> {
    const KINDS: [&str; 4] = ["exact", "prefix", "regex", RUST_REGEX];
    let kinds = match words {
        Words::Kthena => &KINDS[..3],
        Words::Annotation => &KINDS,
    };
    let object = field.object(reader, kinds)?;
    let mut given = kinds
        .iter()
        .filter_map(|kind| Some((*kind, object.get(kind)?)));
    let Some((kind, value)) = given.next() else {
        matches_everything(field, "it says neither exact, prefix nor regex", reader);
        return None;
    };
    for (_, ignored) in given {
        let spot = ignored.spot(reader);
        let message = format!(
            "it is ignored: {kind} counts, since exact comes before prefix and prefix before \
             regex, as in Kthena"
        );
        reader.warning(&spot, "ambiguous-match", message);
    }
    let text = value.text(reader)?;
    Some(match kind {
        "exact" => StringMatch::exact(text),
        "prefix" => StringMatch::prefix(text),
        RUST_REGEX => StringMatch::regex(text),
        _ => StringMatch::regex(go_regex(&value, text, reader)?),
    })
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

//! `modelMatch`: the conditions of a rule.

use super::fields::{Field, Object, Reader};
use crate::{
    config::{Condition, StringMatch},
    manifest::place::Spot,
};

/// The conditions, each with its position.
pub(crate) fn read(field: &Field<'_>, reader: &mut Reader<'_>) -> Vec<(Condition, Spot)> {
    let mut conditions = Vec::new();
    let Some(object) = field.object(reader, &["headers", "uri", "body"]) else {
        return conditions;
    };
    if let Some(headers) = object
        .get("headers")
        .and_then(|field| field.mapping(reader))
    {
        for (name, field) in headers.fields() {
            if let Some(value) = string_match(&field, reader) {
                let spot = field.spot(reader);
                conditions.push((Condition::Header(name.to_owned(), value), spot));
            }
        }
    }
    if let Some(field) = object.get("uri")
        && let Some(value) = string_match(&field, reader)
    {
        conditions.push((Condition::Uri(value), field.spot(reader)));
    }
    if let Some(model) = model(&object, reader)
        && let Some(text) = model.text(reader)
    {
        conditions.push((Condition::BodyModel(text.to_owned()), model.spot(reader)));
    }
    conditions
}

fn model<'n>(object: &Object<'n>, reader: &mut Reader<'_>) -> Option<Field<'n>> {
    object.get("body")?.object(reader, &["model"])?.get("model")
}

/// `None` also for one that sets none of its fields: it matches everything, as in Kthena.
fn string_match(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<StringMatch> {
    const KINDS: [&str; 3] = ["exact", "prefix", "regex"];
    let object = field.object(reader, &KINDS)?;
    let given: Vec<_> = KINDS
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
                _ => StringMatch::regex(text),
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

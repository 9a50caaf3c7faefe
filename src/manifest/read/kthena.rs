//! Warnings about what this crate accepts but Kthena's schema or webhook would refuse.
//!
//! The rules are those of Kthena's CRDs and validating webhook in November 2026. What is wrong
//! here too is an error where it is read.

use super::{
    duration,
    fields::{Field, Object, Reader},
    kubernetes,
};
use crate::manifest::place::Spot;

/// The code of all of them.
pub(crate) const REFUSED: &str = "refused-by-kthena";

pub(super) fn refused(reader: &mut Reader<'_>, spot: &Spot, reason: impl std::fmt::Display) {
    reader.warning(spot, REFUSED, format!("Kthena would refuse this: {reason}"));
}

/// A list or a mapping of `count` has a maximum length.
pub(super) fn at_most(
    field: &Field<'_>,
    count: usize,
    most: usize,
    what: &str,
    reader: &mut Reader<'_>,
) {
    if count > most {
        let spot = field.spot(reader);
        refused(reader, &spot, format!("{count} {what}, at most {most}"));
    }
}

/// A string has a maximum length, in characters.
pub(super) fn length(field: &Field<'_>, most: usize, reader: &mut Reader<'_>) {
    let count = field
        .loose_text()
        .map_or(0, |text| text.chars().take(most + 1).count());
    if count > most {
        let spot = field.spot(reader);
        refused(reader, &spot, format!("longer than {most} characters"));
    }
}

/// A field that is present and not an empty string.
pub(super) fn required(object: &Object<'_>, name: &str, reader: &mut Reader<'_>) {
    if object.named(name).is_none() {
        let spot = object.spot_of(reader, name);
        refused(reader, &spot, format!("there is no {name}"));
    }
}

/// A whole number from `least` to `most`.
pub(super) fn number(field: &Field<'_>, least: i64, most: i64, reader: &mut Reader<'_>) {
    let number = field.loose_text().and_then(|text| text.parse().ok());
    if number.is_none_or(|number| !(least..=most).contains(&number)) {
        let spot = field.spot(reader);
        refused(
            reader,
            &spot,
            match most {
                i64::MAX => format!("not a whole number from {least} on"),
                most => format!("not a whole number from {least} to {most}"),
            },
        );
    }
}

/// A duration that is not 0.
pub(super) fn time(field: &Field<'_>, reader: &mut Reader<'_>) {
    let time = field
        .loose_text()
        .and_then(|text| duration::parse(text).ok());
    if time.is_none_or(|time| time.is_zero()) {
        let spot = field.spot(reader);
        refused(reader, &spot, "not a duration longer than 0");
    }
}

/// One of these texts.
pub(super) fn one_of(field: &Field<'_>, known: &[&str], reader: &mut Reader<'_>) {
    if field.loose_text().is_none_or(|text| !known.contains(&text)) {
        let spot = field.spot(reader);
        refused(reader, &spot, format!("none of {}", known.join(", ")));
    }
}

/// A text of the form that `what` names.
pub(super) fn text(
    field: &Field<'_>,
    what: &str,
    check: impl Fn(&str) -> bool,
    reader: &mut Reader<'_>,
) {
    if let Some(text) = field.text(reader)
        && !check(text)
    {
        let spot = field.spot(reader);
        refused(reader, &spot, format!("{text:?} is not {what}"));
    }
}

/// Labels with keys and values that Kubernetes takes. One that is left blank is the empty text, as
/// Go reads it: left out, a selector would select more.
pub(super) fn labels<'n>(field: &Field<'n>, reader: &mut Reader<'_>) -> Vec<(&'n str, &'n str)> {
    let Some(labels) = field.mapping(reader) else {
        return Vec::new();
    };
    let mut read = Vec::new();
    for (key, field) in labels.all_fields() {
        let spot = field.spot(reader);
        if field.is_blank() {
            let message = "the label is left blank, which is the empty string";
            reader.warning(&spot, "blank-label", message);
        }
        let value = match field.is_blank() {
            true => Some(""),
            false => field.text(reader),
        };
        let Some(value) = value else {
            continue;
        };
        if !kubernetes::is_label_key(key) {
            refused(reader, &spot, format!("{key:?} is not the key of a label"));
        }
        if !kubernetes::is_label_value(value) {
            refused(
                reader,
                &spot,
                format!("{value:?} is not the value of a label"),
            );
        }
        read.push((key, value));
    }
    read
}

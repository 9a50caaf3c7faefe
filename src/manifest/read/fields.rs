//! Reading a tree field by field: what is wrong is written down, and the reading goes on.

use std::{collections::HashMap, time::Duration};

use http::HeaderName;

use super::{duration, nearest::did_you_mean};
use crate::manifest::{
    diagnostic::{Diagnostic, Severity},
    place::{FieldPath, Source, Spot},
    yaml::node::{At, Key, Node, Scalar, ScalarKind, Value},
};

/// The document that is read, and what was found out about it.
#[derive(Debug)]
pub(crate) struct Reader<'r> {
    pub(crate) source: Source,
    pub(crate) found: &'r mut Vec<Diagnostic>,
}

/// A value of the document and the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Field<'n> {
    node: &'n Node,
    path: FieldPath,
}

/// A mapping.
#[derive(Clone, Debug)]
pub(crate) struct Object<'n> {
    entries: &'n [(Key, Node)],
    at: At,
    path: FieldPath,
}

impl Reader<'_> {
    pub(crate) fn error(&mut self, spot: &Spot, code: &'static str, message: impl Into<String>) {
        let found = Diagnostic::new(Severity::Error, code, spot, message);
        self.found.push(found);
    }

    pub(crate) fn warning(&mut self, spot: &Spot, code: &'static str, message: impl Into<String>) {
        let found = Diagnostic::new(Severity::Warning, code, spot, message);
        self.found.push(found);
    }

    /// For what this crate understands and does not act on.
    pub(crate) fn not_acted_on(&mut self, field: &Field<'_>, message: &str) {
        let spot = field.spot(self);
        self.warning(&spot, "not-acted-on", message);
    }

    fn wrong_type(&mut self, field: &Field<'_>, expected: &str) {
        let message = format!("expected {expected}, found {}", field.node.describe());
        let spot = field.spot(self);
        self.error(&spot, "wrong-type", message);
    }

    fn spot(&self, at: At, path: &FieldPath) -> Spot {
        Spot {
            source: self.source.clone(),
            at,
            path: path.clone(),
        }
    }
}

impl Node {
    fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Scalar(Scalar { text, kind, .. }) => {
                let short: String = text.chars().take(40).collect();
                match kind {
                    ScalarKind::String => format!("the text {short:?}"),
                    ScalarKind::Number => format!("the number {short}"),
                    ScalarKind::Bool => short,
                }
            }
        }
    }
}

impl<'n> Field<'n> {
    /// A document, or a list's item that is a resource by itself.
    pub(crate) fn root(node: &'n Node) -> Self {
        Self::within(node, FieldPath::default())
    }

    /// The root of a text embedded in another document.
    pub(crate) fn within(node: &'n Node, path: FieldPath) -> Self {
        Self { node, path }
    }

    pub(crate) fn spot(&self, reader: &Reader<'_>) -> Spot {
        reader.spot(self.node.at, &self.path)
    }

    pub(crate) fn at(&self) -> At {
        self.node.at
    }

    pub(crate) fn path(&self) -> &FieldPath {
        &self.path
    }

    /// A mapping with these fields: others are warned about, and duplicates are errors.
    pub(crate) fn object(&self, reader: &mut Reader<'_>, known: &[&str]) -> Option<Object<'n>> {
        let object = self.mapping(reader)?;
        for (key, _) in object.entries {
            if !known.contains(&key.name.as_str()) {
                let spot = reader.spot(key.at, &object.path.key(&key.name));
                let message = format!(
                    "this field is unknown and ignored{}",
                    did_you_mean(&key.name, known.iter().copied())
                );
                reader.warning(&spot, "unknown-field", message);
            }
        }
        Some(object)
    }

    /// A mapping with any keys; duplicates are errors.
    pub(crate) fn mapping(&self, reader: &mut Reader<'_>) -> Option<Object<'n>> {
        let object = self.loose_mapping().or_else(|| {
            reader.wrong_type(self, "a mapping");
            None
        })?;
        let mut seen = HashMap::new();
        for (key, _) in object.entries {
            if let Some(first) = seen.insert(key.name.as_str(), key.at) {
                let spot = reader.spot(key.at, &object.path.key(&key.name));
                let message = format!("this key is already in line {}", first.line);
                reader.error(&spot, "duplicate-key", message);
            }
        }
        Some(object)
    }

    /// A mapping, of which nothing is checked.
    pub(crate) fn loose_mapping(&self) -> Option<Object<'n>> {
        match &self.node.value {
            Value::Map(entries) => Some(Object {
                entries,
                at: self.node.at,
                path: self.path.clone(),
            }),
            _ => None,
        }
    }

    /// Whether nothing is written there.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self.node.value, Value::Null)
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    pub(crate) fn is_mapping(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// The items of a list, of which nothing is checked.
    pub(crate) fn loose_list(&self) -> Vec<Field<'n>> {
        match &self.node.value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, node)| Self::within(node, self.path.index(index)))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The items of a list; empty if the field is not a list.
    pub(crate) fn list(&self, reader: &mut Reader<'_>) -> Vec<Field<'n>> {
        if !self.is_list() {
            reader.wrong_type(self, "a list");
        }
        self.loose_list()
    }

    /// A text. A number or a bool without quotes is taken as it is written, with a warning; so is
    /// what is one only in YAML 1.1, which Kubernetes reads.
    pub(crate) fn text(&self, reader: &mut Reader<'_>) -> Option<&'n str> {
        let Value::Scalar(scalar) = &self.node.value else {
            reader.wrong_type(self, "a text");
            return None;
        };
        if scalar.kind != ScalarKind::String || scalar.is_bool_in_yaml_1_1 {
            let spot = self.spot(reader);
            let message = format!("{} should have quotes: a string is expected", scalar.text);
            reader.warning(&spot, "unquoted-text", message);
        }
        Some(&scalar.text)
    }

    /// The text of a scalar, of which nothing is checked.
    pub(crate) fn loose_text(&self) -> Option<&'n str> {
        match &self.node.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// A whole number. One with quotes is taken, with a warning.
    pub(crate) fn number(&self, reader: &mut Reader<'_>, least: u64, most: u64) -> Option<u64> {
        let Value::Scalar(scalar) = &self.node.value else {
            reader.wrong_type(self, "a number");
            return None;
        };
        if scalar.kind == ScalarKind::Number && has_leading_zero(&scalar.text) {
            let spot = self.spot(reader);
            let message = format!(
                "{} is octal in YAML 1.1, which Kubernetes reads, and decimal in YAML 1.2: write \
                 it without the leading zero",
                scalar.text
            );
            reader.error(&spot, "invalid-value", message);
            return None;
        }
        let number: Option<i128> = scalar.text.parse().ok();
        match (number, scalar.kind) {
            (None, ScalarKind::String | ScalarKind::Bool) => {
                reader.wrong_type(self, "a number");
                return None;
            }
            (Some(number), ScalarKind::String) => {
                let spot = self.spot(reader);
                let message = format!("{number} should have no quotes: a number is expected");
                reader.warning(&spot, "quoted-number", message);
            }
            _ => {}
        }
        let value = number
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| (least..=most).contains(number));
        if value.is_none() {
            let range = match most {
                u64::MAX => format!("from {least} on"),
                most => format!("from {least} to {most}"),
            };
            let message = format!("{} is not a whole number {range}", scalar.text);
            let spot = self.spot(reader);
            reader.error(&spot, "invalid-value", message);
        }
        value
    }

    /// True or false.
    pub(crate) fn flag(&self, reader: &mut Reader<'_>) -> Option<bool> {
        let flag = match &self.node.value {
            Value::Scalar(scalar) if scalar.kind == ScalarKind::Bool => scalar.text.parse().ok(),
            _ => None,
        };
        if flag.is_none() {
            reader.wrong_type(self, "true or false");
        }
        flag
    }

    /// A duration in Go's syntax.
    pub(crate) fn duration(&self, reader: &mut Reader<'_>) -> Option<Duration> {
        let text = match &self.node.value {
            Value::Scalar(scalar) => &scalar.text,
            _ => {
                reader.wrong_type(self, "a duration");
                return None;
            }
        };
        duration::parse(text)
            .map_err(|reason| {
                let spot = self.spot(reader);
                let message = format!("{text:?} is not a duration: {reason}");
                reader.error(&spot, "invalid-value", message);
            })
            .ok()
    }

    /// The name of a header.
    pub(crate) fn header_name(&self, reader: &mut Reader<'_>) -> Option<&'n str> {
        let text = self.text(reader)?;
        if HeaderName::try_from(text).is_ok() {
            return Some(text);
        }
        let spot = self.spot(reader);
        let message = format!("{text:?} is not a valid header name");
        reader.error(&spot, "invalid-value", message);
        None
    }

    /// One of these texts.
    pub(crate) fn one_of(&self, reader: &mut Reader<'_>, known: &[&str]) -> Option<&'n str> {
        let text = self.text(reader)?;
        if known.contains(&text) {
            return Some(text);
        }
        let message = format!(
            "{text:?} is none of {}{}",
            known.join(", "),
            did_you_mean(text, known.iter().copied())
        );
        let spot = self.spot(reader);
        reader.error(&spot, "invalid-value", message);
        None
    }

    /// A mapping from texts to texts, without those that are left blank.
    pub(crate) fn texts(&self, reader: &mut Reader<'_>) -> Vec<(&'n str, Field<'n>, &'n str)> {
        let Some(object) = self.mapping(reader) else {
            return Vec::new();
        };
        object
            .fields()
            .into_iter()
            .filter_map(|(key, field)| {
                let text = field.text(reader)?;
                Some((key, field, text))
            })
            .collect()
    }
}

/// Such a number means one thing in YAML 1.1 and another in YAML 1.2.
pub(crate) fn has_leading_zero(number: &str) -> bool {
    let digits = number.trim_start_matches(['-', '+']);
    let rest = digits.strip_prefix('0');
    rest.is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit()))
}

impl<'n> Object<'n> {
    /// The items of a list; empty where the field is missing or no list.
    pub(crate) fn list(&self, name: &str, reader: &mut Reader<'_>) -> Vec<Field<'n>> {
        self.get(name)
            .map_or_else(Vec::new, |field| field.list(reader))
    }

    /// A field's value, unless it is an empty text.
    pub(crate) fn named(&self, name: &str) -> Option<Field<'n>> {
        self.get(name)
            .filter(|field| field.loose_text() != Some(""))
    }

    pub(crate) fn spot(&self, reader: &Reader<'_>) -> Spot {
        reader.spot(self.at, &self.path)
    }

    /// The value of a field; `None` also for null.
    pub(crate) fn get(&self, name: &str) -> Option<Field<'n>> {
        self.written(name).filter(|field| !field.is_blank())
    }

    /// A field that is present, even if it is left blank.
    pub(crate) fn written(&self, name: &str) -> Option<Field<'n>> {
        let mut entries = self.entries.iter();
        let (_, node) = entries.find(|(key, _)| key.name == name)?;
        Some(Field::within(node, self.path.key(name)))
    }

    /// The position of a field, or where it is missing.
    pub(crate) fn spot_of(&self, reader: &Reader<'_>, name: &str) -> Spot {
        self.get(name).map_or_else(
            || reader.spot(self.at, &self.path.key(name)),
            |field| field.spot(reader),
        )
    }

    /// All fields that have a value, in the order of the document.
    pub(crate) fn fields(&self) -> Vec<(&'n str, Field<'n>)> {
        let mut fields = self.all_fields();
        fields.retain(|(_, field)| !field.is_blank());
        fields
    }

    /// All fields, also those that are left blank.
    pub(crate) fn all_fields(&self) -> Vec<(&'n str, Field<'n>)> {
        let entries = self.entries.iter();
        let fields = entries.map(|(key, node)| {
            let field = Field::within(node, self.path.key(&key.name));
            (key.name.as_str(), field)
        });
        fields.collect()
    }
}

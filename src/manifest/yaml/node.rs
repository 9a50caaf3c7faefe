//! A document as a tree in which everything knows its place.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Options, Spanned, options::DuplicateKeyPolicy};

use super::documents::{Document, as_u32};

/// A line and a column of a file, both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the document, duplicates included.
    Map(Vec<(Key, Node)>),
}

#[derive(Debug)]
pub(crate) struct Scalar {
    /// As it is written, for numbers as well: `1.10` stays `1.10`.
    pub(crate) text: String,
    pub(crate) kind: ScalarKind,
    /// Whether it is a text without quotes that YAML 1.1, which Kubernetes reads, takes for a bool.
    pub(crate) is_bool_in_yaml_1_1: bool,
    /// Its span in the document's text, in bytes.
    span: Range<usize>,
}

/// What YAML takes it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    String,
    Number,
    Bool,
}

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) at: At,
}

/// Why a document is not YAML, and where.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) reason: String,
    pub(crate) at: At,
}

/// The deepest nesting allowed in a document; a ModelRoute needs 8.
const MAX_DEPTH: usize = 64;
/// The most that aliases may add to a document, in nodes and in bytes.
const MAX_ALIASED: usize = 50_000;
const MAX_ALIASED_BYTES: usize = 1 << 20;

/// Reads a document.
///
/// What it costs is bounded by the length of its text: nothing but an alias
/// can expand to more than is written, and aliases have a budget.
pub(crate) fn parse(document: &Document<'_>) -> Result<Node, Unreadable> {
    let outer = At {
        line: document.line,
        column: document.column,
    };
    if let Some((reason, line, column)) = &document.error {
        return Err(Unreadable {
            reason: reason.clone(),
            at: At {
                line: *line,
                column: *column,
            },
        });
    }
    let mut node: Node = serde_saphyr::from_str_with_options(document.text, options(document.text))
        .map_err(|error| unreadable(&error, document.text, outer))?;
    node.settle(document.text, &|at| at.within(outer));
    Ok(node)
}

/// Reads the YAML of a block scalar: all of its lines begin in the column of the first.
pub(crate) fn parse_embedded(document: &Document<'_>) -> Result<Node, Unreadable> {
    let outer = At {
        line: document.line,
        column: document.column,
    };
    let text = document.text;
    let place = |at: At, indent: u32| At {
        line: outer.line + at.line.saturating_sub(1),
        column: outer.column + at.column.saturating_sub(1 + indent),
    };
    // Text after a flow collection at the root would be dropped without a word, in
    // brackets it is an error.
    let is_flow = text.trim_start().starts_with(['{', '[']);
    let bracketed = format!("[{text}\n]");
    let (text, indent) = if is_flow { (&*bracketed, 1) } else { (text, 0) };
    let unplaced = At { line: 1, column: 1 };
    let mut node: Node =
        serde_saphyr::from_str_with_options(text, options(text)).map_err(|error| {
            let unreadable = unreadable(&error, text, unplaced);
            Unreadable {
                at: place(unreadable.at, indent),
                ..unreadable
            }
        })?;
    node.settle(text, &|at| place(at, if at.line == 1 { indent } else { 0 }));
    if is_flow {
        let Value::List(mut items) = node.value else {
            return Ok(node);
        };
        let at = node.at;
        node = items
            .pop()
            .filter(|_| items.is_empty())
            .ok_or_else(|| Unreadable {
                reason: "there is more than one value".to_owned(),
                at,
            })?;
    }
    Ok(node)
}

fn options(text: &str) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: text.len() + MAX_ALIASED_BYTES,
            // Their expansion is limited, so their number need not be.
            max_anchors: usize::MAX,
            max_aliases: usize::MAX,
            max_merge_keys: usize::MAX,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_ALIASED,
        },
        // They are mistakes, but of the documents that we read only, and are found all at once.
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        strict_booleans: true,
        with_snippet: false,
    }
}

fn unreadable(error: &serde_saphyr::Error, text: &str, outer: At) -> Unreadable {
    let at = error.location().map_or_else(At::default, At::from);
    let line = text.lines().nth(at.line.saturating_sub(1) as usize);
    let indent = line.map_or("", |line| &line[..line.len() - line.trim_start().len()]);
    let full = error.to_string();
    // The place comes with the message; it is shown in front of it.
    let reason = full.split(" at line ").next().unwrap_or_default();
    let reason = if indent.contains('\t') {
        "YAML is indented with spaces, this line with a tab".to_owned()
    } else if reason.contains("multiple YAML documents") {
        "there is more than one YAML document".to_owned()
    } else if reason.contains("recursion limit") || reason.contains("Depth {") {
        format!("it is nested deeper than {MAX_DEPTH} levels")
    } else if reason.contains("alias replay") || reason.contains("budget breached") {
        "its aliases expand to too much".to_owned()
    } else {
        format!("this is not valid YAML: {reason}")
    };
    Unreadable {
        reason,
        at: at.within(outer),
    }
}

impl At {
    /// A place in a text that itself begins at `outer`.
    pub(crate) fn within(self, outer: Self) -> Self {
        Self {
            line: outer.line + self.line.saturating_sub(1),
            column: match self.line {
                0 | 1 => outer.column + self.column.saturating_sub(1),
                _ => self.column,
            },
        }
    }
}

impl From<Location> for At {
    fn from(location: Location) -> Self {
        Self {
            line: as_u32(location.line() as usize),
            column: as_u32(location.column() as usize),
        }
    }
}

impl Node {
    /// Moves the places from the document's to the file's, and gives numbers their text.
    fn settle(&mut self, text: &str, place: &impl Fn(At) -> At) {
        self.at = place(self.at);
        match &mut self.value {
            Value::Null => {}
            Value::Scalar(scalar) => {
                if let Some(written) = text.get(scalar.span.clone()) {
                    scalar.settle(written.trim());
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| item.settle(text, place)),
            Value::Map(entries) => {
                for (key, value) in entries {
                    key.at = place(key.at);
                    value.settle(text, place);
                }
            }
        }
    }
}

impl Scalar {
    /// With quotes it is written otherwise than it is read.
    fn settle(&mut self, written: &str) {
        match self.kind {
            ScalarKind::Number | ScalarKind::Bool => self.text = written.to_owned(),
            ScalarKind::String => {
                self.is_bool_in_yaml_1_1 = written == self.text && is_bool_in_yaml_1_1(written);
            }
        }
    }
}

/// In small or capital letters, or with the first one capital.
fn is_bool_in_yaml_1_1(text: &str) -> bool {
    const BOOLS: [&str; 8] = ["y", "yes", "on", "true", "n", "no", "off", "false"];
    let lower = text.to_ascii_lowercase();
    let rest = text.get(1..).unwrap_or_default();
    BOOLS.contains(&&*lower)
        && (rest == &lower[1..] || text.bytes().all(|letter| letter.is_ascii_uppercase()))
}

/// An object as an API server sends it, which has no places.
#[cfg(feature = "kube")]
impl From<&serde_json::Value> for Node {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let scalar = |text: String, kind| {
            Value::Scalar(Scalar {
                text,
                kind,
                is_bool_in_yaml_1_1: false,
                span: 0..0,
            })
        };
        let at = At::default();
        let value = match value {
            Json::Null => Value::Null,
            Json::Bool(value) => scalar(value.to_string(), ScalarKind::Bool),
            Json::Number(value) => scalar(value.to_string(), ScalarKind::Number),
            Json::String(value) => scalar(value.clone(), ScalarKind::String),
            Json::Array(items) => Value::List(items.iter().map(Self::from).collect()),
            Json::Object(entries) => {
                let entries = entries.iter().map(|(name, value)| {
                    let name = name.clone();
                    (Key { name, at }, Self::from(value))
                });
                Value::Map(entries.collect())
            }
        };
        Self { at, value }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let mut value = spanned.value;
        if let Value::Scalar(scalar) = &mut value {
            let span = spanned.defined.span();
            if let (Some(start), Some(length)) = (span.byte_offset(), span.byte_len()) {
                let start = start as usize;
                scalar.span = start..start + length as usize;
            }
        }
        Ok(Self {
            at: spanned.referenced.into(),
            value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

fn scalar<E>(text: impl ToString, kind: ScalarKind) -> Result<Value, E> {
    Ok(Value::Scalar(Scalar {
        text: text.to_string(),
        kind,
        is_bool_in_yaml_1_1: false,
        span: 0..0,
    }))
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        scalar(value, ScalarKind::Bool)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        scalar(value, ScalarKind::Number)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        scalar(value, ScalarKind::Number)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        scalar(value, ScalarKind::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        scalar(value, ScalarKind::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Node>()? {
            let key = Key {
                at: key.defined.into(),
                name: key.value,
            };
            map.push((key, value));
        }
        Ok(Value::Map(map))
    }
}

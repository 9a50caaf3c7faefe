//! What the scanners of bodies find, or refuse.

use std::ops::Range;

use super::{
    extraction::{ExtractedModel, Place, Written},
    json_body::DuplicateModels,
};
use crate::error::{RouteError, RouteErrorKind};

/// The longest name that is read, in bytes; the longest on public hubs have about 100.
pub(crate) const MAX_NAME: usize = 4 * 1024;
/// The most models that are kept of one body.
pub(crate) const MAX_MODELS: usize = 16;

/// What a scanner does with a second model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// It is refused: readers disagree on which of the two counts.
    Refuse,
    /// Every occurrence is kept, up to 16.
    Keep,
}

/// One model whose value has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    /// Where the value stands in the whole body; that of a JSON string with its quotes.
    pub(crate) span: Range<u64>,
    pub(crate) value: Value,
}

/// The value of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A text, decoded. It may be empty.
    Name(String),
    NotAString,
}

/// Why a body has no model to route by; final. The body is at fault, never the scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A JSON value of another kind begins where `{` must stand.
    NotAnObject,
    /// The byte at `offset` can't stand there in JSON.
    Syntax { offset: u64 },
    /// Not multipart, or in a form that parsers read differently.
    Malformed { offset: u64 },
    /// The body ended before its JSON object did.
    Truncated,
    /// The body ended before its last boundary.
    Unclosed,
    /// The body is complete and names no model.
    Missing,
    /// A second model, under [`Duplicates::Refuse`].
    Duplicate,
    /// The model's string has a bad escape, half a surrogate pair, a raw
    /// control character or broken UTF-8.
    InvalidName,
    /// The model is longer than 4 KiB.
    NameTooLong,
    /// A part of a multipart body has more than 8 KiB of headers.
    HeadersTooLong,
    /// More than 16 models.
    TooManyModels,
}

/// Says where, but not what: an answer must not quote the body.
impl From<Refusal> for RouteError {
    fn from(refusal: Refusal) -> Self {
        use RouteErrorKind::{
            AmbiguousModel, InvalidJson, InvalidModel, InvalidMultipart, MissingModel,
        };
        let (kind, message) = match refusal {
            Refusal::Syntax { offset } => {
                let message = format!("the request body is not valid JSON (at byte {offset})");
                return Self::new(InvalidJson, message);
            }
            Refusal::Malformed { offset } => {
                let message = format!("the request body is not valid multipart (at byte {offset})");
                return Self::new(InvalidMultipart, message);
            }
            Refusal::NotAnObject => (InvalidJson, "the request body is not a JSON object"),
            Refusal::Truncated => (
                InvalidJson,
                "the request body is not valid JSON: it ends too early",
            ),
            Refusal::Unclosed => (
                InvalidMultipart,
                "the request body is not valid multipart: it ends too early",
            ),
            Refusal::HeadersTooLong => (
                InvalidMultipart,
                "a part of the request body has too many headers",
            ),
            Refusal::Missing => (MissingModel, "the request body has no `model`"),
            Refusal::Duplicate | Refusal::TooManyModels => {
                (AmbiguousModel, "the request body has more than one `model`")
            }
            Refusal::InvalidName => (
                InvalidModel,
                "the `model` in the request body is not a valid string",
            ),
            Refusal::NameTooLong => (
                InvalidModel,
                "the `model` in the request body is too long to be the name of one",
            ),
        };
        Self::new(kind, message)
    }
}

/// The model that counts among those found in a body; its name is taken.
pub(super) fn choose(
    duplicates: DuplicateModels,
    models: &mut [Model],
    written: Written,
) -> Result<ExtractedModel, RouteError> {
    let invalid = |message| RouteError::new(RouteErrorKind::InvalidModel, message);
    let chosen = match duplicates {
        DuplicateModels::Refuse | DuplicateModels::First => models.first_mut(),
        DuplicateModels::Last => models.last_mut(),
    }
    .ok_or(Refusal::Missing)?;
    let name = match &mut chosen.value {
        Value::Name(name) if name.is_empty() => {
            return Err(invalid("the `model` in the request body is empty"));
        }
        Value::Name(name) => std::mem::take(name),
        Value::NotAString => {
            return Err(invalid("the `model` in the request body is not a string"));
        }
    };
    let span = chosen.span.clone();
    let others = models
        .iter()
        .map(|model| &model.span)
        .filter(|&other| *other != span)
        .cloned()
        .collect();
    Ok(ExtractedModel {
        name,
        place: Place::Body {
            written,
            span,
            others,
        },
        header: None,
    })
}

//! What the scanners of bodies find, or refuse.

use std::ops::Range;

use crate::error::{RouteError, RouteErrorKind};

/// The field that names the model, unless an extractor sets another.
pub(crate) const FIELD: &str = "model";
/// The longest name that is read, in bytes; the longest names on public hubs have about 100.
pub(crate) const MAX_NAME: usize = 4 * 1024;
/// The most models that are kept from one body.
pub(crate) const MAX_MODELS: usize = 16;

/// The treatment of a second model by a scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// The body is refused, because readers disagree on which of the two counts.
    Refuse,
    /// Every occurrence is kept, up to 16.
    Keep,
}

/// One model whose value has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    /// The value's span in the whole body; a JSON string's includes its quotes.
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

/// Why a body has no model to route by. A refusal is final, and always due to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A JSON value of another kind begins where `{` is required.
    NotAnObject,
    /// The byte at `offset` is not allowed there in JSON.
    Syntax { offset: u64 },
    /// Not multipart, or in a form that parsers read differently.
    Malformed { offset: u64 },
    /// There is no body.
    Empty,
    /// The body ended before its JSON object did.
    Truncated,
    /// The body ended before its last boundary.
    Unclosed,
    /// The body is complete and names no model.
    Missing,
    /// The body is complete, and only a key that differs in case names the model.
    OtherCase,
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

impl Refusal {
    /// The error for the client of a body whose model is in `field`.
    ///
    /// Its message gives the position but not the content: a response must not quote the body.
    pub(super) fn in_field(self, field: &str) -> RouteError {
        use RouteErrorKind::{
            AmbiguousModel, InvalidJson, InvalidModel, InvalidMultipart, MissingModel,
        };
        let (kind, message) = match self {
            Self::Syntax { offset } => {
                (InvalidJson, format!("is not valid JSON (at byte {offset})"))
            }
            Self::Malformed { offset } => (
                InvalidMultipart,
                format!("is not valid multipart (at byte {offset})"),
            ),
            Self::NotAnObject => (InvalidJson, "is not a JSON object".to_owned()),
            Self::Truncated => (
                InvalidJson,
                "is not valid JSON: it ends too early".to_owned(),
            ),
            Self::Unclosed => (
                InvalidMultipart,
                "is not valid multipart: it ends too early".to_owned(),
            ),
            Self::HeadersTooLong => {
                let message = "a part of the request body has too many headers";
                return RouteError::new(InvalidMultipart, message);
            }
            Self::Empty => {
                let message = format!("the request has no body, and so no `{field}`");
                return RouteError::new(MissingModel, message);
            }
            Self::Missing | Self::OtherCase => (MissingModel, format!("has no `{field}`")),
            Self::Duplicate | Self::TooManyModels => {
                (AmbiguousModel, format!("has more than one `{field}`"))
            }
            Self::InvalidName => {
                let message = format!("the `{field}` in the request body is not a valid string");
                return RouteError::new(InvalidModel, message);
            }
            Self::NameTooLong => {
                let message = format!(
                    "the `{field}` in the request body is too long to be the name of a model"
                );
                return RouteError::new(InvalidModel, message);
            }
        };
        RouteError::new(kind, format!("the request body {message}"))
    }
}

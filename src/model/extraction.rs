//! How a model is found, and what was found.

use std::{fmt, ops::Range};

use http::{HeaderName, request::Parts};

use super::{json_body::DuplicateModels, multipart::Boundary};
use crate::error::RouteError;

/// How the model of one request is found; see [`ExtractModel`](crate::ExtractModel).
#[derive(Debug)]
pub struct Extraction(pub(crate) Plan);

pub(crate) enum Plan {
    NoModel,
    Refused(RouteError),
    Found(ExtractedModel),
    /// A header says this; the rest must agree, or not say.
    Claimed(ExtractedModel, Box<Plan>),
    Json(DuplicateModels),
    Multipart(Boundary, DuplicateModels),
    Whole(FromWholeBody),
}

pub(crate) type FromWholeBody =
    Box<dyn FnOnce(&Parts, &[u8]) -> Result<ExtractedModel, RouteError> + Send>;

impl Extraction {
    /// The request names no model.
    ///
    /// Its body is not read, and it is rejected or forwarded as
    /// [`ModelRouteLayer::without_model`](crate::ModelRouteLayer::without_model) says.
    pub fn none() -> Self {
        Self(Plan::NoModel)
    }

    /// The request is refused; the client gets the error as its answer.
    pub fn refused(error: RouteError) -> Self {
        Self(Plan::Refused(error))
    }

    /// The head says it all: the body is forwarded while it arrives.
    pub fn found(model: ExtractedModel) -> Self {
        Self(Plan::Found(model))
    }

    /// `read` finds the model once the whole body is in.
    pub fn whole_body<F>(read: F) -> Self
    where
        F: FnOnce(&Parts, &[u8]) -> Result<ExtractedModel, RouteError> + Send + 'static,
    {
        Self(Plan::Whole(Box::new(read)))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoModel => "NoModel",
            Self::Refused(_) => "Refused",
            Self::Found(_) => "Found",
            Self::Claimed(..) => "Claimed",
            Self::Json(_) => "Json",
            Self::Multipart(..) => "Multipart",
            Self::Whole(_) => "Whole",
        })
    }
}

/// The model that a request names, and the place where it is rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtractedModel {
    pub(crate) name: String,
    pub(crate) place: Place,
    /// A header that says it too.
    pub(crate) header: Option<HeaderName>,
}

/// Where the name stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere that could be rewritten.
    #[default]
    Nowhere,
    /// In the body.
    Body {
        written: Written,
        span: Range<u64>,
        /// Its doubles, where they are accepted.
        others: Vec<Range<u64>>,
    },
    /// In the path, from its start.
    Path(Range<usize>),
    /// In the query, from its start.
    Query(Range<usize>),
}

impl Place {
    /// Whether it is none outside of a body of `len` bytes.
    pub(crate) fn is_within(&self, len: u64) -> bool {
        match self {
            Self::Body { span, others, .. } => others
                .iter()
                .chain([span])
                .all(|span| span.start < span.end && span.end <= len),
            Self::Nowhere | Self::Path(_) | Self::Query(_) => true,
        }
    }
}

/// How a name is written in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// As a JSON string, quotes included.
    Json,
    /// As it is.
    Plain,
}

impl ExtractedModel {
    /// A model that is never rewritten: the request does not say it where an engine reads it.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            place: Place::Nowhere,
            header: None,
        }
    }

    /// The name, unescaped.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes of the body, quotes included, in which the name stands as a JSON string.
    ///
    /// They are what is replaced where the ModelServer's real model is another.
    #[must_use]
    pub fn json_span(mut self, span: Range<usize>) -> Self {
        self.place = Place::Body {
            written: Written::Json,
            span: span.start as u64..span.end as u64,
            others: Vec::new(),
        };
        self
    }
}

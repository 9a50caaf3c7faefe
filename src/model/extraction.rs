//! How a model is found, and what was found.

use std::{borrow::Cow, fmt, ops::Range};

use http::{HeaderName, request::Parts};

use super::{
    duplicates::DuplicateModels, found::FIELD, model_name::NameMap, multipart::Boundary,
    relation::Relation,
};
use crate::error::{RouteError, RouteErrorKind};

/// The way to find the model of one request; see [`ExtractModel`](crate::ExtractModel).
#[derive(Debug)]
#[must_use]
pub struct Extraction(pub(crate) Plan);

pub(crate) enum Plan {
    NoModel,
    Refused(RouteError),
    Found(ExtractedModel),
    /// A header names this model; the rest of the request must name the same one or none.
    Claimed(ExtractedModel, Box<Plan>),
    /// The path or query names this model; the body must fit it.
    Beside(ExtractedModel, Relation, Box<Plan>),
    /// This model, if the body names none.
    Default(String, Box<Plan>),
    /// The top-level field of this name, or else `model`.
    Json(Option<Box<str>>, DuplicateModels),
    Multipart(Boundary, DuplicateModels),
    Whole(FromWholeBody),
    /// The model that this plan finds, by another name.
    Mapped(NameMap, Box<Plan>),
}

pub(crate) type FromWholeBody =
    Box<dyn FnOnce(&Parts, &[u8]) -> Result<ExtractedModel, RouteError> + Send>;

impl Extraction {
    /// The request names no model.
    ///
    /// Its body is not read, and [`WithoutModel`](crate::WithoutModel) says what happens to it.
    pub fn none() -> Self {
        Self(Plan::NoModel)
    }

    /// The request is refused; the client gets the error as the answer.
    pub fn refused(error: RouteError) -> Self {
        Self(Plan::Refused(error))
    }

    /// The model is known from the head: the body is forwarded as it arrives.
    pub fn found(model: ExtractedModel) -> Self {
        Self(Plan::Found(model))
    }

    /// The model is a string in the top-level field `name` of a JSON body.
    ///
    /// The body is scanned as it arrives and rewritten in place, under the same
    /// rules by which [`JsonBody`](crate::JsonBody) reads `model`. A body with
    /// two fields of this name is refused.
    ///
    /// ```
    /// use http::request::Parts;
    /// use tower_model_route::{ExtractModel, Extraction};
    ///
    /// /// An API of our own, whose requests name an `engine`.
    /// #[derive(Debug)]
    /// struct OwnApi;
    ///
    /// impl ExtractModel for OwnApi {
    ///     fn begin(&self, head: &Parts) -> Extraction {
    ///         match head.uri.path() {
    ///             "/api/generate" => Extraction::json_field("engine").or_model("small"),
    ///             _ => Extraction::none(),
    ///         }
    ///     }
    ///
    ///     fn reads_path(&self, path: &str) -> bool {
    ///         path == "/api/generate"
    ///     }
    /// }
    /// ```
    pub fn json_field(name: impl Into<Cow<'static, str>>) -> Self {
        let name = Some(name.into())
            .filter(|name| name != FIELD)
            .map(Box::from);
        Self(Plan::Json(name, DuplicateModels::Refuse))
    }

    /// `read` finds the model once the whole body has been received.
    pub fn whole_body<F>(read: F) -> Self
    where
        F: FnOnce(&Parts, &[u8]) -> Result<ExtractedModel, RouteError> + Send + 'static,
    {
        Self(Plan::Whole(Box::new(read)))
    }

    /// Sets the model to route by if the body is read and names none. Without
    /// it, such a request is answered with 400 `missing_model`.
    ///
    /// The default is not written into the request, and takes precedence over
    /// [`WithoutModel`](crate::WithoutModel). It does not apply to a request
    /// whose body is not read ([`none`](Self::none)), which has no model.
    pub fn or_model(self, name: impl Into<String>) -> Self {
        Self(Plan::Default(name.into(), Box::new(self.0)))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoModel => "NoModel",
            Self::Refused(_) => "Refused",
            Self::Found(_) => "Found",
            Self::Claimed(..) => "Claimed",
            Self::Beside(..) => "Beside",
            Self::Default(..) => "Default",
            Self::Json(..) => "Json",
            Self::Multipart(..) => "Multipart",
            Self::Whole(_) => "Whole",
            Self::Mapped(..) => "Mapped",
        })
    }
}

/// The model that a request is routed by, and the place where its name is rewritten.
///
/// Without a place, the name is never rewritten. Places are byte ranges. The new
/// name is written in the form that the place requires: as a quoted JSON string,
/// or percent-encoded in a URI. If a range is empty or outside the request, the
/// client gets a 500 `extractor_error`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ExtractedModel {
    /// The request is routed by it.
    pub(crate) name: String,
    /// Its other names, if it has some.
    pub(crate) aliases: Option<Box<Aliases>>,
    pub(crate) location: Location,
    /// A header that also names the model. (In a box, as few have one.)
    pub(crate) header: Option<Box<HeaderName>>,
    /// The model in the body, if it is in the path or query too.
    pub(crate) beside: Option<Box<InBody>>,
}

/// The names of a model beside the one that it is routed by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aliases {
    /// What the client has written, if that is another name; empty if it has written none.
    pub(crate) asked: Option<Box<str>>,
    /// What engines are asked for, whatever their ModelServer says.
    pub(crate) engine: Option<Box<str>>,
}

/// The places of the model in the body of a request whose path or query also names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InBody {
    pub(crate) written: Written,
    pub(crate) spans: Vec<Range<u64>>,
    /// What stands before the name.
    pub(crate) prefix: &'static str,
    /// Whether every place has the name that was asked for.
    pub(crate) is_settled: bool,
}

/// The location of the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Location {
    /// Nowhere that could be rewritten.
    #[default]
    Nowhere,
    /// In the body.
    Body {
        written: Written,
        span: Range<u64>,
        /// The other occurrences, if duplicates are accepted.
        others: Box<[Range<u64>]>,
    },
    /// In the path; the range counts from the path's start.
    Path(Range<usize>),
    /// In the query; the range counts from the query's start.
    Query(Range<usize>),
}

impl Location {
    /// Whether every span lies within the head, or within a body of `len` bytes.
    pub(crate) fn is_within(&self, head: &Parts, len: u64) -> bool {
        let is_part = |text: &str, span: &Range<usize>| {
            text.get(span.clone()).is_some_and(|part| !part.is_empty())
        };
        match self {
            Self::Nowhere => true,
            Self::Body { span, others, .. } => others
                .iter()
                .chain([span])
                .all(|span| span.start < span.end && span.end <= len),
            Self::Path(span) => is_part(head.uri.path(), span),
            Self::Query(span) => is_part(head.uri.query().unwrap_or_default(), span),
        }
    }
}

/// The notation of a name in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// As a JSON string, quotes included.
    Json,
    /// As plain text.
    Plain,
    /// As the first member of the object whose brace it is: `"model":` and a JSON string.
    Member {
        /// Whether the object has no other.
        is_only: bool,
    },
}

impl ExtractedModel {
    /// A model that is rewritten only if a place is added with one of the
    /// methods below.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            aliases: None,
            location: Location::Nowhere,
            header: None,
            beside: None,
        }
    }

    /// The model of a request that names none.
    pub(crate) fn of_unnamed(name: impl Into<String>) -> Self {
        Self::new(name).asked_as("")
    }

    /// The model of a request that names none, to be written into its JSON object: after the
    /// brace at `brace`.
    pub(crate) fn inserted(name: impl Into<String>, brace: u64, is_only: bool) -> Self {
        Self {
            location: Location::Body {
                written: Written::Member { is_only },
                span: brace..brace + 1,
                others: Box::default(),
            },
            ..Self::of_unnamed(name)
        }
    }

    /// The name to route by, unescaped.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the client has written, unescaped.
    pub(crate) fn asked(&self) -> &str {
        let aliases = self.aliases.as_deref();
        let asked = aliases.and_then(|aliases| aliases.asked.as_deref());
        asked.unwrap_or(&self.name)
    }

    /// The name for messages to the client.
    pub(crate) fn shown(&self) -> &str {
        match self.asked() {
            "" => &self.name,
            asked => asked,
        }
    }

    /// The name by which the client asks for the model, if it differs from the one to
    /// route by.
    ///
    /// The engine is then asked for the [`ModelServer::model`](crate::ModelServer::model), or,
    /// if there is none, for the name to route by, which is written into all places.
    pub fn asked_as(mut self, name: impl Into<String>) -> Self {
        self.aliases.get_or_insert_default().asked = Some(name.into().into());
        self
    }

    /// The name that the engine is asked for, whatever its ModelServer says; it is written into
    /// all places.
    pub fn for_engine(mut self, name: impl Into<String>) -> Self {
        self.aliases.get_or_insert_default().engine = Some(name.into().into());
        self
    }

    /// The model by the names that `map` gives it.
    pub(super) fn mapped(self, map: &NameMap, head: &Parts) -> Result<Self, RouteError> {
        let names = map.names(head, &self.name)?;
        if names.routed.is_empty() || names.engine.as_ref().is_some_and(String::is_empty) {
            return Err(RouteError::new(
                RouteErrorKind::ExtractorFault,
                "the model was given an empty name",
            ));
        }
        let model = match names.engine {
            Some(engine) => self.for_engine(engine),
            None => self,
        };
        if names.routed == model.name {
            return Ok(model);
        }
        let asked = model.asked().to_owned();
        let name = names.routed;
        Ok(Self { name, ..model }.asked_as(asked))
    }

    /// Whether the request names the model in a place that is known.
    pub(crate) fn has_place(&self) -> bool {
        !matches!(self.location, Location::Nowhere) || self.header.is_some()
    }

    /// The name is this JSON string of the body, quotes included.
    pub fn json_span(self, span: Range<usize>) -> Self {
        self.in_body(Written::Json, span)
    }

    /// The name is this part of the body, as plain text.
    pub fn text_span(self, span: Range<usize>) -> Self {
        self.in_body(Written::Plain, span)
    }

    /// The name is this part of the path, percent-encoded; the range counts
    /// from the path's first slash.
    pub fn path_span(mut self, span: Range<usize>) -> Self {
        self.location = Location::Path(span);
        self
    }

    /// The name is this part of the query, percent-encoded; the range counts
    /// from the byte after the `?`.
    pub fn query_span(mut self, span: Range<usize>) -> Self {
        self.location = Location::Query(span);
        self
    }

    /// The name is also, or only, the value of this header.
    pub fn in_header(mut self, header: HeaderName) -> Self {
        self.header = Some(Box::new(header));
        self
    }

    fn in_body(mut self, written: Written, span: Range<usize>) -> Self {
        self.location = Location::Body {
            written,
            span: span.start as u64..span.end as u64,
            others: Box::default(),
        };
        self
    }
}

//! Looks for the model in a body that arrives chunk by chunk.

use std::{
    borrow::Cow,
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, request::Parts};

use super::{
    beside::{Beside, BodyScan},
    choose::choose,
    duplicates::DuplicateModels,
    extraction::{ExtractedModel, FromWholeBody, Plan, Written},
    found::{FIELD, Refusal, Value},
    media_type::{check_json, check_one_type},
    model_name::NameMap,
};
use crate::{
    coding::Decoder,
    error::{RouteError, RouteErrorKind},
    model::{json::Scanner, multipart::Multipart},
    pieces::Chunks,
};

/// Watches a body from its first byte to its last.
#[derive(Debug)]
pub(crate) struct Scan {
    kind: Kind,
    /// The model that a header names.
    claim: Option<Box<Other<ExtractedModel>>>,
    /// The model to use if the body names none.
    default: Option<Box<Other<String>>>,
    /// Whether a request may name no model.
    optional: bool,
    /// What is made of the name, in this order.
    maps: Option<Box<Maps>>,
    /// The decoder that decompresses the body before it is scanned.
    decoder: Option<Box<Decoder>>,
}

/// In a box, as few requests have some.
#[derive(Debug, Default)]
struct Maps(Vec<NameMap>);

/// A model that counts if the body names none.
#[derive(Debug)]
struct Other<M> {
    model: M,
    /// How many of the maps, from the first on, are for the body's name only.
    skips: usize,
}

enum Kind {
    /// Nothing names a model, and the body is not scanned.
    Nameless,
    /// The head names the model: the body is not scanned.
    Known(ExtractedModel),
    /// The head names the model, and the body may too.
    Beside(Box<Beside>),
    Json(Scanner, DuplicateModels),
    Multipart(Box<Multipart>, DuplicateModels),
    Whole(Option<FromWholeBody>),
}

impl Scan {
    /// `None` if the request names no model.
    pub(crate) fn new(plan: Plan) -> Result<Option<Self>, RouteError> {
        let kind = match plan {
            Plan::NoModel => return Ok(None),
            Plan::Refused(error) => return Err(error),
            Plan::Found(model) => Kind::Known(model),
            Plan::Beside(model, relation, plan) => match BodyScan::new(*plan)? {
                Some(body) => Kind::Beside(Box::new(Beside::new(model, relation, body))),
                None => Kind::Known(model),
            },
            Plan::Json(field, duplicates) => {
                Kind::Json(Scanner::new(field, duplicates.scanned()), duplicates)
            }
            Plan::Multipart(boundary, duplicates) => {
                let scanner = Multipart::new(&boundary, duplicates.scanned());
                Kind::Multipart(Box::new(scanner), duplicates)
            }
            Plan::Whole(read) => Kind::Whole(Some(read)),
            Plan::Default(name, plan) => {
                let scan = Self::new(*plan)?;
                return Ok(scan.map(|mut scan| {
                    scan.default = Some(Box::new(scan.other(name)));
                    scan
                }));
            }
            Plan::Claimed(claim, plan) => {
                let scan = Self::new(*plan)?;
                return Ok(scan.map(|mut scan| {
                    scan.claim = Some(Box::new(scan.other(claim)));
                    scan
                }));
            }
            Plan::Mapped(map, plan) => {
                let scan = Self::new(*plan)?;
                return Ok(scan.map(|mut scan| {
                    scan.maps.get_or_insert_default().0.push(map);
                    scan
                }));
            }
        };
        Ok(Some(Self::of(kind)))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            claim: None,
            default: None,
            optional: false,
            maps: None,
            decoder: None,
        }
    }

    fn maps(&self) -> &[NameMap] {
        self.maps.as_deref().map_or(&[], |maps| &maps.0)
    }

    fn other<M>(&self, model: M) -> Other<M> {
        let skips = self.maps().len();
        Other { model, skips }
    }

    /// A scan that looks for nothing.
    pub(crate) fn none() -> Self {
        Self::of(Kind::Nameless)
    }

    /// Takes a body that names no model, if it is `optional`: only [`locate`](Self::locate)
    /// fails then, with [`RouteErrorKind::MissingModel`].
    pub(crate) fn optional(self, optional: bool) -> Self {
        Self { optional, ..self }
    }

    /// Reads the body through `decoder`. The whole body is then read, as a rewrite needs all of it.
    pub(crate) fn decoded_by(mut self, decoder: Decoder) -> Self {
        self.decoder = Some(Box::new(decoder));
        self
    }

    pub(crate) fn decoder(&self) -> Option<&Decoder> {
        self.decoder.as_deref()
    }

    pub(crate) fn decoder_mut(&mut self) -> Option<&mut Decoder> {
        self.decoder.as_deref_mut()
    }

    pub(crate) fn take_decoder(&mut self) -> Option<Box<Decoder>> {
        self.decoder.take()
    }

    /// Reads a part of a body that has no coding.
    pub(crate) fn feed(&mut self, plain: &[u8]) -> Result<(), RouteError> {
        self.kind.feed(plain)
    }

    /// Reads a chunk as it was sent; a compressed one in slices, see [`Decoder::poll_feed`].
    pub(crate) fn poll_feed(
        &mut self,
        chunk: &Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RouteError>> {
        match &mut self.decoder {
            None => Poll::Ready(self.kind.feed(chunk)),
            Some(decoder) => decoder.poll_feed(chunk, cx, |plain| self.kind.feed(plain)),
        }
    }

    /// The chunk that has not been read to its end.
    pub(crate) fn begun(&self) -> Option<&Bytes> {
        self.decoder.as_ref()?.begun()
    }

    /// Marks the end of the body.
    pub(crate) fn finish(&mut self) -> Result<(), RouteError> {
        if let Some(decoder) = &mut self.decoder {
            decoder.finish()?;
        }
        let finished = match &mut self.kind {
            Kind::Beside(beside) => return beside.finish(),
            Kind::Json(scanner, _) => scanner.finish(),
            Kind::Multipart(scanner, _) => scanner.finish(),
            Kind::Nameless | Kind::Known(_) | Kind::Whole(_) => Ok(()),
        };
        let has_other = self.optional || self.claim.is_some() || self.default.is_some();
        let finished = match finished {
            // A header or a default may supply the model that the body lacks.
            Err(Refusal::Missing | Refusal::Empty) if has_other => Ok(()),
            // To some engines the body names one.
            Err(Refusal::OtherCase) if has_other => Err(Refusal::Duplicate),
            finished => finished,
        };
        finished.map_err(|refusal| refusal.in_field(self.kind.field()))
    }

    /// Whether the model is known, regardless of the rest of the body.
    pub(crate) fn is_found(&self) -> bool {
        let (models, duplicates) = match &self.kind {
            Kind::Nameless | Kind::Known(_) => return true,
            // A compressed body is needed whole to rewrite it.
            Kind::Beside(_) => return self.decoder.is_none(),
            Kind::Json(scanner, duplicates) => (scanner.models(), duplicates),
            Kind::Multipart(scanner, duplicates) => (scanner.models(), duplicates),
            Kind::Whole(_) => return false,
        };
        self.decoder.is_none() && *duplicates == DuplicateModels::Refuse && !models.is_empty()
    }

    /// Whether the body is read to its end before the request is routed.
    pub(crate) fn needs_all(&self) -> bool {
        self.decoder.is_some()
            || match &self.kind {
                Kind::Nameless | Kind::Known(_) | Kind::Beside(_) => false,
                Kind::Json(_, duplicates) | Kind::Multipart(_, duplicates) => {
                    *duplicates != DuplicateModels::Refuse
                }
                Kind::Whole(_) => true,
            }
    }

    /// Whether to read on although the model is known, because the body may name it too.
    pub(crate) fn reads_on(&self) -> bool {
        matches!(&self.kind, Kind::Beside(beside) if beside.reads_on())
    }

    /// The request for `asked` is being sent to an engine that reads `sent` in its head.
    pub(crate) fn sent_as(&mut self, asked: &str, sent: &str) {
        if let Kind::Beside(beside) = &mut self.kind {
            beside.sent_as(asked, sent);
        }
    }

    /// The name to route by, if it is known yet.
    pub(crate) fn model(&self, head: &Parts) -> Option<Cow<'_, str>> {
        let mut name = Cow::Borrowed(self.unmapped()?);
        for map in self.maps() {
            name = map.names(head, &name).ok()?.routed.into();
        }
        Some(name)
    }

    /// The name before it is mapped, if it is known yet.
    fn unmapped(&self) -> Option<&str> {
        let models = match &self.kind {
            Kind::Known(model) => return Some(&model.name),
            Kind::Beside(beside) => return Some(beside.model()),
            Kind::Json(scanner, _) => scanner.models(),
            Kind::Multipart(scanner, _) => scanner.models(),
            Kind::Nameless | Kind::Whole(_) => return None,
        };
        match &models.first()?.value {
            Value::Name(name) => Some(name),
            Value::NotAString => None,
        }
    }

    /// Whether the scan reads the body, and so needs it uncompressed.
    pub(crate) fn reads_body(&self) -> bool {
        !matches!(self.kind, Kind::Nameless | Kind::Known(_))
    }

    /// Refuses a Content-Type by which an engine could read another model than this does. (Plain JSON
    /// never is one.)
    pub(crate) fn check_type(&self, headers: &HeaderMap) -> Result<(), RouteError> {
        if self.reads_body() {
            check_one_type(headers)?;
        }
        if self.reads_json() {
            check_json(headers)?;
        }
        Ok(())
    }

    /// Whether the scan reads the body as JSON.
    fn reads_json(&self) -> bool {
        match &self.kind {
            Kind::Json(..) => true,
            Kind::Beside(beside) => beside.reads_json(),
            Kind::Nameless | Kind::Known(_) | Kind::Multipart(..) | Kind::Whole(_) => false,
        }
    }

    /// Whether an engine reads the model in the member `model` of a JSON body, as this does.
    pub(crate) fn reads_member(&self) -> bool {
        matches!(&self.kind, Kind::Json(scanner, _) if scanner.field() == FIELD)
    }

    /// Whether the scan needs the body in one piece.
    pub(crate) fn reads_whole(&self) -> bool {
        matches!(self.kind, Kind::Whole(_))
    }

    /// Returns the model; call it once, when the model is known or the body is complete.
    ///
    /// `body` is the part received so far, and `total` the full length if more is to come.
    pub(crate) fn locate(
        &mut self,
        head: &Parts,
        body: &mut Chunks,
        total: Option<u64>,
    ) -> Result<ExtractedModel, RouteError> {
        let located = self.locate_unmapped(head, body, total);
        let (model, skips) = self.or_other(located)?;
        let maps = self.maps().get(skips..).unwrap_or_default();
        maps.iter()
            .try_fold(model, |model, map| model.mapped(map, head))
    }

    /// The model before its name is mapped.
    fn locate_unmapped(
        &mut self,
        head: &Parts,
        body: &mut Chunks,
        total: Option<u64>,
    ) -> Result<ExtractedModel, RouteError> {
        let len = total.unwrap_or(body.len());
        match &mut self.kind {
            Kind::Nameless => Err(Refusal::Missing.in_field(FIELD)),
            Kind::Known(model) => {
                within(head, len, std::mem::replace(model, ExtractedModel::new("")))
            }
            Kind::Beside(beside) => {
                let model = beside.take_model();
                within(head, len, model).and_then(|model| beside.locate(model))
            }
            Kind::Json(scanner, duplicates) => {
                let (field, models) = scanner.found();
                choose(*duplicates, models, Written::Json, field)
            }
            Kind::Multipart(scanner, duplicates) => {
                choose(*duplicates, scanner.models_mut(), Written::Plain, FIELD)
            }
            Kind::Whole(read) => match read.take() {
                Some(read) => {
                    read(head, body.contiguous()).and_then(|model| within(head, len, model))
                }
                None => Err(Refusal::Missing.in_field(FIELD)),
            },
        }
    }

    /// The model that counts beside a header and a default, and how many maps are not for it.
    fn or_other(
        &mut self,
        located: Result<ExtractedModel, RouteError>,
    ) -> Result<(ExtractedModel, usize), RouteError> {
        let default = self.default.take();
        match (self.claim.take().map(|claim| *claim), located) {
            (None, Err(error)) if error.kind() == RouteErrorKind::MissingModel => default
                .map(|default| (ExtractedModel::of_unnamed(default.model), default.skips))
                .ok_or(error),
            (None, located) => Ok((located?, 0)),
            (Some(claim), Ok(model)) if claim.model.name == model.asked() => {
                let header = claim.model.header;
                Ok((ExtractedModel { header, ..model }, 0))
            }
            (Some(_), Ok(_)) => Err(RouteError::new(
                RouteErrorKind::AmbiguousModel,
                "the model header and the request name different models",
            )),
            (Some(claim), Err(error)) if error.kind() == RouteErrorKind::MissingModel => {
                Ok((claim.model, claim.skips))
            }
            (Some(_), Err(error)) => Err(error),
        }
    }
}

/// The result of a custom extractor, unless its span is outside the request.
fn within(head: &Parts, len: u64, model: ExtractedModel) -> Result<ExtractedModel, RouteError> {
    if model.location.is_within(head, len) {
        return Ok(model);
    }
    Err(RouteError::new(
        RouteErrorKind::ExtractorFault,
        "the model was found in a place outside the request",
    ))
}

impl Kind {
    fn feed(&mut self, chunk: &[u8]) -> Result<(), RouteError> {
        match self {
            Self::Beside(beside) => return beside.feed(chunk),
            Self::Json(scanner, _) => scanner.feed(chunk),
            Self::Multipart(scanner, _) => scanner.feed(chunk),
            Self::Nameless | Self::Known(_) | Self::Whole(_) => Ok(()),
        }
        .map_err(|refusal: Refusal| refusal.in_field(self.field()))
    }

    /// The name of the field that is looked for.
    fn field(&self) -> &str {
        match self {
            Self::Json(scanner, _) => scanner.field(),
            Self::Nameless
            | Self::Known(_)
            | Self::Beside(_)
            | Self::Multipart(..)
            | Self::Whole(_) => FIELD,
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nameless => "Nameless",
            Self::Known(_) => "Known",
            Self::Beside(_) => "Beside",
            Self::Json(..) => "Json",
            Self::Multipart(..) => "Multipart",
            Self::Whole(_) => "Whole",
        })
    }
}

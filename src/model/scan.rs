//! Looks for the model in a body that arrives chunk by chunk.

use std::fmt;

use http::{HeaderName, request::Parts};

use super::{
    choose::{choose, overwritten},
    content_type,
    duplicates::DuplicateModels,
    extraction::{Beside, BodyPlace, ExtractedModel, FromWholeBody, HeadModel, Plan, Written},
    found::{FIELD, Model, Refusal, Value},
    late::{HeadName, Late, ambiguous},
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
    /// The model that the head names.
    head: Option<Box<HeadScan>>,
    /// The model to use if the body names none.
    default: Option<String>,
    /// The decoder that decompresses the body before it is scanned.
    decoder: Option<Box<Decoder>>,
    /// Whether the rest of the body can't name a model, whatever it is.
    is_done: bool,
}

/// A scan beside a model that the head names.
#[derive(Debug)]
struct HeadScan {
    named: HeadModel,
    /// Whether the body may be something else than JSON.
    may_be_binary: bool,
    /// Whether bytes may follow the JSON.
    may_go_on: bool,
    /// Set once the request has been routed before the body named a model.
    late: Option<Late>,
}

enum Kind {
    /// The body is not scanned.
    Unread,
    Json(Scanner, DuplicateModels),
    Multipart(Box<Multipart>, DuplicateModels),
    Whole(Option<FromWholeBody>),
}

/// The length of the JSON, after which a tensor follows in binary (KServe's binary data extension).
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

impl Scan {
    /// `None` if the request names no model.
    pub(crate) fn new(head: &Parts, plan: Plan) -> Result<Option<Self>, RouteError> {
        let kind = match plan {
            Plan::NoModel => return Ok(None),
            Plan::Refused(error) => return Err(error),
            Plan::Found(named) => {
                let scan = Self::of(Kind::Unread);
                return Ok(Some(scan.beside(head, named)));
            }
            Plan::Json(field, duplicates) => {
                content_type::check_json(&head.headers)?;
                Kind::Json(Scanner::new(field, duplicates.scanned()), duplicates)
            }
            Plan::Multipart(boundary, duplicates) => {
                content_type::check(&head.headers)?;
                let scanner = Multipart::new(&boundary, duplicates.scanned());
                Kind::Multipart(Box::new(scanner), duplicates)
            }
            Plan::Whole(read) => {
                content_type::check(&head.headers)?;
                Kind::Whole(Some(read))
            }
            Plan::Default(name, plan) => {
                let scan = Self::new(head, *plan)?;
                return Ok(scan.map(|scan| Self {
                    default: Some(name),
                    ..scan
                }));
            }
            Plan::Beside(named, plan) => {
                let scan = Self::new(head, *plan)?.unwrap_or(Self::of(Kind::Unread));
                return Ok(Some(scan.beside(head, named)));
            }
        };
        Ok(Some(Self::of(kind)))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            head: None,
            default: None,
            decoder: None,
            is_done: false,
        }
    }

    /// A scan that looks for nothing.
    pub(crate) fn none() -> Self {
        Self::of(Kind::Unread)
    }

    fn beside(mut self, head: &Parts, named: HeadModel) -> Self {
        let is_known = !named.is_header_only();
        self.head = Some(Box::new(HeadScan {
            may_be_binary: is_known && content_type::is_other_than_json(&head.headers),
            may_go_on: is_known && head.headers.contains_key(JSON_LENGTH),
            named,
            late: None,
        }));
        self
    }

    /// Reads the body through `decoder`. The whole body is then read, as a rewrite needs all of it.
    pub(crate) fn decoded_by(mut self, decoder: Option<Decoder>) -> Self {
        self.decoder = decoder.map(Box::new);
        self
    }

    pub(crate) fn decoder(&self) -> Option<&Decoder> {
        self.decoder.as_deref()
    }

    pub(crate) fn take_decoder(&mut self) -> Option<Box<Decoder>> {
        self.decoder.take()
    }

    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Result<(), RouteError> {
        match &mut self.decoder {
            None => read(&mut self.kind, &mut self.head, &mut self.is_done, chunk),
            Some(decoder) => decoder.feed(chunk, |plain| {
                read(&mut self.kind, &mut self.head, &mut self.is_done, plain)
            }),
        }
    }

    /// Marks the end of the body.
    pub(crate) fn finish(&mut self) -> Result<(), RouteError> {
        if let Some(decoder) = &mut self.decoder {
            decoder.finish()?;
        }
        let finished = match &mut self.kind {
            _ if self.is_done => Ok(()),
            Kind::Json(scanner, _) => scanner.finish(),
            Kind::Multipart(scanner, _) => scanner.finish(),
            Kind::Unread | Kind::Whole(_) => Ok(()),
        };
        let has_other = self.head.is_some() || self.default.is_some();
        let finished = match finished {
            // The head or the default may supply the model that the body lacks.
            Err(Refusal::Missing | Refusal::Empty) if has_other => Ok(()),
            Err(Refusal::OtherCase) if has_other => Err(Refusal::Duplicate),
            finished => finished,
        };
        finished.map_err(|refusal| refusal.in_field(self.kind.field()))?;
        check_late(&self.kind, &self.head)
    }

    /// Whether the body has named its model, or can't any more, regardless of its rest.
    pub(crate) fn is_found(&self) -> bool {
        let (models, duplicates) = match &self.kind {
            Kind::Unread => return true,
            Kind::Json(scanner, duplicates) => (scanner.models(), duplicates),
            Kind::Multipart(scanner, duplicates) => (scanner.models(), duplicates),
            Kind::Whole(_) => return false,
        };
        let is_found = *duplicates == DuplicateModels::Refuse && !models.is_empty();
        self.decoder.is_none() && (is_found || self.is_done)
    }

    /// Whether the request can be routed by its head alone, so that the body need not be
    /// buffered until it names the same model.
    pub(crate) fn is_known(&self) -> bool {
        let is_known = |head: &HeadScan| !head.named.is_header_only();
        self.decoder.is_none() && !self.reads_whole() && self.head.as_deref().is_some_and(is_known)
    }

    /// Whether the body is read to its end before the request is routed.
    pub(crate) fn needs_all(&self) -> bool {
        self.decoder.is_some()
            || match &self.kind {
                Kind::Unread => false,
                Kind::Json(_, duplicates) | Kind::Multipart(_, duplicates) => {
                    *duplicates != DuplicateModels::Refuse
                }
                Kind::Whole(_) => true,
            }
    }

    /// The model's name, if it is known yet.
    pub(crate) fn model(&self) -> Option<&str> {
        if let Some(head) = &self.head {
            return Some(&head.named.model.name);
        }
        match &self.kind.models().first()?.value {
            Value::Name(name) => Some(name),
            Value::NotAString => None,
        }
    }

    /// Whether the scan reads the body, and so needs it uncompressed.
    pub(crate) fn reads_body(&self) -> bool {
        !matches!(self.kind, Kind::Unread)
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
        let len = total.unwrap_or(body.len());
        let Some(scan) = &mut self.head else {
            return match self.kind.located(head, body, len) {
                Err(error) if error.kind() == RouteErrorKind::MissingModel => {
                    let default = self.default.take();
                    default.map(ExtractedModel::new).ok_or(error)
                }
                located => located,
            };
        };
        let named = &mut scan.named;
        if !named.model.is_within(head, len) {
            return Err(outside());
        }
        if named.beside == Beside::Any && !self.kind.models().is_empty() {
            named.model.body =
                overwritten(self.kind.models(), self.kind.written(), &named.model.name);
        } else {
            match self.kind.located(head, body, len) {
                Ok(found) => agree(head, named, found)?,
                Err(error) if error.kind() == RouteErrorKind::MissingModel => {}
                Err(error) => return Err(error),
            }
        }
        Ok(std::mem::replace(&mut named.model, ExtractedModel::new("")))
    }

    /// Watches the rest of a body that goes on to the engine: call it if the body is not complete.
    ///
    /// If only the head has named `model` so far, the body may still name the same one, unless
    /// it `is_rewritten`.
    pub(crate) fn go_on(&mut self, head: &Parts, model: &ExtractedModel, is_rewritten: bool) {
        if let Some(scan) = &mut self.head
            && model.body.is_none()
        {
            scan.late = Some(Late::new(head, model, is_rewritten));
        }
    }
}

/// Reads the next bytes of the body.
fn read(
    kind: &mut Kind,
    head: &mut Option<Box<HeadScan>>,
    is_done: &mut bool,
    chunk: &[u8],
) -> Result<(), RouteError> {
    if *is_done {
        return Ok(());
    }
    let read = match kind {
        Kind::Json(scanner, _) => scanner.feed(chunk),
        Kind::Multipart(scanner, _) => scanner.feed(chunk),
        Kind::Unread | Kind::Whole(_) => return Ok(()),
    };
    if let (Kind::Json(scanner, _), Some(_)) = (&*kind, &*head)
        && scanner.hides_other_case()
    {
        return Err(Refusal::Duplicate.in_field(kind.field()));
    }
    if let Err(refusal) = read {
        *is_done = head.as_ref().is_some_and(|head| head.excuses(refusal));
        if !*is_done {
            return Err(refusal.in_field(kind.field()));
        }
    }
    check_late(kind, head)
}

fn check_late(kind: &Kind, head: &Option<Box<HeadScan>>) -> Result<(), RouteError> {
    match head.as_ref().and_then(|head| head.late.as_ref()) {
        Some(late) => late.check(kind.models()),
        None => Ok(()),
    }
}

/// Adds the places of the model that the body names to those of the head.
fn agree(head: &Parts, named: &mut HeadModel, found: ExtractedModel) -> Result<(), RouteError> {
    let ExtractedModel {
        name,
        head: places,
        body,
    } = found;
    let head_name = HeadName::new(head, &named.model);
    let (prefix, is_same) = match head_name.prefix_in(&name) {
        Some(prefix) => (prefix, true),
        None if named.beside == Beside::Any => ("", false),
        None => return Err(ambiguous()),
    };
    named.model.body = body.map(|place| BodyPlace {
        prefix: (!prefix.is_empty()).then(|| prefix.into()),
        is_named: place.is_named && is_same,
        ..place
    });
    named.add(places);
    Ok(())
}

/// The result of a custom extractor, unless its span is outside the request.
fn within(head: &Parts, len: u64, model: ExtractedModel) -> Result<ExtractedModel, RouteError> {
    match model.is_within(head, len) {
        true => Ok(model),
        false => Err(outside()),
    }
}

fn outside() -> RouteError {
    RouteError::new(
        RouteErrorKind::ExtractorFault,
        "the model was found in a place outside the request",
    )
}

impl HeadScan {
    /// Whether a body that is refused as JSON can't name a model, so that the head decides.
    fn excuses(&self, refusal: Refusal) -> bool {
        match refusal {
            Refusal::NotAnObject => !self.named.is_header_only(),
            Refusal::NotJson { .. } => self.may_be_binary,
            Refusal::Trailing { .. } => self.may_go_on,
            _ => false,
        }
    }
}

impl Kind {
    fn models(&self) -> &[Model] {
        match self {
            Self::Unread | Self::Whole(_) => &[],
            Self::Json(scanner, _) => scanner.models(),
            Self::Multipart(scanner, _) => scanner.models(),
        }
    }

    fn written(&self) -> Written {
        match self {
            Self::Multipart(..) => Written::Plain,
            Self::Unread | Self::Json(..) | Self::Whole(_) => Written::Json,
        }
    }

    /// The model that the body names, which `len` is the length of.
    fn located(
        &mut self,
        head: &Parts,
        body: &mut Chunks,
        len: u64,
    ) -> Result<ExtractedModel, RouteError> {
        match self {
            Self::Json(scanner, duplicates) => {
                let (field, models) = scanner.found();
                choose(*duplicates, models, Written::Json, field)
            }
            Self::Multipart(scanner, duplicates) => {
                choose(*duplicates, scanner.models_mut(), Written::Plain, FIELD)
            }
            Self::Whole(read) => match read.take() {
                Some(read) => {
                    read(head, body.contiguous()).and_then(|model| within(head, len, model))
                }
                None => Err(Refusal::Missing.in_field(FIELD)),
            },
            Self::Unread => Err(Refusal::Missing.in_field(FIELD)),
        }
    }

    /// The name of the field that is looked for.
    fn field(&self) -> &str {
        match self {
            Self::Json(scanner, _) => scanner.field(),
            Self::Unread | Self::Multipart(..) | Self::Whole(_) => FIELD,
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unread => "Unread",
            Self::Json(..) => "Json",
            Self::Multipart(..) => "Multipart",
            Self::Whole(_) => "Whole",
        })
    }
}

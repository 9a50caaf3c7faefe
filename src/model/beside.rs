//! The model in the body of a request whose path or query already names it.
//!
//! Engines read the one or the other, so both must be the same: an equal name is rewritten in
//! both, another is refused, or overwritten where clients put any name there.

use super::{
    choose::{check, check_places, pick},
    duplicates::DuplicateModels,
    extraction::{ExtractedModel, InBody, Plan, Written},
    found::{FIELD, Model, Refusal},
    json::Scanner,
    multipart::Multipart,
    relation::Relation,
};
use crate::error::{RouteError, RouteErrorKind};

/// Reads a body for the model that the head has named.
#[derive(Debug)]
pub(super) struct Beside {
    model: ExtractedModel,
    relation: Relation,
    body: BodyScan,
    state: State,
    /// How many of the body's models have been judged.
    judged: usize,
    late: Late,
}

/// The scan of such a body.
#[derive(Debug)]
pub(super) enum BodyScan {
    Json(Box<Scanner>, DuplicateModels),
    Multipart(Box<Multipart>, DuplicateModels),
}

/// What is known about the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but white space has come.
    Blank,
    Begun,
    /// It is JSON but no object, and so names no model.
    NoObject,
}

/// What is allowed as a model that comes after the request was sent: nothing can be rewritten.
#[derive(Debug)]
enum Late {
    /// The request has not been sent.
    NotYet,
    Only(Box<str>),
    None,
}

impl BodyScan {
    /// `None` if `plan` does not look for the model in a body.
    pub(super) fn new(plan: Plan) -> Result<Option<Self>, RouteError> {
        Ok(Some(match plan {
            Plan::Json(field, duplicates) => {
                let scanner = Scanner::new(field, duplicates.scanned());
                Self::Json(Box::new(scanner), duplicates)
            }
            Plan::Multipart(boundary, duplicates) => {
                let scanner = Multipart::new(&boundary, duplicates.scanned());
                Self::Multipart(Box::new(scanner), duplicates)
            }
            Plan::Refused(error) => return Err(error),
            _ => return Ok(None),
        }))
    }

    fn feed(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        match self {
            Self::Json(scanner, _) => scanner.feed(chunk),
            Self::Multipart(scanner, _) => scanner.feed(chunk),
        }
    }

    fn finish(&mut self) -> Result<(), Refusal> {
        match self {
            Self::Json(scanner, _) => scanner.finish(),
            Self::Multipart(scanner, _) => scanner.finish(),
        }
    }

    fn models(&self) -> &[Model] {
        match self {
            Self::Json(scanner, _) => scanner.models(),
            Self::Multipart(scanner, _) => scanner.models(),
        }
    }

    fn field(&self) -> &str {
        match self {
            Self::Json(scanner, _) => scanner.field(),
            Self::Multipart(..) => FIELD,
        }
    }

    fn duplicates(&self) -> DuplicateModels {
        match self {
            Self::Json(_, duplicates) | Self::Multipart(_, duplicates) => *duplicates,
        }
    }

    fn written(&self) -> Written {
        match self {
            Self::Json(..) => Written::Json,
            Self::Multipart(..) => Written::Plain,
        }
    }
}

impl Beside {
    pub(super) fn new(model: ExtractedModel, relation: Relation, body: BodyScan) -> Self {
        Self {
            model,
            relation,
            body,
            state: State::Blank,
            judged: 0,
            late: Late::NotYet,
        }
    }

    /// The model that the head names, by the name to route by.
    pub(super) fn model(&self) -> &str {
        &self.model.name
    }

    /// Whether the body is read as JSON.
    pub(super) fn reads_json(&self) -> bool {
        matches!(self.body, BodyScan::Json(..))
    }

    /// Whether the rest of the body may still name the model.
    pub(super) fn reads_on(&self) -> bool {
        let is_complete =
            self.body.duplicates() == DuplicateModels::Refuse && !self.body.models().is_empty();
        self.state != State::NoObject && !is_complete
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(), RouteError> {
        if self.state == State::NoObject {
            return Ok(());
        }
        if self.state == State::Blank && !chunk.iter().all(u8::is_ascii_whitespace) {
            self.state = State::Begun;
        }
        match self.body.feed(chunk) {
            Err(Refusal::NotAnObject) => self.state = State::NoObject,
            read => read.map_err(|refusal| refusal.in_field(self.body.field()))?,
        }
        self.judge_late()
    }

    pub(super) fn finish(&mut self) -> Result<(), RouteError> {
        if self.state != State::Begun {
            return Ok(());
        }
        match self.body.finish() {
            Ok(()) => self.judge_late(),
            Err(Refusal::Missing) => Ok(()),
            // To some engines the body names one.
            Err(Refusal::OtherCase) => Err(Refusal::Duplicate.in_field(self.body.field())),
            Err(refusal) => Err(refusal.in_field(self.body.field())),
        }
    }

    /// The model, with its places in the part of the body that has been read.
    pub(super) fn locate(&mut self, head: ExtractedModel) -> Result<ExtractedModel, RouteError> {
        let models = self.body.models();
        self.judged = models.len();
        let chosen = pick(self.body.duplicates(), models.len()).and_then(|at| models.get(at));
        let Some(chosen) = chosen else {
            return Ok(head);
        };
        check_places(models, self.body.written(), self.body.field())?;
        let prefix = match self.relation {
            Relation::Overwritten => "",
            Relation::Equal | Relation::Prefixed(_) => {
                check(&chosen.value, self.body.field())?;
                let prefix = self.relation.prefix(&chosen.value, head.asked());
                prefix.ok_or_else(|| self.ambiguous())?
            }
        };
        let is_settled = models
            .iter()
            .all(|model| self.relation.prefix(&model.value, head.asked()) == Some(prefix));
        let beside = InBody {
            written: self.body.written(),
            spans: models.iter().map(|model| model.span.clone()).collect(),
            prefix,
            is_settled,
        };
        Ok(ExtractedModel {
            beside: Some(Box::new(beside)),
            ..head
        })
    }

    /// Gives the model away, which is not needed any more.
    pub(super) fn take_model(&mut self) -> ExtractedModel {
        std::mem::replace(&mut self.model, ExtractedModel::new(""))
    }

    /// The request for `asked` is being sent to an engine that reads `sent` in its head.
    pub(super) fn sent_as(&mut self, asked: &str, sent: &str) {
        self.late = match self.relation {
            Relation::Equal | Relation::Prefixed(_) if asked != sent => Late::None,
            _ => Late::Only(sent.into()),
        };
    }

    fn judge_late(&mut self) -> Result<(), RouteError> {
        let late = self.body.models().get(self.judged..).unwrap_or_default();
        let is_allowed = match &self.late {
            Late::NotYet => return Ok(()),
            Late::Only(name) => late
                .iter()
                .all(|model| self.relation.prefix(&model.value, name).is_some()),
            Late::None => late.is_empty(),
        };
        if !is_allowed {
            return Err(match self.late {
                Late::None => RouteError::new(
                    RouteErrorKind::AmbiguousModel,
                    format!(
                        "the `{}` in the request body comes too late to be rewritten like the one \
                         in the path or query",
                        self.body.field()
                    ),
                ),
                _ => self.ambiguous(),
            });
        }
        self.judged = self.body.models().len();
        Ok(())
    }

    fn ambiguous(&self) -> RouteError {
        RouteError::new(
            RouteErrorKind::AmbiguousModel,
            format!(
                "the path or query and the `{}` in the request body name different models",
                self.body.field()
            ),
        )
    }
}

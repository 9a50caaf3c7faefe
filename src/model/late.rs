//! A body that names the model which the head has named before.

use std::borrow::Cow;

use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::{
    extraction::ExtractedModel,
    found::{Model, Value},
};
use crate::error::{RouteError, RouteErrorKind};

/// The name in the head, as a body may write it.
#[derive(Debug)]
pub(super) struct HeadName<'a> {
    name: Cow<'a, str>,
    /// The path before the name.
    before: Cow<'a, str>,
}

impl<'a> HeadName<'a> {
    pub(super) fn new(head: &'a Parts, model: &'a ExtractedModel) -> Self {
        let places = model.head.as_ref();
        let before = places
            .and_then(|places| head.uri.path().get(..places.path.as_ref()?.start))
            .unwrap_or_default();
        Self {
            name: Cow::Borrowed(&model.name),
            before: percent_decode_str(before).decode_utf8_lossy(),
        }
    }

    fn into_owned(self) -> HeadName<'static> {
        HeadName {
            name: self.name.into_owned().into(),
            before: self.before.into_owned().into(),
        }
    }

    /// What the body writes before the name if it names the same model: nothing, or the end of
    /// the path.
    ///
    /// Gemini's API names a model `models/gemini` in the body of a request for
    /// `/v1beta/models/gemini:embedContent` (resource names, Google AIP-122).
    pub(super) fn prefix_in<'b>(&self, written: &'b str) -> Option<&'b str> {
        let prefix = written.strip_suffix(&*self.name)?;
        let rest = self.before.strip_suffix(prefix)?;
        let is_resource = prefix.ends_with('/') && rest.ends_with('/');
        (prefix.is_empty() || is_resource).then_some(prefix)
    }
}

/// What the rest of a body may name once its request has been routed by the head.
#[derive(Debug)]
pub(super) struct Late {
    /// `None` if nothing may be named, because it had to be rewritten.
    allowed: Option<HeadName<'static>>,
}

impl Late {
    pub(super) fn new(head: &Parts, model: &ExtractedModel, is_rewritten: bool) -> Self {
        let allowed = (!is_rewritten).then(|| HeadName::new(head, model).into_owned());
        Self { allowed }
    }

    pub(super) fn check(&self, models: &[Model]) -> Result<(), RouteError> {
        let is_allowed = |model: &Model| match (&self.allowed, &model.value) {
            (Some(allowed), Value::Name(name)) => allowed.prefix_in(name).is_some(),
            _ => false,
        };
        match models.iter().all(is_allowed) {
            true => Ok(()),
            false => Err(ambiguous()),
        }
    }
}

pub(super) fn ambiguous() -> RouteError {
    RouteError::new(
        RouteErrorKind::AmbiguousModel,
        "the request names different models, or names its model too late in its body",
    )
}

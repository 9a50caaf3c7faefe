//! Chooses which of the models found in a body is used.

use super::{
    duplicates::DuplicateModels,
    extraction::{BodyPlace, ExtractedModel, Written},
    found::{Model, Refusal, Value},
};
use crate::error::{RouteError, RouteErrorKind};

/// Chooses the model to route by among those found in a body, and takes its name out of the list.
pub(super) fn choose(
    duplicates: DuplicateModels,
    models: &mut [Model],
    written: Written,
    field: &str,
) -> Result<ExtractedModel, RouteError> {
    let invalid = |what| {
        let message = format!("the `{field}` in the request body is {what}");
        RouteError::new(RouteErrorKind::InvalidModel, message)
    };
    let chosen = match duplicates {
        DuplicateModels::Refuse | DuplicateModels::First => models.first_mut(),
        DuplicateModels::Last => models.last_mut(),
    }
    .ok_or_else(|| Refusal::Missing.in_field(field))?;
    let name = match &mut chosen.value {
        Value::Name(name) if name.is_empty() => {
            return Err(invalid("empty"));
        }
        Value::Name(name) => std::mem::take(name),
        Value::NotAString => {
            return Err(invalid("not a string"));
        }
    };
    let span = chosen.span.clone();
    let others: Vec<_> = models
        .iter()
        .map(|model| &model.span)
        .filter(|&other| *other != span)
        .cloned()
        .collect();
    let is_named = others.is_empty();
    Ok(ExtractedModel {
        name,
        head: None,
        body: Some(BodyPlace {
            written,
            span,
            others,
            prefix: None,
            is_named,
        }),
    })
}

/// The place of whatever a body names, which becomes `name`.
pub(super) fn overwritten(models: &[Model], written: Written, name: &str) -> Option<BodyPlace> {
    let (first, rest) = models.split_first()?;
    Some(BodyPlace {
        written,
        span: first.span.clone(),
        others: rest.iter().map(|model| model.span.clone()).collect(),
        prefix: None,
        is_named: rest.is_empty() && matches!(&first.value, Value::Name(named) if named == name),
    })
}

//! Chooses which of the models found in a body is used.

use super::{
    duplicates::DuplicateModels,
    extraction::{ExtractedModel, Location, Written},
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
    let chosen = pick(duplicates, models.len())
        .and_then(|at| models.get_mut(at))
        .ok_or_else(|| Refusal::Missing.in_field(field))?;
    check(&chosen.value, field)?;
    let name = match &mut chosen.value {
        Value::Name(name) => std::mem::take(name),
        Value::NotAString => String::new(),
    };
    let span = chosen.span.clone();
    let others = match models {
        // Nearly always; to collect nothing takes 2 % of a peek at 1 KB.
        [_] => Box::default(),
        _ => models
            .iter()
            .map(|model| &model.span)
            .filter(|&other| *other != span)
            .cloned()
            .collect(),
    };
    Ok(ExtractedModel {
        location: Location::Body {
            written,
            span,
            others,
        },
        ..ExtractedModel::new(name)
    })
}

/// The position of the model that counts among so many.
pub(super) fn pick(duplicates: DuplicateModels, len: usize) -> Option<usize> {
    match duplicates {
        DuplicateModels::Refuse | DuplicateModels::First => (len > 0).then_some(0),
        DuplicateModels::Last => len.checked_sub(1),
    }
}

/// Refuses a value that is no name.
pub(super) fn check(value: &Value, field: &str) -> Result<(), RouteError> {
    let what = match value {
        Value::Name(name) if !name.is_empty() => return Ok(()),
        Value::Name(_) => "empty",
        Value::NotAString => "not a string",
    };
    let message = format!("the `{field}` in the request body is {what}");
    Err(RouteError::new(RouteErrorKind::InvalidModel, message))
}

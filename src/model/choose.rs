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
    let others = models
        .iter()
        .map(|model| &model.span)
        .filter(|&other| *other != span)
        .cloned()
        .collect();
    Ok(ExtractedModel {
        name,
        location: Location::Body {
            written,
            span,
            others,
        },
        header: None,
    })
}

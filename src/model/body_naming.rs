//! A JSON body that names a model where the extractor reads it.

use http::request::Parts;
use serde_json::Value;

use super::{extract::ExtractModel, extraction::Plan, found::FIELD};

/// The JSON body in which a request with this head names `model`; `None` if `extract` reads no
/// JSON body of such a request.
pub(crate) fn body_naming(extract: &dyn ExtractModel, head: &Parts, model: &str) -> Option<String> {
    let plan = extract.begin(head).0;
    let field = field_of(&plan)?;
    let (field, model) = (Value::from(field), Value::from(model));
    Some(format!("{{{field}:{model}}}"))
}

/// The field of a JSON body that names the model, also beside one that the head names.
fn field_of(plan: &Plan) -> Option<&str> {
    match plan {
        Plan::Json(field, _) => Some(field.as_deref().unwrap_or(FIELD)),
        Plan::Found(_) | Plan::Refused(_) => Some(FIELD),
        Plan::Beside(_, _, plan) => Some(field_of(plan).unwrap_or(FIELD)),
        Plan::Claimed(_, plan) | Plan::Default(_, plan) | Plan::Mapped(_, plan) => field_of(plan),
        Plan::NoModel | Plan::Multipart(..) | Plan::Whole(_) => None,
    }
}

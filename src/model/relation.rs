//! How the name in a body relates to the one in the path or query.

use super::found::Value;

/// How the body's name relates to that of the path or query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// They are equal.
    Equal,
    /// They are equal, or the body's has `models/` before it (Gemini).
    Prefixed,
    /// The body's does not count: the clients of Azure's deployments put any name there.
    Overwritten,
}

/// What Gemini's bodies put before the name.
const PREFIX: &str = "models/";

impl Relation {
    /// The relation in the API whose paths have this before and after the model.
    pub(super) fn of_path(before: &str, after: &str) -> Self {
        if before.ends_with("/openai/deployments/") {
            Self::Overwritten
        } else if before.ends_with("/models/") && after.starts_with(':') {
            Self::Prefixed
        } else {
            Self::Equal
        }
    }

    /// What stands before `name` in `value`; `None` if the value is another name.
    pub(super) fn prefix(self, value: &Value, name: &str) -> Option<&'static str> {
        match value {
            Value::Name(found) if found == name => Some(""),
            Value::Name(found) => {
                let bare = found.strip_prefix(PREFIX)?;
                (self == Self::Prefixed && bare == name).then_some(PREFIX)
            }
            Value::NotAString => None,
        }
    }
}

//! How the name in a body relates to the one in the path or query.

use super::found::Value;

/// How the body's name relates to that of the path or query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// They are equal.
    Equal,
    /// They are equal, or the body's has this before it: Google's bodies name resources.
    Prefixed(&'static str),
    /// The body's does not count: the clients of Azure's deployments put any name there.
    Overwritten,
}

/// What Google's bodies put before the name, as its paths do.
const PREFIXES: [&str; 2] = ["models/", "tunedModels/"];

impl Relation {
    /// The relation in the API whose paths have this before and after the model.
    pub(super) fn of_path(before: &str, after: &str) -> Self {
        if before.ends_with("/openai/deployments/") {
            Self::Overwritten
        } else {
            let collection = |prefix: &&str| {
                before
                    .strip_suffix(prefix)
                    .is_some_and(|rest| rest.ends_with('/'))
            };
            let prefix = PREFIXES.into_iter().find(collection);
            prefix
                .filter(|_| after.starts_with(':'))
                .map_or(Self::Equal, Self::Prefixed)
        }
    }

    /// What stands before `name` in `value`; `None` if the value is another name.
    pub(super) fn prefix(self, value: &Value, name: &str) -> Option<&'static str> {
        match value {
            Value::Name(found) if found == name => Some(""),
            Value::Name(found) => match self {
                Self::Prefixed(prefix) if found.strip_prefix(prefix) == Some(name) => Some(prefix),
                _ => None,
            },
            Value::NotAString => None,
        }
    }
}

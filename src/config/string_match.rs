//! Matching a header value or a path.

use std::fmt;

/// A condition on a string: equal to, beginning with, or containing a match of a regular expression.
///
/// The comparison is case-sensitive and on bytes. A regular expression is
/// searched *unanchored*, as in Kthena: `premium` also matches
/// `not-premium`; write `^premium$` for the whole value. The syntax is that
/// of the [`regex`](https://docs.rs/regex) crate, whose search time is linear
/// in the value, so no header can make a rule slow.
///
/// A plain string, such as `"premium"`, is an exact match wherever a `StringMatch` is
/// taken.
///
/// ```
/// use tower_model_route::StringMatch;
///
/// let exact = StringMatch::exact("premium");
/// let prefix = StringMatch::prefix("/v1/chat/");
/// let regex = StringMatch::regex("^(gold|premium)$");
/// assert_eq!(exact, StringMatch::Exact("premium".to_owned()));
/// # let _ = (prefix, regex);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub enum StringMatch {
    /// The value equals this text.
    Exact(String),
    /// The value begins with this text.
    Prefix(String),
    /// The value contains a match of this regular expression.
    Regex(String),
}

impl StringMatch {
    /// The value must equal `text`.
    pub fn exact(text: impl Into<String>) -> Self {
        Self::Exact(text.into())
    }

    /// The value must begin with `text`.
    pub fn prefix(text: impl Into<String>) -> Self {
        Self::Prefix(text.into())
    }

    /// The value must contain a match of `pattern`.
    ///
    /// The pattern is compiled when the table is built; one that does not
    /// compile is a mistake in the [`BuildError`](crate::BuildError).
    pub fn regex(pattern: impl Into<String>) -> Self {
        Self::Regex(pattern.into())
    }

    /// The text or pattern.
    pub fn get_text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Regex(text) => text,
        }
    }

    /// The verb that precedes the text in a sentence.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Exact(_) => "is",
            Self::Prefix(_) => "begins with",
            Self::Regex(_) => "matches",
        }
    }
}

/// A text alone is matched exactly.
impl From<&str> for StringMatch {
    fn from(text: &str) -> Self {
        Self::exact(text)
    }
}

/// A text alone is matched exactly.
impl From<String> for StringMatch {
    fn from(text: String) -> Self {
        Self::Exact(text)
    }
}

/// The predicate of a sentence whose subject is the matched value, such as `is "premium"`.
impl fmt::Display for StringMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.verb(), self.get_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_the_end_of_a_sentence() {
        for (pattern, expected) in [
            (StringMatch::exact("a\nb"), r#"is "a\nb""#),
            (StringMatch::prefix("/v1/"), r#"begins with "/v1/""#),
            (StringMatch::regex("^a$"), r#"matches "^a$""#),
        ] {
            assert_eq!(pattern.to_string(), expected);
        }
    }
}

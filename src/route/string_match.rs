//! Matching a header value or a path.

use regex::bytes::Regex;

/// How a string must look: equal, beginning with, or containing a match of a regular expression.
///
/// The comparison is case-sensitive and on bytes. A regular expression is
/// searched *unanchored*, as Kthena does: `premium` also matches
/// `not-premium`; write `^premium$` for the whole value. The syntax is that
/// of the [`regex`](https://docs.rs/regex) crate, whose search time is linear
/// in the value, so no header can make a rule slow.
///
/// ```
/// use tower_model_route::StringMatch;
///
/// let exact = StringMatch::exact("premium");
/// let prefix = StringMatch::prefix("/v1/chat/");
/// let regex = StringMatch::regex("^(gold|premium)$");
/// # let _ = (exact, prefix, regex);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringMatch(pub(crate) Pattern);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Exact(String),
    Prefix(String),
    Regex(String),
}

impl StringMatch {
    /// The value must equal `text`.
    pub fn exact(text: impl Into<String>) -> Self {
        Self(Pattern::Exact(text.into()))
    }

    /// The value must begin with `text`.
    pub fn prefix(text: impl Into<String>) -> Self {
        Self(Pattern::Prefix(text.into()))
    }

    /// The value must contain a match of `pattern`.
    ///
    /// The pattern is compiled when the table is built; one that does not
    /// compile is a mistake in the [`BuildError`](crate::BuildError).
    pub fn regex(pattern: impl Into<String>) -> Self {
        Self(Pattern::Regex(pattern.into()))
    }

    pub(crate) fn compile(self) -> Result<Matcher, regex::Error> {
        Ok(match self.0 {
            Pattern::Exact(text) => Matcher::Exact(text.into_bytes().into()),
            Pattern::Prefix(text) => Matcher::Prefix(text.into_bytes().into()),
            Pattern::Regex(pattern) => Matcher::Regex(Regex::new(&pattern)?),
        })
    }
}

/// A [`StringMatch`] ready to be evaluated.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Regex(Regex),
}

impl Matcher {
    pub(crate) fn is_match(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value == &**text,
            Self::Prefix(text) => value.starts_with(text),
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: StringMatch, value: &str) -> bool {
        pattern.compile().unwrap().is_match(value.as_bytes())
    }

    #[test]
    fn exact_is_the_whole_value_and_case_sensitive() {
        assert!(matches(StringMatch::exact("premium"), "premium"));
        assert!(!matches(StringMatch::exact("premium"), "Premium"));
        assert!(!matches(StringMatch::exact("premium"), "premium "));
        assert!(matches(StringMatch::exact(""), ""));
    }

    #[test]
    fn prefix_is_a_plain_beginning() {
        assert!(matches(StringMatch::prefix("/v1/chat"), "/v1/chatty"));
        assert!(!matches(StringMatch::prefix("/v1/chat"), "/v1/cha"));
    }

    #[test]
    fn regex_is_unanchored_and_takes_values_that_are_not_utf8() {
        assert!(matches(StringMatch::regex("mium"), "premium-user"));
        assert!(!matches(StringMatch::regex("^mium"), "premium-user"));
        let matcher = StringMatch::regex("^a").compile().unwrap();
        assert!(matcher.is_match(b"a\xff"));
    }
}

//! Patterns, compiled.

use regex::bytes::Regex;

use crate::config::StringMatch;

impl StringMatch {
    pub(super) fn compile(&self) -> Result<Matcher, regex::Error> {
        Ok(match self {
            Self::Exact(text) => Matcher::Exact(text.as_bytes().into()),
            Self::Prefix(text) => Matcher::Prefix(text.as_bytes().into()),
            Self::Regex(pattern) => Matcher::Regex(Regex::new(pattern)?),
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

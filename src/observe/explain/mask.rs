//! What is shown of a request: not its credentials.

use http::{HeaderName, Uri};

use crate::{config::Condition, error::Excerpt, route::Examined};

const MASK: &str = "***";

/// The headers whose values are shown: these, in lower case, or all, but never those that are known
/// to hold credentials.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a>(Option<&'a [String]>);

impl<'a> Shown<'a> {
    pub(crate) const ALL: Self = Self(None);

    #[cfg(feature = "admin")]
    pub(crate) fn only(names: &'a [String]) -> Self {
        Self(Some(names))
    }

    fn has(self, header: &str) -> bool {
        let is = |name: &String| name.eq_ignore_ascii_case(header);
        !is_secret(header) && self.0.is_none_or(|names| names.iter().any(is))
    }

    /// Whether what this condition compares to is shown.
    pub(crate) fn has_value_of(self, condition: &Condition) -> bool {
        match condition {
            Condition::Header(name, _) => self.has(name),
            Condition::Uri(_) | Condition::BodyModel(_) | Condition::PromptTokens { .. } => true,
        }
    }
}

/// Headers whose values are credentials, or lead to such.
const SECRET_HEADERS: [&str; 13] = [
    "api-key",
    "authorization",
    "cookie",
    "ocp-apim-subscription-key",
    "proxy-authorization",
    "set-cookie",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-forwarded-access-token",
    "x-goog-api-key",
    "x-goog-iam-authorization-token",
];

/// Query parameters that are no secrets; of all others (`key=`, `sig=`, ...) only the name is shown.
const PLAIN_PARAMETERS: [&str; 3] = ["alt", "api-version", "model"];

/// Whether the values of this header are credentials.
pub(crate) fn is_secret(header: &str) -> bool {
    SECRET_HEADERS
        .iter()
        .any(|secret| secret.eq_ignore_ascii_case(header))
}

/// A condition in words. What it compares a credential to is one as well.
pub(crate) fn described(condition: &Condition, shown: Shown<'_>) -> String {
    match condition {
        Condition::Header(name, value) => {
            // In the spelling of the request.
            let name = name
                .parse()
                .map_or_else(|_| name.clone(), |name: HeaderName| name.to_string());
            match shown.has(&name) {
                false => format!("header {name} {} {MASK}", value.verb()),
                true => format!("header {name} {value}"),
            }
        }
        Condition::Uri(path) => format!("path {path}"),
        Condition::BodyModel(model) => format!("model is {model:?}"),
        Condition::PromptTokens { min, max: None } => format!("prompt of {min} tokens or more"),
        Condition::PromptTokens {
            min,
            max: Some(max),
        } => format!("prompt of {min} to {max} tokens"),
    }
}

/// The values that a condition saw.
pub(super) fn seen(examined: &Examined<'_>, shown: Shown<'_>) -> Vec<String> {
    let is_masked = !shown.has_value_of(examined.condition);
    examined
        .seen
        .iter()
        .map(|seen| match is_masked || seen.is_sensitive {
            true => MASK.to_owned(),
            false => Excerpt(&String::from_utf8_lossy(&seen.value)).to_string(),
        })
        .collect()
}

/// A URI, the values of its query masked, and who is in front of its host.
pub(super) fn uri(uri: &Uri) -> String {
    let mut text = uri.to_string();
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if let Some((user, _)) = authority.rsplit_once('@') {
        text = text.replacen(user, MASK, 1);
    }
    let Some((path, query)) = text.split_once('?') else {
        return text;
    };
    let masked = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) if !PLAIN_PARAMETERS.contains(&name) => format!("{name}={MASK}"),
        Some(_) => parameter.to_owned(),
        None if parameter.is_empty() => String::new(),
        // Without a name it may be anything.
        None => MASK.to_owned(),
    };
    let query: Vec<_> = query.split('&').map(masked).collect();
    format!("{path}?{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_query_only_what_is_known_to_be_no_secret_is_shown() {
        for (given, shown) in [
            ("/v1/chat", "/v1/chat"),
            ("/v1?key=AIza", "/v1?key=***"),
            (
                "/v1?AIza&&model=m&api-version=2",
                "/v1?***&&model=m&api-version=2",
            ),
            ("http://h:1/p?a=b=c", "http://h:1/p?a=***"),
            ("/v1?", "/v1?"),
            ("http://me:pass@h/p", "http://***@h/p"),
        ] {
            assert_eq!(uri(&given.parse().unwrap()), shown);
        }
    }

    #[test]
    fn header_names_are_compared_in_any_case() {
        assert!(is_secret("Authorization") && is_secret("X-API-Key"));
        assert!(!is_secret("user-type"));
    }
}

//! Regular expressions that match more than they look like.

use super::warning::{Lint, LintKind};
use crate::config::{Condition, Place, RoutePart, RouteTableBuilder, StringMatch};

pub(super) fn lint(config: &RouteTableBuilder) -> Vec<Lint> {
    let mut lints = Vec::new();
    for (route, of_route) in config.get_model_routes().iter().enumerate() {
        for (rule, of_rule) in of_route.get_rules().iter().enumerate() {
            for (position, condition) in of_rule.get_conditions().iter().enumerate() {
                let (header, value) = match condition {
                    Condition::Header(name, value) => (Some(name.as_str()), value),
                    Condition::Uri(value) => (None, value),
                    Condition::BodyModel(_) | Condition::PromptTokens { .. } => continue,
                };
                let StringMatch::Regex(pattern) = value else {
                    continue;
                };
                if let Some(message) = suspicion(pattern, header) {
                    let place = Place::ModelRoute(route, RoutePart::Condition(rule, position));
                    lints.push(Lint::new(config, LintKind::SuspectRegex, place, message));
                }
            }
        }
    }
    lints
}

/// The oddity of a pattern. Only a few count, to avoid false alarms.
fn suspicion(pattern: &str, header: Option<&str>) -> Option<String> {
    let (head, tail) = (pattern.starts_with('^'), ends_with_anchor(pattern));
    let inner = pattern.strip_prefix('^').unwrap_or(pattern);
    let inner = if tail {
        &inner[..inner.len() - 1]
    } else {
        inner
    };
    let branches: Vec<&str> = inner.split('|').collect();

    // `^gold|premium$` is "begins with gold, or ends with premium".
    if branches.len() > 1 && (head || tail) && branches.iter().all(|branch| is_plain(branch)) {
        return Some(format!(
            "in {pattern:?} the anchors belong to the first and last alternative only: \
             write \"^({inner})$\""
        ));
    }
    let words = inner
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
        .unwrap_or(inner);
    let words = words.strip_prefix("?:").unwrap_or(words);
    let plain = !words.is_empty() && words.split('|').all(is_plain);
    // A search for a word in the User-Agent does mean "contains".
    let contains = header.is_some_and(|name| name.eq_ignore_ascii_case("user-agent"));
    if plain && !head && !tail && !contains {
        return Some(format!(
            "{pattern:?} is not anchored and matches anywhere in the value, as in \"not-{}-x\": \
             write \"^{}$\" for the whole value",
            words.split('|').next().unwrap_or_default(),
            if words.contains('|') {
                format!("({words})")
            } else {
                words.to_owned()
            },
        ));
    }
    if looks_like_host(words) {
        return Some(format!(
            "the dots in {pattern:?} match any character: write \"\\\\.\" for a dot"
        ));
    }
    None
}

/// A `$` at the end that is not escaped.
fn ends_with_anchor(pattern: &str) -> bool {
    pattern.strip_suffix('$').is_some_and(|rest| {
        let escapes = rest.len() - rest.trim_end_matches('\\').len();
        escapes % 2 == 0
    })
}

/// Nothing but letters, digits and what joins them: nothing that a regular expression is needed for.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|letter| letter.is_alphanumeric() || "-_/ :,@=".contains(letter))
}

/// `api.example.com`: words of letters between dots that nothing repeats.
fn looks_like_host(text: &str) -> bool {
    let labels: Vec<&str> = text.split('.').collect();
    let top = labels.last().copied().unwrap_or_default();
    labels.len() > 2
        && labels.iter().all(|label| is_label(label))
        && top.len() >= 2
        && top.chars().all(|letter| letter.is_ascii_alphabetic())
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_anchors_are_suspect() {
        for pattern in [
            "premium",
            "gold|premium",
            "(gold|premium)",
            "(?:gold|premium)",
            "/v1/chat",
            "^gold|premium$",
            "gold|premium$",
            "^api.example.com$",
            "api.example.com",
        ] {
            assert!(suspicion(pattern, Some("user-type")).is_some(), "{pattern}");
        }
    }

    #[test]
    fn what_may_well_be_meant_is_not() {
        for pattern in [
            "^premium$",
            "^premium",
            "premium$",
            "^(gold|premium)$",
            ".*premium.*",
            "premium.*",
            "[0-9]+",
            r"^api\.example\.com$",
            r"^v\d+\.\d+$",
            "(?i)premium",
            r"\bpremium\b",
            "a.c",
            "",
            "^$",
            "gpt-4.1",
            r"premium\$",
        ] {
            assert_eq!(suspicion(pattern, Some("user-type")), None, "{pattern}");
        }
        assert_eq!(suspicion("Mozilla", Some("User-Agent")), None);
    }
}

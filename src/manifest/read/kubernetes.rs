//! What Kubernetes accepts as a name, a label's key, and its value.

/// A DNS-1123 subdomain: small letters, digits, `-` and `.`, between letters or digits.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_label)
}

/// A part of such a name, between its dots.
pub(crate) fn is_dns_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    is_framed(label, inner, |byte| byte == b'-')
}

/// A name of up to 63 letters, digits, `-`, `_` and `.`, after a DNS name and a slash or alone.
pub(crate) fn is_label_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    prefix.is_none_or(is_name) && is_label_text(name)
}

/// Empty, or what the name in a key may be.
pub(crate) fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_label_text(value)
}

fn is_label_text(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric();
    text.len() <= 63 && is_framed(text, inner, |byte| b"-_.".contains(&byte))
}

/// Not empty, with `inner` at both ends, and `inner` or `between` elsewhere.
fn is_framed(text: &str, inner: impl Fn(u8) -> bool, between: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| inner(*byte))
        && bytes.last().is_some_and(|byte| inner(*byte))
        && bytes.iter().all(|byte| inner(*byte) || between(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_those_that_kubernetes_takes() {
        let long = "a".repeat(64);
        for (text, name, key, value) in [
            ("a", true, true, true),
            ("a-b.c0", true, true, true),
            ("A_b", false, true, true),
            ("", false, false, true),
            ("-a", false, false, false),
            ("a.", false, false, false),
            ("a b", false, false, false),
            ("example.com/role", false, true, false),
            ("Example.com/role", false, false, false),
            ("/role", false, false, false),
            ("a/b/c", false, false, false),
            ("\u{e9}", false, false, false),
            (&long, true, false, false),
        ] {
            let found = (is_name(text), is_label_key(text), is_label_value(text));
            assert_eq!(found, (name, key, value), "{text:?}");
        }
    }
}

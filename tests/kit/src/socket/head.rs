//! The head of a message, read strictly.

use super::message::{Framing, Kind};

/// An error says which line is none.
pub(super) fn fields_of(lines: &str) -> Result<Vec<(String, String)>, String> {
    let lines = lines.split("\r\n").filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let is_name = |name: &str| !name.is_empty() && !name.contains([' ', '\t', '\n']);
            match line.split_once(':') {
                Some((name, value)) if is_name(name) && !value.contains(['\r', '\n', '\0']) => {
                    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
                }
                _ => Err(format!("not a field: {line:?}")),
            }
        })
        .collect()
}

/// By RFC 9112 section 6.3, but what it calls a possible attack is an error.
pub(super) fn framing(
    start: &str,
    fields: &[(String, String)],
    kind: Kind,
) -> Result<Framing, String> {
    let all = |wanted: &str| -> Vec<&str> {
        let fields = fields.iter();
        let named = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| &**value).collect()
    };
    let status = start.split(' ').nth(1).unwrap_or_default();
    let bodiless = kind == Kind::AnswerToHead
        || kind == Kind::Answer && (status.starts_with('1') || status == "204" || status == "304");
    match (&*all("content-length"), &*all("transfer-encoding")) {
        _ if bodiless => Ok(Framing::None),
        ([], []) if kind == Kind::Request => Ok(Framing::None),
        ([], []) => Ok(Framing::Close),
        ([], ["chunked"]) => Ok(Framing::Chunked),
        ([length], []) if length.bytes().all(|digit| digit.is_ascii_digit()) => length
            .parse()
            .map(Framing::Length)
            .map_err(|_| format!("Content-Length {length:?}")),
        (length, coding) => Err(format!(
            "Content-Length {length:?} and Transfer-Encoding {coding:?}"
        )),
    }
}

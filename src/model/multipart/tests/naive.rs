//! The same rules written once more: over a whole body, by regular expressions,
//! without regard to time, offsets or which rule is broken first.

use std::{collections::HashMap, ops::Range, sync::LazyLock};

use regex::bytes::{Captures, Regex};

use super::*;
use crate::model::{
    found::{MAX_MODELS, MAX_NAME},
    multipart::{part_head::Content, scanner::MAX_HEAD},
};

/// A regular expression over bytes: `;` matches a semicolon with spaces around
/// it, TOKEN a token, VALUE a value, and END the end of a value.
fn regex(pattern: &str) -> Regex {
    let pattern = pattern
        .replace(';', r" *; *")
        .replace("END", r"(?: *\x3b)? *$")
        .replace("VALUE", r#"(?:TOKEN|"(?:[^"\\]|\\.)*")"#)
        .replace("TOKEN", r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+");
    Regex::new(&format!("(?s-u){pattern}")).unwrap()
}

static HEADER: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(?<name>TOKEN):[ \t]*(?<value>[\t\x20-\x7e\x80-\xff]*?)[ \t]*$"));
static DISPOSITION: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^(?i:form-data)\x3b *name=(?<name>VALUE)(?<params>(?:;filename[*]?=VALUE)*)$")
});
static CONTENT_TYPE: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[^\x3b]*?(?<params>(?:;TOKEN=VALUE)*)END"));
static PARAM: LazyLock<Regex> = LazyLock::new(|| regex(r"^;(?<name>TOKEN)=(?<value>VALUE)"));
static UTF8: LazyLock<Regex> = LazyLock::new(|| regex(r#"^"?(?i:utf-8)"?$"#));
static ASCII: LazyLock<Regex> = LazyLock::new(|| regex(r#"^"?(?i:utf-8|us-ascii|iso-8859-1)"?$"#));
static NAMES: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"^(?:model|"model"|(?i:_charset_|"_charset_"))$"#));
static CHARSET: LazyLock<Regex> = LazyLock::new(|| regex("^(?i:utf-8|us-ascii)$"));
static IDENTITY: LazyLock<Regex> = LazyLock::new(|| regex("^(?i:7bit|8bit|binary)$"));
static UNSURE_END: LazyLock<Regex> = LazyLock::new(|| {
    let escaped_backslash = r#"^"(?:[^"\\]|\\.)*\\\\"$"#;
    let semicolon = r#"^"(?:[^"\\]|\\.)*\\".*\x3b"#;
    regex(&format!("{escaped_backslash}|{semicolon}"))
});
static UNSURE_NAME: LazyLock<Regex> = LazyLock::new(|| regex(r#"^"(?:[^"\\]|\\.)*\\[^"\\]"#));

/// The models of a body; `None` if it is refused.
pub(super) fn models(name: &str, duplicates: Duplicates, body: &[u8]) -> Option<Vec<Model>> {
    let dash_boundary = [b"--", name.as_bytes()].concat();
    let mut at = find(body, &dash_boundary, 0)?;
    if at != 0 && !body[..at].ends_with(b"\r\n") {
        return None;
    }
    let mut models = Vec::new();
    loop {
        at += dash_boundary.len();
        match body.get(at..at + 2)? {
            b"--" if find(body, &dash_boundary, at + 2).is_some() => return None,
            b"--" => break,
            b"\r\n" if body[at..].starts_with(b"\r\n\r\n") => return None,
            b"\r\n" => at += 2,
            _ => return None,
        }
        let head = at..find(body, b"\r\n\r\n", at)?;
        if head.len() + 4 > MAX_HEAD {
            return None;
        }
        let start = head.end + 4;
        let end = data_end(body, &dash_boundary, start)?;
        match read_head(&body[head])? {
            Named::Other => {}
            Named::Charset if CHARSET.is_match(&body[start..end]) => {}
            Named::Charset => return None,
            Named::Model(content) => models.push(model(body, start..end, content)?),
        }
        at = end + 2;
    }
    let allowed = match duplicates {
        Duplicates::Refuse => 1..=1,
        Duplicates::Keep => 1..=MAX_MODELS,
    };
    allowed.contains(&models.len()).then_some(models)
}

fn find(body: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let rest = body.get(from..)?;
    let at = rest
        .windows(wanted.len())
        .position(|window| window == wanted)?;
    Some(from + at)
}

fn data_end(body: &[u8], dash_boundary: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        at = find(body, dash_boundary, at)?;
        match &body[start..at] {
            data if data.ends_with(b"\r\n") => return Some(at - 2),
            [] | [.., b'\r' | b'\n'] => return None,
            _ => at += 1,
        }
    }
}

enum Named {
    Other,
    Charset,
    /// How its data is to be read.
    Model(Content),
}

/// What the field is; `None` if the body is refused for its head.
fn read_head(head: &[u8]) -> Option<Named> {
    let mut headers = HashMap::new();
    let single = [
        "content-disposition",
        "content-type",
        "content-transfer-encoding",
    ];
    let mut rest = head;
    loop {
        let end = find(rest, b"\r\n", 0).unwrap_or(rest.len());
        let header = HEADER.captures(&rest[..end])?;
        let name = String::from_utf8(header["name"].to_ascii_lowercase()).unwrap();
        if name.starts_with("--") {
            return None;
        }
        let again = headers.insert(name.clone(), header.name("value")?.as_bytes());
        if again.is_some() && single.contains(&&*name) {
            return None;
        }
        match rest.get(end + 2..) {
            Some(lines) => rest = lines,
            None => break,
        }
    }
    let disposition = DISPOSITION.captures(headers.get("content-disposition")?)?;
    let name = &disposition["name"];
    let params = params(&disposition)?;
    let mut names: Vec<_> = params.iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    if names.len() < params.len() || UNSURE_NAME.is_match(name) || UNSURE_END.is_match(name) {
        return None;
    }
    if std::str::from_utf8(name)
        .is_ok_and(|name| name.trim_matches('"').trim() != name.trim_matches('"'))
    {
        return None;
    }
    let content = match NAMES.captures(name) {
        None => return Some(Named::Other),
        Some(_) => content(&headers, !params.is_empty())?,
    };
    Some(match content {
        content if name.ends_with(b"model") || name.ends_with(b"model\"") => Named::Model(content),
        Content::Opaque => return None,
        _ => Named::Charset,
    })
}

fn content(headers: &HashMap<String, &[u8]>, is_file: bool) -> Option<Content> {
    let encoding = headers.get("content-transfer-encoding");
    let is_encoded = encoding.is_some_and(|value| !IDENTITY.is_match(value));
    if is_file || is_encoded || headers.contains_key("content-encoding") {
        return Some(Content::Opaque);
    }
    let params = match headers.get("content-type") {
        Some(value) => self::params(&CONTENT_TYPE.captures(value)?)?,
        None => Vec::new(),
    };
    let charsets = || params.iter().filter(|(name, _)| name == b"charset");
    Some(match () {
        () if charsets().all(|(_, value)| UTF8.is_match(value)) => Content::Utf8,
        () if charsets().all(|(_, value)| ASCII.is_match(value)) => Content::Ascii,
        () => Content::Opaque,
    })
}

/// The parameters in the group `params`, their names in lower case.
fn params(captures: &Captures<'_>) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut params = Vec::new();
    let mut rest = &captures["params"];
    while let Some(param) = PARAM.captures(rest) {
        if UNSURE_END.is_match(&param["value"]) {
            return None;
        }
        params.push((param["name"].to_ascii_lowercase(), param["value"].to_vec()));
        rest = &rest[param[0].len()..];
    }
    Some(params)
}

fn model(body: &[u8], range: Range<usize>, content: Content) -> Option<Model> {
    let data = &body[range.clone()];
    if content != Content::Opaque && data.len() > MAX_NAME {
        return None;
    }
    let is_text = match content {
        Content::Utf8 => !data.starts_with(b"\xef\xbb\xbf"),
        Content::Ascii => data.is_ascii(),
        Content::Opaque => false,
    };
    let value = match String::from_utf8(data.to_vec()) {
        Ok(name) if is_text => Value::Name(name),
        _ => Value::NotAString,
    };
    let span = range.start as u64..range.end as u64;
    Some(Model { span, value })
}

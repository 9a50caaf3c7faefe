//! Splits a file's text into its documents.

use serde::de::IgnoredAny;

/// One document of a file, and where in the file it begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Document<'t> {
    pub(crate) text: &'t str,
    /// Counted from 1; documents without content do not count, as for kubectl.
    pub(crate) number: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// Why it can't be read, where that is known already: a message, line and column.
    pub(crate) error: Option<(String, u32, u32)>,
}

/// Splits a file at its `---` and `...` lines, and JSON after each value.
///
/// Each document is then read by itself, so that a mistake in one does not
/// hide those in the others. A document that begins with `{` is JSON, as for
/// kubectl: YAML parsers take the first value of several and drop the rest.
pub(crate) fn documents(text: &str) -> Vec<Document<'_>> {
    let mut found = Vec::new();
    let (mut start, mut first_line) = (0, 1);
    let (mut offset, mut line) = (0, 1);
    for row in rows(text) {
        let next = offset + row.len();
        if is_marker(row, "---") {
            add(&mut found, &text[start..offset], first_line);
            (start, first_line) = (offset, line);
        } else if is_marker(row, "...") {
            add(&mut found, &text[start..offset], first_line);
            (start, first_line) = (next, line + 1);
        }
        (offset, line) = (next, line + 1);
    }
    add(&mut found, &text[start..], first_line);
    found
}

/// The lines with their ends: for YAML a carriage return alone ends one, too.
fn rows(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let ends = rest.find(['\r', '\n']).map(|end| match &rest[end..] {
            tail if tail.starts_with("\r\n") => end + 2,
            _ => end + 1,
        });
        let (row, after) = rest.split_at(ends.unwrap_or(rest.len()));
        rest = after;
        (!row.is_empty()).then_some(row)
    })
}

/// A marker is one only at a line's start and before white space.
fn is_marker(row: &str, marker: &str) -> bool {
    row.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn add<'t>(found: &mut Vec<Document<'t>>, text: &'t str, line: u32) {
    let Some(content) = first_content(text) else {
        return;
    };
    if !text[content..].starts_with('{') {
        let number = number(found);
        found.push(Document {
            text,
            number,
            line,
            column: 1,
            error: None,
        });
        return;
    }
    add_json(found, text, content, line);
}

fn add_json<'t>(found: &mut Vec<Document<'t>>, text: &'t str, content: usize, line: u32) {
    let mut start = content;
    let mut values = serde_json::Deserializer::from_str(&text[content..]).into_iter::<IgnoredAny>();
    while let Some(value) = values.next() {
        let end = content + values.byte_offset();
        let piece = match value {
            Ok(_) => &text[start..end],
            Err(_) => &text[start..],
        };
        let blank = piece.len() - piece.trim_start().len();
        let (first_line, column) = position(text, start + blank, line);
        let error = value.err().map(|error| {
            let (line_of, column_of) = position(text, content, line);
            let at_column = if error.line() == 1 { column_of - 1 } else { 0 };
            (
                reason(&error),
                line_of + as_u32(error.line()).saturating_sub(1),
                at_column + as_u32(error.column()).max(1),
            )
        });
        let number = number(found);
        found.push(Document {
            text: piece.trim_start(),
            number,
            line: first_line,
            column,
            error,
        });
        start = end;
    }
}

/// serde_json puts the place behind the reason.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    format!("this is not valid JSON: {reason}")
}

/// The line and column of an offset in a text that begins in `line`.
fn position(text: &str, offset: usize, line: u32) -> (u32, u32) {
    let before = &text[..offset];
    let ended = rows(before).filter(|row| row.ends_with(['\r', '\n']));
    let last = rows(before).last().unwrap_or_default();
    let column = match last.ends_with(['\r', '\n']) {
        true => 0,
        false => last.chars().count(),
    };
    (line + as_u32(ended.count()), as_u32(column) + 1)
}

/// The offset of the first content: not white space, a comment, a directive or a marker.
fn first_content(text: &str) -> Option<usize> {
    let mut offset = 0;
    for row in rows(text) {
        let from = if is_marker(row, "---") { 3 } else { 0 };
        let rest = row[from..].trim_start();
        if !rest.is_empty() && !rest.starts_with('#') && !row.starts_with('%') {
            return Some(offset + row.len() - rest.len());
        }
        offset += row.len();
    }
    None
}

fn number(found: &[Document<'_>]) -> u32 {
    as_u32(found.len()) + 1
}

pub(crate) fn as_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(&str, u32, u32)> {
        documents(text)
            .into_iter()
            .map(|document| (document.text.trim_end(), document.line, document.column))
            .collect()
    }

    #[test]
    fn documents_without_content_do_not_count() {
        assert_eq!(split(""), []);
        assert_eq!(split("# only\n---\n---\n  \n...\n"), []);
        assert_eq!(
            split("%YAML 1.2\n---\na: 1\n--- # two\nb: 2\n...\nc: 3"),
            [
                ("---\na: 1", 2, 1),
                ("--- # two\nb: 2", 4, 1),
                ("c: 3", 7, 1)
            ]
        );
        assert_eq!(
            split("a: 1\r\n---\r\nb: 2\r\n"),
            [("a: 1", 1, 1), ("---\r\nb: 2", 2, 1)]
        );
        assert_eq!(split("a: |\n  ---\n---x: 1\n").len(), 1);
    }

    #[test]
    fn json_values_are_documents_however_they_are_laid_out() {
        assert_eq!(
            split("{\"a\": 1} {\"b\": 2}"),
            [("{\"a\": 1}", 1, 1), ("{\"b\": 2}", 1, 10)]
        );
        assert_eq!(split("\n{\n}\n\n  {}\n"), [("{\n}", 2, 1), ("{}", 5, 3)]);
    }

    #[test]
    fn json_that_is_damaged_says_where() {
        let found = documents("{\"a\": 1}\n{\"b\" 2}\n");
        let (reason, line, column) = found[1].error.clone().unwrap();
        assert_eq!((line, column), (2, 6));
        assert!(reason.contains("expected `:`"), "{reason}");
        assert!(documents("{\"a\": 1} x")[1].error.is_some());
    }
}

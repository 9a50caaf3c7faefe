//! Asking for usage where a client has not.

use std::ops::Range;

use bytes::Bytes;

use super::json::Json;
use crate::pieces::Edit;

/// The edit to the body of a chat or completion that has its stream end with the usage; `None` if it
/// asks for no stream, asks for the usage itself, or is not to be understood in one way only.
pub(crate) fn ask_for_usage(body: &[u8]) -> Option<Edit> {
    let mut json = Json::new(body);
    let at = |json: &Json<'_>| body.len() - json.left();
    let is_object = json.peek()? == b'{';
    let start = at(&json);
    let mut stream = None;
    let mut options = None;
    let mut is_clear = is_object;
    json.object(|key, value| match key {
        b"stream" => {
            let is_true = value.peek()? == b't';
            is_clear &= stream.replace(is_true).is_none();
            value.skip()
        }
        b"stream_options" => {
            let kind = value.peek()?;
            let begin = at(value);
            let inner = match kind {
                b'{' => Options::read(body, value)?,
                _ => {
                    value.skip()?;
                    match kind {
                        b'n' => Options::Null(begin..at(value)),
                        _ => Options::Unclear,
                    }
                }
            };
            is_clear &= options.replace(inner).is_none();
            Some(())
        }
        _ => value.skip(),
    })?;
    if !is_clear || stream != Some(true) {
        return None;
    }
    let (span, value): (_, &[u8]) = match options {
        None => (
            start..start + 1,
            br#"{"stream_options":{"include_usage":true},"#,
        ),
        Some(Options::Null(span)) => (span, br#"{"include_usage":true}"#),
        Some(Options::Empty(start)) => (start..start + 1, br#"{"include_usage":true"#),
        Some(Options::Others(start)) => (start..start + 1, br#"{"include_usage":true,"#),
        Some(Options::Refused(span)) => (span, b"true"),
        Some(Options::Asked | Options::Unclear) => return None,
    };
    Some(Edit {
        span: span.start as u64..span.end as u64,
        value: Bytes::from_static(value),
    })
}

/// What `stream_options` says about usage.
enum Options {
    /// It is null, at this place.
    Null(Range<usize>),
    /// It is an object that begins here, without a member.
    Empty(usize),
    /// It is an object that begins here, and says nothing about usage.
    Others(usize),
    /// The body asks here for no usage.
    Refused(Range<usize>),
    /// There is to be usage.
    Asked,
    Unclear,
}

impl Options {
    fn read(body: &[u8], value: &mut Json<'_>) -> Option<Self> {
        let at = |json: &Json<'_>| body.len() - json.left();
        let start = at(value);
        let mut found = Self::Empty(start);
        value.object(|key, value| {
            let kind = value.peek()?;
            let begin = at(value);
            value.skip()?;
            found = match (key, &found, kind) {
                // It would begin where there is usage, and be in events that the client gets.
                (b"continuous_usage_stats", _, b't') => Self::Unclear,
                (b"include_usage", Self::Empty(_) | Self::Others(_), b't') => Self::Asked,
                (b"include_usage", Self::Empty(_) | Self::Others(_), b'f' | b'n') => {
                    Self::Refused(begin..at(value))
                }
                (b"include_usage", ..) => Self::Unclear,
                (_, Self::Empty(start), _) => Self::Others(*start),
                _ => return Some(()),
            };
            Some(())
        })?;
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn asked(body: &str) -> Option<String> {
        let edit = ask_for_usage(body.as_bytes())?;
        let (start, end) = (edit.span.start as usize, edit.span.end as usize);
        let value = std::str::from_utf8(&edit.value).unwrap();
        Some([&body[..start], value, &body[end..]].concat())
    }

    #[test]
    fn nothing_but_the_option_changes() {
        for body in [
            r#"{"stream":true}"#,
            r#" { "model" : "m" , "stream" : true } "#,
            r#"{"stream":true,"stream_options":null}"#,
            r#"{"stream_options":{},"stream":true}"#,
            r#"{"stream":true,"stream_options" : { } }"#,
            r#"{"stream":true,"stream_options":{"continuous_usage_stats":false}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":false,"x":[1]}}"#,
            r#"{"stream":true,"stream_options":{"x":1,"include_usage" : null}}"#,
            "\u{feff}{\"stream\":true}",
        ] {
            let after = asked(body).unwrap();
            let parse = |text: &str| -> Value {
                serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap()
            };
            let (mut before, mut after) = (parse(body), parse(&after));
            assert_eq!(after["stream_options"]["include_usage"], true, "{body}");
            let without = |value: &mut Value| {
                if let Some(options) = value["stream_options"].as_object_mut() {
                    options.remove("include_usage");
                }
                let options = value.as_object_mut().unwrap().remove("stream_options");
                options.filter(|options| options.as_object().is_some_and(|it| !it.is_empty()))
            };
            assert_eq!(without(&mut after), without(&mut before), "{body}");
            assert_eq!(after, before, "{body}");
        }
    }

    #[test]
    fn it_is_left_alone_where_the_client_asks_or_it_is_not_clear() {
        for body in [
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"stream":false}"#,
            r#"{}"#,
            r#"{"x":{"stream":true}}"#,
            r#"{"stream":true,"stream":true}"#,
            r#"{"stream":true,"stream_options":{},"stream_options":{}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":false,"include_usage":false}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":1}}"#,
            r#"{"stream":true,"stream_options":[]}"#,
            r#"{"stream":true,"stream_options":{"continuous_usage_stats":true}}"#,
            r#"{"stream":true,"stream_options":{"continuous_usage_stats":true,"include_usage":false}}"#,
            r#"{"stream":true"#,
            r#"[{"stream":true}]"#,
            "",
        ] {
            assert_eq!(asked(body), None, "{body}");
        }
    }
}

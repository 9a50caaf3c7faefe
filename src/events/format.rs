use http::HeaderMap;

/// How an answer's bytes are cut into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Server-sent events, as WHATWG's HTML standard has them (section 9.2.6): `text/event-stream`.
    Sse,
    /// A JSON value a line: `application/x-ndjson`, `application/jsonl`, both with and without `x-`.
    Ndjson,
    /// One JSON value, which is one event, at its end. In Gemini's dialect each element of an array
    /// is an event: so it streams without `alt=sse`.
    Json,
    /// Anything else, and what is compressed. Its bytes are no events.
    Opaque,
}

impl Format {
    /// The format that an answer's head tells.
    pub fn of(headers: &HeaderMap) -> Self {
        // In one pass: answers have few fields, and to look one up takes as long as to pass eight by.
        let (mut content_type, mut is_plain) = (None, true);
        for (name, value) in headers {
            match name.as_str() {
                "content-type" => content_type = content_type.or(Some(value)),
                "content-encoding" => {
                    is_plain &= value.as_bytes().eq_ignore_ascii_case(b"identity")
                }
                _ => {}
            }
        }
        if !is_plain {
            return Self::Opaque;
        }
        let value = content_type.map_or(&b""[..], |value| value.as_bytes());
        if value == b"application/json" {
            return Self::Json;
        }
        let media_type = value.split(|&byte| byte == b';').next().unwrap_or_default();
        let is = |name: &str| {
            media_type
                .trim_ascii()
                .eq_ignore_ascii_case(name.as_bytes())
        };
        if is("text/event-stream") {
            Self::Sse
        } else if [
            "application/x-ndjson",
            "application/ndjson",
            "application/jsonl",
            "application/x-jsonl",
        ]
        .into_iter()
        .any(is)
        {
            Self::Ndjson
        } else if is("application/json") {
            Self::Json
        } else {
            Self::Opaque
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

    use super::*;

    #[test]
    fn the_content_type_tells_the_format_unless_it_is_compressed() {
        for (content_type, encoding, format) in [
            ("text/event-stream; charset=utf-8", "identity", Format::Sse),
            ("TEXT/Event-Stream", "Identity", Format::Sse),
            ("text/event-stream", "gzip", Format::Opaque),
            ("application/x-ndjson", "identity", Format::Ndjson),
            ("application/x-jsonl", "identity", Format::Ndjson),
            ("application/json;charset=utf-8", "identity", Format::Json),
            ("audio/mpeg", "identity", Format::Opaque),
            ("", "identity", Format::Opaque),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            headers.insert(CONTENT_ENCODING, encoding.parse().unwrap());
            assert_eq!(Format::of(&headers), format, "{content_type} {encoding}");
        }
        assert_eq!(Format::of(&HeaderMap::new()), Format::Opaque);
    }
}

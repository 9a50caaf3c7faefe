//! How a stream ended.

use super::read::{hear_every_way, sse};
use crate::events::{Dialect, End, Format, Kinds, Reader};

#[test]
fn a_stream_ends_with_its_finish_or_terminal() {
    let content = r#"data: {"choices":[{"delta":{"content":"x"}}]}"#;
    let finish = r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    for (text, end) in [
        (String::new(), End::Empty),
        ("\n\n".into(), End::Empty),
        (": ping\n\n: pi".into(), End::Empty),
        (format!("{content}\n\n"), End::Unterminated),
        (format!("{content}\n\n: ping\n\n"), End::Unterminated),
        (format!("{content}\n\n\n"), End::Unterminated),
        (format!("{content}\n"), End::Unterminated),
        (content.into(), End::Unterminated),
        (format!("{content}\n\ndat"), End::Truncated),
        (format!("{content}\n\ndata: "), End::Truncated),
        (format!("{content}\n\ndata: {{\"choices"), End::Truncated),
        (format!("{finish}\n\n"), End::Complete),
        (format!("{finish}\n\ndata: {{\"usage"), End::Complete),
        (finish.into(), End::Complete),
        (format!("{content}\n\ndata: [DONE]\n\n"), End::Complete),
        (format!("{content}\n\ndata: [DONE]\n"), End::Complete),
        (format!("{content}\n\ndata: [DONE]"), End::Complete),
        (format!("{content}\n\ndata: [DON"), End::Truncated),
    ] {
        let heard = hear_every_way(&sse(Dialect::Chat), text.as_bytes());
        assert_eq!(heard.end, end, "{text:?}");
    }
}

#[test]
fn where_no_terminal_is_known_a_clean_end_is_an_end() {
    for (text, end) in [
        ("", End::Empty),
        ("data: {\"a\":1}\n\n", End::Complete),
        ("data: {\"a\":1}", End::Complete),
        ("data: {\"a\":1}\n\ndata: {\"a\"", End::Truncated),
    ] {
        let heard = hear_every_way(&sse(Dialect::Other), text.as_bytes());
        assert_eq!(heard.end, end, "{text:?}");
    }
}

#[test]
fn lines_and_documents() {
    for (dialect, format, text, kinds, end) in [
        (Dialect::Chat, Format::Json, "", vec![], End::Empty),
        (
            Dialect::Chat,
            Format::Json,
            "{\"a\":",
            vec![],
            End::Truncated,
        ),
        (
            Dialect::Chat,
            Format::Json,
            " {} ",
            vec![Kinds::TERMINAL],
            End::Complete,
        ),
        (
            Dialect::Chat,
            Format::Json,
            "x{}",
            vec![Kinds::MALFORMED],
            End::Unterminated,
        ),
        (
            Dialect::Other,
            Format::Json,
            "12",
            vec![Kinds::CONTENT],
            End::Complete,
        ),
        (
            Dialect::Other,
            Format::Json,
            "[[1],[2]]",
            vec![Kinds::CONTENT],
            End::Complete,
        ),
        (
            Dialect::Gemini,
            Format::Json,
            "[{}",
            vec![Kinds::METADATA],
            End::Truncated,
        ),
        (Dialect::Gemini, Format::Json, "[]", vec![], End::Empty),
        (
            Dialect::Gemini,
            Format::Json,
            "[{},{}]",
            vec![Kinds::METADATA; 2],
            End::Complete,
        ),
        (
            Dialect::Gemini,
            Format::Json,
            "[{},x{}]",
            vec![Kinds::METADATA, Kinds::MALFORMED],
            End::Unterminated,
        ),
        (
            Dialect::Ollama,
            Format::Ndjson,
            "{}\n{",
            vec![Kinds::METADATA],
            End::Truncated,
        ),
        (
            Dialect::Ollama,
            Format::Ndjson,
            "{\n{}\n",
            vec![Kinds::MALFORMED, Kinds::METADATA],
            End::Unterminated,
        ),
    ] {
        let heard = hear_every_way(&Reader::new(dialect, format), text.as_bytes());
        let mut expected = kinds.clone();
        if dialect == Dialect::Other {
            expected = vec![Kinds::CONTENT | Kinds::TERMINAL];
        }
        assert_eq!((heard.kinds(), heard.end), (expected, end), "{text:?}");
    }
}

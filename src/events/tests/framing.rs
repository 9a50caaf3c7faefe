//! How bytes are cut into events.

use super::read::{CONTENT, ERROR, MALFORMED, METADATA, PING, TERMINAL, hear_every_way, sse};
use crate::events::hear::hear;
use crate::events::{Dialect, Format, Kinds, Reader};

const CHUNK: &str = r#"{"choices":[{"delta":{"content":"x"}}]}"#;

#[test]
fn every_spelling_of_lines_and_fields() {
    for (text, kinds) in [
        ("data: C\n\n", vec![CONTENT]),
        ("data:C\r\n\r\n", vec![CONTENT]),
        ("data: C\r\r", vec![CONTENT]),
        ("data: C\r\n\n", vec![CONTENT]),
        ("\u{feff}data: C\n\n", vec![CONTENT]),
        ("\u{feff}: hi\n\n", vec![PING]),
        ("\n\n\ndata: C\n\n\n\n", vec![CONTENT]),
        (": a\n: b\n\n:\n\n", vec![PING, PING]),
        (": a\ndata: C\n\n", vec![CONTENT]),
        (
            "id: 1\nretry: 5\nevent: x\ndata: C\nother\n\n",
            vec![CONTENT],
        ),
        ("retry: 5\n\n", vec![PING]),
        ("data\n\ndata:\n\ndata: \n\n", vec![PING; 3]),
        ("data: [DONE]\n\n", vec![TERMINAL]),
        ("data:[DONE] \n\n", vec![TERMINAL]),
        ("data: [DONE\n\n", vec![MALFORMED]),
        ("data: [DONE]x\n\n", vec![TERMINAL | MALFORMED]),
        ("xdata: C\ndata : C\n\n", vec![PING]),
        ("data: hello\n\n", vec![MALFORMED]),
        ("data: C C\n\n", vec![CONTENT | MALFORMED]),
        ("event: error\ndata: x\n\n", vec![ERROR | MALFORMED]),
        ("event: error\n\n", vec![ERROR]),
        ("event:ping\ndata: {}\n\n", vec![PING]),
        ("event: ping\nevent: other\ndata: {}\n\n", vec![METADATA]),
    ] {
        let text = text.replace('C', CHUNK);
        let heard = hear_every_way(&sse(Dialect::Chat), text.as_bytes());
        assert_eq!(heard.kinds(), kinds, "{text:?}");
    }
}

#[test]
fn data_of_several_lines_is_one() {
    let text = "data: {\"choices\":[\ndata:{\"delta\":\r\ndata: {\"content\":\"x\"}}]}\n\n";
    let heard = hear_every_way(&sse(Dialect::Chat), text.as_bytes());
    assert_eq!(heard.kinds(), [Kinds::CONTENT]);
    // No string goes on behind the end of a line.
    for text in [
        "data: {\"choices\":[{\"delta\":{\"content\":\"x\ndata: y\"}}]}\n\n",
        "data: {\"cho\ndata: ices\":[]}\n\n",
        "data: {\"x\":[\"\ndata: \"]}\n\n",
    ] {
        let heard = hear_every_way(&sse(Dialect::Chat), text.as_bytes());
        assert!(heard.events[0].is(Kinds::MALFORMED), "{text}");
    }
}

#[test]
fn an_event_that_only_looks_like_the_last_is_parsed() {
    let event = |text| format!("data: {}\n\n", CHUNK.replace('x', text));
    for (text, kinds) in [
        ("y", CONTENT),
        ("", METADATA),
        ("\\", MALFORMED),
        ("\\\\", CONTENT),
        ("y\\", MALFORMED),
        (
            "y\"}}],\"usage\":{\"prompt_tokens\":1},\"x\":[{\"x\":{\"y\":\"",
            CONTENT | Kinds::USAGE,
        ),
        (
            "y\"},\"finish_reason\":\"stop\",\"x\":{\"y\":\"",
            CONTENT | Kinds::FINISH,
        ),
    ] {
        let heard = hear_every_way(&sse(Dialect::Chat), (event("x") + &event(text)).as_bytes());
        assert!(heard.kinds()[1].has(kinds), "{text}: {:?}", heard.kinds());
    }
}

#[test]
fn an_events_bytes_can_be_cut_out() {
    let chunk = |text| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}");
    for end in ["\n\n", "\r\n\r\n", "\r\r"] {
        let [a, b, c] = ["a", "b", "c"].map(|text| chunk(text) + end);
        let whole = format!("{a}{b}{c}");
        let heard = hear(sse(Dialect::Chat), [whole.as_bytes()]);
        let cut = heard.events[1].start as usize..heard.events[1].end as usize;
        let left = whole[..cut.start].to_owned() + &whole[cut.end..];
        assert_eq!(left, format!("{a}{c}"));
    }
}

#[test]
fn what_is_no_format_of_events_is_only_counted() {
    let mut reader = Reader::new(Dialect::Chat, Format::Opaque);
    let mut rest = &b"data: [DONE]\n\n"[..];
    assert_eq!(reader.next(&mut rest), None);
    assert_eq!((reader.bytes(), rest.len()), (14, 0));
}

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::{
    oracle,
    read::{hear_every_way, sse},
};
use crate::events::hear::hear;
use crate::events::{Dialect, Format, MAX_TEMPLATE, Reader};

fn dialects() -> impl Strategy<Value = Dialect> {
    select(vec![
        Dialect::Chat,
        Dialect::Messages,
        Dialect::Gemini,
        Dialect::Other,
    ])
}

fn formats() -> impl Strategy<Value = Format> {
    select(vec![Format::Sse, Format::Ndjson, Format::Json])
}

/// Pieces of streams, as they may be and as they may not.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let known: &[&[u8]] = &[
        b"data: ",
        b"data:",
        b"event: error",
        b"event: ping",
        b": c",
        b"\n",
        b"\r\n",
        b"\r",
        b"\n\n",
        b"[DONE]",
        b"{\"choices\":[{\"delta\":{\"content\":\"",
        b"\"}}]}",
        b"\"},\"finish_reason\":\"stop\"}]}",
        b"{\"error\":{\"code\":503,\"message\":\"",
        b"\"}}",
        b"{\"type\":\"message_stop\"}",
        b"{\"done\":true,\"eval_count\":12",
        b"x",
        b"\"",
        b"\\",
        b"\\u0063",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"-1e5",
        b"null",
        b"\xef\xbb\xbf",
        b"\xff",
    ];
    let known = select(known.to_vec()).prop_map(<[u8]>::to_vec);
    let any = prop_oneof![9 => known, 1 => vec(any::<u8>(), 0..4)];
    vec(any, 0..40).prop_map(|pieces| pieces.concat())
}

/// A JSON object with the keys that matter and others.
fn objects() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just(String::new()),
        "[ -~]{0,12}",
        ".{0,4}",
        select(vec![
            "error",
            "ping",
            "message_start",
            "message_stop",
            "message-start",
            "message-end",
            "tool_use",
            "text"
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        3 => text.prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f32>().prop_map(|number| json!(number)),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    let value = leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            1 => vec(inner.clone(), 0..3).prop_map(Value::from),
            4 => object(inner),
        ]
    });
    object(value)
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    vec((select(oracle::keys()), value), 0..5).prop_map(|members| {
        let members = members
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        Value::from(members.collect::<Map<_, _>>())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_chunking_gives_the_same_events(
        dialect in dialects(),
        format in formats(),
        bytes in fragments(),
        cuts in vec(1..20_usize, 1..8),
    ) {
        let reader = Reader::new(dialect, format);
        let whole = hear(reader.clone(), [&bytes[..]]);
        prop_assert_eq!(&hear(reader.clone(), bytes.chunks(1)), &whole);
        prop_assert_eq!(&hear(reader.clone().parsing(), [&bytes[..]]), &whole);
        let mut chunks = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.into_iter().cycle() {
            let (chunk, after) = rest.split_at(cut.min(rest.len()));
            chunks.push(chunk);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(&hear(reader, chunks), &whole);
    }

    #[test]
    fn an_event_is_what_its_tree_says(values in vec((objects(), any::<bool>()), 1..4)) {
        let mut text = String::new();
        for (value, is_pretty) in &values {
            match is_pretty {
                true => {
                    for line in serde_json::to_string_pretty(value).unwrap().lines() {
                        text += &format!("data: {line}\r\n");
                    }
                    text += "\r\n";
                }
                false => text += &format!("data: {value}\n\n"),
            }
        }
        let expected: Vec<_> = values.iter().map(|(value, _)| oracle::kinds(value)).collect();
        let heard = hear(sse(Dialect::Chat), [text.as_bytes()]);
        prop_assert_eq!(heard.kinds(), expected, "{}", text);
    }

}

proptest! {
    // Each is read once for every byte of it.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn an_event_like_the_last_is_read_as_if_it_were_not(
        texts in vec("[a-c\"\\\\ \u{e9}\n]{0,40}", 1..12),
        numbers in vec(any::<u64>(), 4),
        ends in select(vec!["\n\n", "\r\n\r\n", "\r\r"]),
        lines in any::<bool>(),
    ) {
        let format = if lines { Format::Ndjson } else { Format::Sse };
        let mut stream = String::new();
        for (n, text) in texts.iter().enumerate() {
            let number = numbers[n % numbers.len()] >> (n * 7 % 64);
            let choices = json!([{"index": n % 3, "delta": {"content": text}}]);
            let usage = json!({"prompt_tokens": 7, "completion_tokens": number});
            // Every third is not like the one before.
            let chunk = json!({"id": n / 3, "created_at": text, "choices": choices, "usage": usage});
            stream += &match lines {
                true => format!("{chunk}\n"),
                false => format!("data: {chunk}{ends}"),
            };
        }
        hear_every_way(&Reader::new(Dialect::Chat, format), stream.as_bytes());
    }
}

/// Streams that never end an event.
#[test]
fn memory_is_bounded_whatever_arrives() {
    const SIZE: usize = 16 << 20;
    assert!(size_of::<Reader>() <= 320, "{}", size_of::<Reader>());
    let chunk = |byte: &[u8]| byte.repeat(4096 / byte.len());
    for format in [Format::Sse, Format::Ndjson, Format::Json] {
        for (start, more) in [
            ("data: {\"a\":", &b"["[..]),
            ("data: [", b"["),
            ("data: {\"choices\":", b"["),
            ("data: {\"choices\":[{\"delta\":{\"content\":\"", b"x"),
            ("data: {\"choices\":[{\"delta\":{\"content\":\"", b"\\\""),
            ("data: {\"error\":{\"message\":\"", b"\\u0065"),
            ("data: {\"error\":{\"code\":\"", b"x"),
            ("data: {\"", b"x"),
            ("data: {\"type\":\"", b"\\n"),
            ("data: {\"usage\":{\"prompt_tokens\":", b"9"),
            ("data: {", b"\"a\":{},"),
            ("event: ", b"x"),
            (": ", b"x"),
            ("", b"x"),
            ("", b"x\n"),
            ("", b"\n"),
            ("", b"\r"),
            ("", b"data: {\"error\":\"x\"}\n\n"),
            ("", b"{\"error\":\"x\"},"),
        ] {
            let start = match format {
                Format::Sse => start,
                _ => start.strip_prefix("data: ").unwrap_or(start),
            };
            let chunk = chunk(more);
            let used = allocation_counter::measure(|| {
                let mut reader = Reader::new(Dialect::Gemini, format);
                let mut feed = |mut rest: &[u8]| while reader.next(&mut rest).is_some() {};
                feed(start.as_bytes());
                for _ in 0..SIZE / 4096 / 16 {
                    feed(&chunk);
                }
            });
            let bound = MAX_TEMPLATE as u64 + 8 * 1024;
            assert!(used.bytes_max < bound, "{start}: {used:?}");
        }
    }
}

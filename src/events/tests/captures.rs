//! What a real vLLM sent, whole and split at every byte.

use super::read::{CONTENT, ERROR, FINISH, METADATA, PING, START, TERMINAL, USAGE, hear_every_way};
use crate::events::hear::Heard;
use crate::events::{Dialect, End, Format, Kinds, Reader, Usage};

macro_rules! capture {
    ($name:literal, $dialect:ident) => {
        capture!($name, $dialect, Sse)
    };
    ($name:literal, $dialect:ident, $format:ident) => {{
        let answer = include_bytes!(concat!("captures/", $name));
        hear_every_way(&Reader::new(Dialect::$dialect, Format::$format), answer)
    }};
}

fn tokens(heard: &Heard) -> [Option<u64>; 4] {
    let Usage {
        input,
        output,
        total,
        cached,
        ..
    } = heard.usage;
    [input, output, total, cached]
}

#[test]
fn a_chat() {
    let heard = capture!("chat_stream", Chat);
    let kinds = [START, CONTENT, CONTENT, CONTENT, CONTENT, FINISH, TERMINAL];
    assert_eq!(heard.kinds(), kinds);
    assert_eq!(heard.end, End::Complete);
    assert_eq!(heard.error, None);
    assert_eq!(heard.usage, Usage::default());
    // Each has all its bytes and no other.
    let answer = include_str!("captures/chat_stream");
    for event in &heard.events {
        let bytes = &answer[event.start as usize..event.end as usize];
        assert!(
            bytes.starts_with("data: ") && bytes.ends_with("\n\n"),
            "{bytes}"
        );
    }
}

#[test]
fn a_chat_with_usage_at_its_end() {
    let heard = capture!("chat_stream_usage", Chat);
    assert_eq!(
        heard.kinds(),
        [START, CONTENT, CONTENT, FINISH, USAGE, TERMINAL]
    );
    assert_eq!(tokens(&heard), [Some(9), Some(8), Some(17), Some(0)]);
}

#[test]
fn usage_in_every_event() {
    let heard = capture!("chat_stream_continuous_usage", Chat);
    let content = CONTENT | USAGE;
    let kinds = [
        START | USAGE,
        content,
        content,
        FINISH | USAGE,
        USAGE,
        TERMINAL,
    ];
    assert_eq!(heard.kinds(), kinds);
    assert_eq!(tokens(&heard), [Some(9), Some(8), Some(17), Some(0)]);
    let heard = capture!("force_usage_chat_stream", Chat);
    let last = content | FINISH;
    assert_eq!(
        heard.kinds(),
        [START | USAGE, METADATA_WITH_USAGE, last, USAGE, TERMINAL]
    );
}

/// An empty delta.
const METADATA_WITH_USAGE: Kinds = USAGE;

#[test]
fn two_choices_and_a_tool_call() {
    let heard = capture!("chat_n2_stream", Chat);
    let kinds = [
        START,
        START,
        CONTENT,
        CONTENT,
        CONTENT,
        FINISH,
        FINISH | CONTENT,
        TERMINAL,
    ];
    assert_eq!(heard.kinds(), kinds);
    let heard = capture!("chat_tools_named_stream", Chat);
    assert_eq!(
        heard.kinds(),
        [START, CONTENT, CONTENT, CONTENT | FINISH, TERMINAL]
    );
}

#[test]
fn a_text_completion_whose_first_text_is_empty() {
    let heard = capture!("completion_stream_usage", Completions);
    let kinds = [
        METADATA,
        CONTENT,
        CONTENT,
        CONTENT,
        CONTENT | FINISH,
        USAGE,
        TERMINAL,
    ];
    assert_eq!(heard.kinds(), kinds);
    assert_eq!(tokens(&heard), [Some(3), Some(8), Some(11), Some(0)]);
}

#[test]
fn comments_while_the_request_waits() {
    let heard = capture!("keep_alive_comment", Chat);
    assert_eq!(
        heard.kinds(),
        [PING, PING, PING, PING, METADATA, CONTENT | FINISH, TERMINAL]
    );
}

#[test]
fn a_message() {
    let heard = capture!("messages_stream", Messages);
    let mut kinds = vec![START | USAGE, METADATA];
    kinds.extend([CONTENT; 5]);
    kinds.extend([METADATA, FINISH | USAGE, TERMINAL]);
    assert_eq!(heard.kinds(), kinds);
    assert_eq!(tokens(&heard), [Some(5), Some(8), None, Some(0)]);
    assert_eq!(heard.end, End::Complete);
}

#[test]
fn a_response() {
    let heard = capture!("responses_stream", Responses);
    let kinds = [
        START,
        START,
        METADATA,
        METADATA,
        CONTENT,
        CONTENT,
        CONTENT, // the whole text
        METADATA,
        METADATA,
        USAGE | TERMINAL,
    ];
    assert_eq!(heard.kinds(), kinds);
    assert_eq!(tokens(&heard), [Some(5), Some(4), Some(9), Some(0)]);
    assert_eq!(heard.usage.reasoning, Some(0));
    assert_eq!(heard.end, End::Complete);
}

#[test]
fn an_error_as_the_first_event() {
    let heard = capture!("busy_race_in_band_503", Chat);
    assert_eq!(heard.kinds(), [ERROR, TERMINAL]);
    let (status, kind, _, message) = heard.error.unwrap();
    assert_eq!((status, &*kind), (Some(503), "Service Unavailable"));
    assert!(
        message.starts_with("The engine is currently busy"),
        "{message}"
    );
}

#[test]
fn an_error_in_the_middle() {
    for heard in [
        capture!("core_killed_stream", Chat),
        capture!("core_killed_completion_stream", Completions),
    ] {
        let kinds = heard.kinds();
        let (last, before) = kinds.split_last().unwrap();
        assert_eq!((*last, before.last()), (TERMINAL, Some(&ERROR)));
        let (status, kind, ..) = heard.error.unwrap();
        assert_eq!((status, &*kind), (Some(500), "InternalServerError"));
    }
    let heard = capture!("core_killed_messages_stream", Messages);
    assert_eq!(heard.kinds().last(), Some(&ERROR));
    assert_eq!(heard.end, End::Unterminated);
    let (status, kind, _, message) = heard.error.unwrap();
    assert_eq!((status, &*kind), (Some(500), "internal_error"));
    assert!(
        message.contains("\n  Field required [type=missing"),
        "{message}"
    );
}

#[test]
fn a_stream_that_is_cut_between_events() {
    let heard = capture!("core_killed_responses_stream", Responses);
    assert_eq!(heard.kinds().last(), Some(&CONTENT));
    assert_eq!((heard.end, heard.error), (End::Unterminated, None));
}

#[test]
fn answers_in_one_piece() {
    let whole = CONTENT | USAGE | TERMINAL;
    let heard = capture!("chat", Chat, Json);
    assert_eq!(heard.kinds(), [START | whole | FINISH]);
    let heard = capture!("completion", Completions, Json);
    assert_eq!(heard.kinds(), [whole | FINISH]);
    assert_eq!(tokens(&heard), [Some(3), Some(8), Some(11), Some(0)]);
    let heard = capture!("messages", Messages, Json);
    assert_eq!(heard.kinds(), [whole | FINISH]);
    assert_eq!(tokens(&heard), [Some(5), Some(8), None, Some(0)]);
    let heard = capture!("responses", Responses, Json);
    assert_eq!(heard.kinds(), [whole]);
    assert_eq!(tokens(&heard), [Some(5), Some(8), Some(13), Some(0)]);
    assert_eq!(heard.end, End::Complete);
}

#[test]
fn other_streams_of_the_same_shapes() {
    let heard = capture!("completion_stream", Completions);
    assert_eq!(
        heard.kinds(),
        [METADATA, CONTENT, CONTENT, CONTENT | FINISH, TERMINAL]
    );
    for heard in [
        capture!("lora_A_stream", Chat),
        capture!("orca_JSON_v1_chat_completions_stream", Chat),
        capture!("orca_TEXT_v1_chat_completions_stream", Chat),
    ] {
        let kinds = heard.kinds();
        assert_eq!((kinds[0], kinds[kinds.len() - 1]), (START, TERMINAL));
        assert!(kinds[kinds.len() - 2].has(FINISH), "{kinds:?}");
    }
}

/// Its first chunk has text, and no role before it.
#[test]
fn completions_whose_head_says_more() {
    for heard in [
        capture!("orca_JSON_v1_completions_stream", Completions),
        capture!("orca_TEXT_v1_completions_stream", Completions),
    ] {
        let kinds = heard.kinds();
        assert_eq!((kinds[0], kinds[2]), (CONTENT, TERMINAL));
        assert!(kinds[1].has(FINISH), "{kinds:?}");
    }
    let heard = capture!("force_usage_completion_stream", Completions);
    let content = CONTENT | USAGE;
    assert_eq!(
        heard.kinds(),
        [content, content, content | FINISH, USAGE, TERMINAL]
    );
    assert_eq!(tokens(&heard), [Some(1), Some(3), Some(4), None]);
}

#[test]
fn errors_in_one_piece() {
    for (heard, status) in [
        (capture!("admission_503", Chat, Json), Some(503)),
        (capture!("too_long_stream", Chat, Json), Some(400)),
        (capture!("busy_messages_stream", Messages, Json), Some(503)),
        (capture!("api_key_wrong", Chat, Json), None),
    ] {
        assert_eq!(heard.kinds(), [ERROR | TERMINAL]);
        assert_eq!(heard.error.unwrap().0, status);
    }
}

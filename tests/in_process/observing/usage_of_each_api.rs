//! The usage that engines report, streamed and not, in each API, with its parts kept apart.

use axum::body::Body;
use http::Request;
use test_kit::{
    answer::Answer,
    body::script,
    engines::answers,
    table::{one_server, retries},
};
use tower_model_route::{EndKind, Usage};

use super::{End, Heard};

/// What vLLM has sent.
macro_rules! captured {
    ($name:literal) => {
        include_bytes!(concat!("../../../src/events/tests/captures/", $name))
    };
}

const SSE: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";

/// The end of a request for `path` whose answer has these bytes, in chunks of `size`.
async fn end(path: &str, content_type: &str, answer: &[u8], size: usize) -> End {
    let heard = Heard::default();
    let rig = heard.rig(one_server(1, retries(0)));
    let (feed, body) = script();
    answer.chunks(size).for_each(|chunk| _ = feed.send(chunk));
    feed.end();
    rig.engines
        .next([answers(200, body).header("content-type", content_type)]);
    let request = Request::post(path)
        .body(Body::from(r#"{"model":"asked"}"#))
        .unwrap();
    let got = Answer::of(rig.send(request).await).await;
    assert!(got.body.unwrap().starts_with(answer), "as it came");
    heard.end()
}

fn tokens(input: u64, output: impl Into<Option<u64>>) -> Usage {
    let mut usage = Usage::default();
    usage.input = Some(input);
    usage.output = output.into();
    usage
}

/// A path, a content type, an answer, and what of it is used.
type Case = (&'static str, &'static str, &'static [u8], Usage);

fn cases() -> Vec<Case> {
    let chat = "/v1/chat/completions";
    let with = |usage: Usage, change: fn(&mut Usage)| {
        let mut usage = usage;
        change(&mut usage);
        usage
    };
    let of_nine = with(tokens(9, 8), |usage| {
        usage.total = Some(17);
        usage.cached = Some(0);
        usage.cache_written = Some(0);
    });
    let of_fifteen = with(tokens(4, 6), |usage| {
        usage.total = Some(15);
        usage.reasoning = Some(5);
        usage.cached = Some(2);
    });
    vec![
        (chat, JSON, captured!("chat"), of_nine),
        (chat, SSE, captured!("chat_stream_usage"), of_nine),
        (
            chat,
            JSON,
            br#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":30,"total_tokens":50,"prompt_tokens_details":{"cached_tokens":16,"audio_tokens":2},"completion_tokens_details":{"reasoning_tokens":24,"audio_tokens":3}}}"#,
            with(tokens(20, 30), |usage| {
                usage.total = Some(50);
                usage.cached = Some(16);
                usage.input_audio = Some(2);
                usage.reasoning = Some(24);
                usage.output_audio = Some(3);
            }),
        ),
        (
            "/v1/responses",
            SSE,
            captured!("responses_stream"),
            with(tokens(5, 4), |usage| {
                usage.total = Some(9);
                usage.cached = Some(0);
                usage.cache_written = Some(0);
                usage.reasoning = Some(0);
            }),
        ),
        (
            "/v1/messages",
            SSE,
            captured!("messages_stream"),
            with(tokens(5, 8), |usage| {
                usage.cached = Some(0);
                usage.cache_written = Some(0);
            }),
        ),
        (
            "/v1/embeddings",
            JSON,
            br#"{"object":"list","data":[{"embedding":[0.1,-2e-3]}],"model":"real","usage":{"prompt_tokens":7,"total_tokens":7}}"#,
            with(tokens(7, None), |usage| usage.total = Some(7)),
        ),
        (
            "/v1/rerank",
            JSON,
            br#"{"id":"r","results":[{"index":0,"relevance_score":0.9}],"usage":{"prompt_tokens":11,"total_tokens":11}}"#,
            with(tokens(11, None), |usage| usage.total = Some(11)),
        ),
        (
            "/v2/rerank",
            JSON,
            br#"{"results":[{"index":0}],"meta":{"tokens":{"input_tokens":12,"output_tokens":0}}}"#,
            tokens(12, 0),
        ),
        (
            "/v1beta/models/asked:generateContent",
            JSON,
            br#"{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":6,"thoughtsTokenCount":5,"totalTokenCount":15,"cachedContentTokenCount":2}}"#,
            with(tokens(4, 6), |usage| {
                usage.total = Some(15);
                usage.reasoning = Some(5);
                usage.cached = Some(2);
            }),
        ),
        // As vLLM has it since 0.33.
        (
            chat,
            JSON,
            br#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"total_tokens":50,"completion_tokens":30,"prompt_tokens_details":{"cached_tokens":4,"created_cache_tokens":16,"multimodal_tokens":{"image":7}}}}"#,
            with(tokens(20, 30), |usage| {
                usage.total = Some(50);
                usage.cached = Some(4);
                usage.cache_written = Some(16);
            }),
        ),
        // As SGLang has it, and Anthropic.
        (
            chat,
            JSON,
            br#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"total_tokens":50,"completion_tokens":30,"prompt_tokens_details":null,"reasoning_tokens":24}}"#,
            with(tokens(20, 30), |usage| {
                usage.total = Some(50);
                usage.reasoning = Some(24);
            }),
        ),
        (
            "/v1/messages",
            JSON,
            br#"{"type":"message","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":{"input_tokens":20,"output_tokens":30,"output_tokens_details":{"thinking_tokens":24}}}"#,
            with(tokens(20, 30), |usage| usage.reasoning = Some(24)),
        ),
        (
            "/v1/decisions",
            JSON,
            br#"{"answers":[{"type":"predicate","probability":0.9}],"usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":3,"cache_write_tokens":4},"output_tokens":1,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":13}}"#,
            with(tokens(12, 1), |usage| {
                usage.total = Some(13);
                usage.cached = Some(3);
                usage.cache_written = Some(4);
                usage.reasoning = Some(0);
            }),
        ),
        (
            "/v1beta/interactions",
            JSON,
            br#"{"id":"int_1","status":"completed","steps":[],"usage":{"total_input_tokens":4,"total_output_tokens":6,"total_thought_tokens":5,"total_cached_tokens":2,"total_tokens":15}}"#,
            of_fifteen,
        ),
        (
            "/v1beta/interactions",
            SSE,
            b"data: {\"interaction\":{\"id\":\"int_1\",\"status\":\"in_progress\"},\"event_type\":\"interaction.created\"}\n\n\
              data: {\"index\":0,\"delta\":{\"text\":\"x\",\"type\":\"text\"},\"event_type\":\"step.delta\"}\n\n\
              data: {\"interaction\":{\"id\":\"int_1\",\"status\":\"completed\",\"usage\":{\"total_input_tokens\":4,\"total_output_tokens\":6,\"total_thought_tokens\":5,\"total_cached_tokens\":2,\"total_tokens\":15}},\"event_type\":\"interaction.completed\"}\n\n",
            of_fifteen,
        ),
        (
            "/api/chat",
            "application/x-ndjson",
            b"{\"message\":{\"content\":\"x\"},\"done\":false}\n{\"message\":{\"content\":\"\"},\"done\":true,\"prompt_eval_count\":26,\"eval_count\":298}\n",
            tokens(26, 298),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn is_read_as_the_answer_passes_however_it_is_cut() {
    for (path, content_type, answer, usage) in cases() {
        for size in [1, 7, 100, answer.len()] {
            let end = end(path, content_type, answer, size).await;
            assert_eq!(end.usage, usage, "{path} by {size}");
            assert_eq!(end.kind, EndKind::Ok);
            assert!(end.exact, "{path} by {size}");
            // Gemini counts its thoughts apart, and they are output.
            let thoughts = usage.reasoning.filter(|_| path.contains("generateContent"));
            let output = usage.output.unwrap_or(0) + thoughts.unwrap_or(0);
            assert_eq!(end.output, output, "{path}");
        }
    }
}

/// A part of an answer is not the whole bill.
#[tokio::test(start_paused = true)]
async fn before_the_end_of_the_answer_is_not_exact() {
    let whole = captured!("chat_stream_continuous_usage");
    let text = String::from_utf8_lossy(whole);
    let finish = text.find("\"finish_reason\":\"").unwrap();
    let cut = text[..finish].rfind("data:").unwrap();
    let part = end("/v1/chat/completions", SSE, &whole[..cut], 100).await;
    assert_eq!(part.kind, EndKind::Interrupted);
    assert!(!part.exact);
    let reported = part.usage.output.unwrap();
    assert!(reported > 0 && part.output >= reported);
    let whole = end("/v1/chat/completions", SSE, whole, 100).await;
    assert!(whole.exact && whole.usage.output.unwrap() > reported);
    // Nothing is reported: the events are counted.
    let silent = end("/v1/chat/completions", SSE, captured!("chat_stream"), 100).await;
    assert_eq!((silent.usage, silent.exact), (Usage::default(), false));
    assert!(silent.output > 1 && silent.output == silent.contents);
}

/// Limits estimate the rest, so nobody is told that it is all.
#[tokio::test(start_paused = true)]
async fn a_part_of_the_usage_is_not_exact() {
    let answer = |usage: &str| {
        format!(
            r#"{{"choices":[{{"message":{{"content":"x"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
        )
    };
    for (usage, output) in [
        (r#"{"prompt_tokens":7}"#, 0),
        (r#"{"prompt_tokens":7,"completion_tokens":-1}"#, 0),
        (r#"{"prompt_tokens":7,"completion_tokens":"500"}"#, 0),
        (r#"{"completion_tokens":5}"#, 5),
        (r#"{"prompt_tokens":7,"completion_tokens":16777217}"#, 0),
        (
            r#"{"prompt_tokens":18446744073709551615,"completion_tokens":5}"#,
            5,
        ),
    ] {
        let end = end("/v1/chat/completions", JSON, answer(usage).as_bytes(), 100).await;
        assert_eq!((end.exact, end.output), (false, output), "{usage}");
        let counts = [end.usage.input, end.usage.output];
        assert!(counts.iter().flatten().all(|&count| count < 10), "{usage}");
    }
    // Vectors are no output.
    let vectors = answer(r#"{"prompt_tokens":7}"#);
    assert!(
        end("/v1/embeddings", JSON, vectors.as_bytes(), 100)
            .await
            .exact
    );
}

/// 4 MiB of JSON are not kept: their usage is found behind them.
#[tokio::test(start_paused = true)]
async fn of_a_large_answer_is_found_at_its_end() {
    let numbers = "0.123456789,".repeat(350_000);
    let answer = format!(
        r#"{{"data":[{{"embedding":[{numbers}0]}}],"usage":{{"prompt_tokens":8000,"total_tokens":8000}}}}"#
    );
    let end = end("/v1/embeddings", JSON, answer.as_bytes(), 16 << 10).await;
    assert_eq!(end.usage.input, Some(8000));
    assert_eq!(end.bytes, answer.len() as u64);
}

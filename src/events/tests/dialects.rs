//! Streams of each API, as its documentation has them.

use super::read::{
    CONTENT, ERROR, FINISH, METADATA, PING, START, TERMINAL, USAGE, hear_every_way, sse,
};
use crate::events::hear::Heard;
use crate::events::{Dialect, End, Format, Reader, Usage};

/// The data of events, each with its `type` in the field `event`, if it has one.
fn stream(dialect: Dialect, data: &[&str]) -> Heard {
    let event = |data: &&str| {
        let value: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
        match value["type"].as_str() {
            Some(name) if dialect != Dialect::Chat => format!("event: {name}\ndata: {data}\n\n"),
            _ => format!("data: {data}\n\n"),
        }
    };
    let text: String = data.iter().map(event).collect();
    hear_every_way(&sse(dialect), text.as_bytes())
}

fn whole(dialect: Dialect, json: &str) -> Heard {
    hear_every_way(&Reader::new(dialect, Format::Json), json.as_bytes())
}

#[test]
fn what_a_chat_delta_says() {
    for (delta, kinds) in [
        (r#"{"role":"assistant","content":""}"#, START),
        (r#"{"role":"assistant","content":"x"}"#, START | CONTENT),
        (r#"{"content":"\n"}"#, CONTENT),
        (r#"{"content":null}"#, METADATA),
        (r#"{"content":null,"reasoning_content":"hm"}"#, CONTENT),
        (r#"{"reasoning":"hm"}"#, CONTENT),
        (r#"{"refusal":"no"}"#, CONTENT),
        (r#"{"tool_calls":[]}"#, METADATA),
        (
            r#"{"tool_calls": [ {"index":0,"function":{"arguments":"{"}}]}"#,
            CONTENT,
        ),
        (r#"{"function_call":{"name":"f"}}"#, CONTENT),
        (r#"{"audio":{"id":"a","data":"AAAA"}}"#, CONTENT),
        (r#"{"content":[{"type":"text","text":"x"}]}"#, CONTENT),
        (r#"{"co\u006etent":"x"}"#, CONTENT),
        (r#"{"other":{"content":"x"}}"#, METADATA),
        ("{}", METADATA),
        ("null", METADATA),
    ] {
        let chunk = format!(r#"{{"id":"x","choices":[{{"index":0,"delta":{delta}}}]}}"#);
        let heard = stream(Dialect::Chat, &[&chunk]);
        assert_eq!(heard.kinds(), [kinds], "{delta}");
    }
}

#[test]
fn the_last_chunk_of_some_engines_is_all_in_one() {
    let heard = stream(
        Dialect::Chat,
        &[
            r#"{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}],"usage":{
            "prompt_tokens":1,"completion_tokens":2,"total_tokens":3,
            "prompt_tokens_details":{"cached_tokens":4,"audio_tokens":5},
            "completion_tokens_details":{"reasoning_tokens":6,"audio_tokens":7}}}"#
                .replace('\n', "")
                .as_str(),
        ],
    );
    assert_eq!(heard.kinds(), [CONTENT | FINISH | USAGE]);
    assert_eq!(heard.end, End::Complete);
    let usage = Usage {
        input: Some(1),
        output: Some(2),
        total: Some(3),
        cached: Some(4),
        input_audio: Some(5),
        reasoning: Some(6),
        output_audio: Some(7),
        cache_written: None,
    };
    assert_eq!(heard.usage, usage);
}

#[test]
fn numbers_are_taken_as_given_or_not_at_all() {
    for (number, input) in [
        ("0", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("1.5", None),
        ("1e3", None),
        ("-1", None),
        ("null", None),
        ("\"7\"", None),
        ("[7]", None),
    ] {
        let chunk = format!(r#"{{"choices":[],"usage":{{"prompt_tokens":{number}}}}}"#);
        let heard = stream(Dialect::Chat, &[&chunk]);
        assert_eq!(heard.usage.input, input, "{number}");
    }
}

#[test]
fn anthropics_messages() {
    let heard = stream(
        Dialect::Messages,
        &[
            r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"stop_reason":null,"usage":{"input_tokens":25,"cache_creation_input_tokens":3,"cache_read_input_tokens":7,"output_tokens":1}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"Eqo"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":89}}"#,
            r#"{"type":"message_stop"}"#,
        ],
    );
    let kinds = [
        START | USAGE,
        METADATA,
        PING,
        CONTENT,
        METADATA,
        METADATA,
        CONTENT,
        METADATA,
        CONTENT,
        FINISH | USAGE,
        TERMINAL,
    ];
    assert_eq!(heard.kinds(), kinds);
    let usage = Usage {
        input: Some(25),
        output: Some(89),
        cached: Some(7),
        cache_written: Some(3),
        ..Usage::default()
    };
    assert_eq!(heard.usage, usage);
}

#[test]
fn coheres_chat() {
    let heard = stream(
        Dialect::Cohere,
        &[
            r#"{"type":"message-start","id":"m","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}"#,
            r#"{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I"}}}"#,
            r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Hi"}}}}"#,
            r#"{"type":"content-end","index":0}"#,
            r#"{"type":"message-end","id":"m","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":7,"output_tokens":3},"tokens":{"input_tokens":73,"output_tokens":5}}}}"#,
        ],
    );
    let kinds = [START, CONTENT, CONTENT, METADATA, FINISH | USAGE | TERMINAL];
    assert_eq!(heard.kinds(), kinds);
    assert_eq!(heard.end, End::Complete);
    let usage = Usage {
        input: Some(73),
        output: Some(5),
        ..Usage::default()
    };
    assert_eq!(heard.usage, usage);
    let heard = stream(
        Dialect::Cohere,
        &[r#"{"type":"message-end","delta":{"finish_reason":"ERROR","error":"out of memory"}}"#],
    );
    assert_eq!(heard.kinds(), [FINISH | TERMINAL | ERROR]);
    let heard = stream(
        Dialect::Cohere,
        &[r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Hi"}}}}"#],
    );
    assert_eq!(heard.end, End::Unterminated);
}

#[test]
fn an_errors_status_is_the_one_it_carries_or_that_of_its_name() {
    for (dialect, data, status) in [
        (
            Dialect::Messages,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            Some(529),
        ),
        (
            Dialect::Messages,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":""}}"#,
            Some(429),
        ),
        (
            Dialect::Messages,
            r#"{"error":{"message":"m","type":"Bad Request","code":400}}"#,
            Some(400),
        ),
        (
            Dialect::Chat,
            r#"{"error":{"message":"m","type":"x","param":null,"code":"503"}}"#,
            Some(503),
        ),
        (
            Dialect::Chat,
            r#"{"error":{"message":"m","type":"server_error","code":null}}"#,
            Some(500),
        ),
        (
            Dialect::Chat,
            r#"{"error":{"message":"m","code":"rate_limit_exceeded"}}"#,
            Some(429),
        ),
        (
            Dialect::Chat,
            r#"{"error":{"message":"m","code":200}}"#,
            None,
        ),
        (
            Dialect::Chat,
            r#"{"error":{"message":"m","code":99999999}}"#,
            None,
        ),
        (Dialect::Chat, r#"{"error":"out of memory"}"#, None),
        (
            Dialect::Chat,
            r#"{"object":"error","message":"m","type":"NotFoundError","code":404}"#,
            Some(404),
        ),
        (
            Dialect::Responses,
            r#"{"type":"error","code":"rate_limit_exceeded","message":"m","param":null}"#,
            Some(429),
        ),
        (
            Dialect::Gemini,
            r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#,
            Some(503),
        ),
        (
            Dialect::Gemini,
            r#"{"error":{"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
            Some(429),
        ),
        (
            Dialect::Other,
            r#"{"error":{"message":"m","code":507}}"#,
            Some(507),
        ),
    ] {
        let heard = stream(dialect, &[data]);
        assert_eq!(heard.kinds(), [ERROR], "{data}");
        assert_eq!(heard.error.unwrap().0, status, "{data}");
    }
    for data in [
        r#"{"error":null,"choices":[]}"#,
        r#"{"choices":[{"error":"x"}]}"#,
    ] {
        assert_eq!(stream(Dialect::Chat, &[data]).error, None, "{data}");
    }
}

#[test]
fn openais_responses() {
    let heard = stream(
        Dialect::Responses,
        &[
            r#"{"type":"response.created","sequence_number":0,"response":{"id":"r","status":"in_progress","error":null,"usage":null}}"#,
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","summary":[]}}"#,
            r#"{"type":"response.reasoning_text.delta","delta":"hm"}"#,
            r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","name":"f","arguments":""}}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":""}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":"{"}"#,
            r#"{"type":"response.image_generation_call.partial_image","partial_image_b64":"iVBOR"}"#,
            r#"{"type":"response.incomplete","response":{"status":"incomplete","usage":{"input_tokens":1,"input_tokens_details":{"cached_tokens":2},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":5}}}"#,
        ],
    );
    let kinds = [
        START,
        METADATA,
        CONTENT,
        CONTENT,
        METADATA,
        CONTENT,
        CONTENT,
        TERMINAL | USAGE,
    ];
    assert_eq!(heard.kinds(), kinds);
    assert_eq!(
        (heard.usage.cached, heard.usage.reasoning),
        (Some(2), Some(4))
    );
    let heard = stream(
        Dialect::Responses,
        &[
            r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"m"}}}"#,
        ],
    );
    assert_eq!(heard.kinds(), [TERMINAL | ERROR]);
    let error = (
        Some(500),
        String::new(),
        "server_error".to_owned(),
        "m".to_owned(),
    );
    assert_eq!(heard.error, Some(error));
}

const GEMINI: [&str; 3] = [
    r#"{"candidates":[{"content":{"parts":[{"text":"He"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":4}}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":10,"totalTokenCount":14,"cachedContentTokenCount":1,"thoughtsTokenCount":2,"promptTokensDetails":[{"modality":"TEXT","tokenCount":3},{"modality":"AUDIO","tokenCount":1}],"candidatesTokensDetails":[{"tokenCount":9,"modality":"AUDIO"},{"modality":"TEXT"}]}}"#,
];

#[test]
fn gemini_with_events_and_as_an_array() {
    let usage = Usage {
        input: Some(4),
        output: Some(10),
        total: Some(14),
        cached: Some(1),
        reasoning: Some(2),
        input_audio: Some(1),
        output_audio: Some(9),
        cache_written: None,
    };
    let kinds = [CONTENT | USAGE, CONTENT, FINISH | USAGE];
    let array = format!("[{}\n,\r\n{},\n{}\n]\n", GEMINI[0], GEMINI[1], GEMINI[2]);
    for heard in [
        stream(Dialect::Gemini, &GEMINI),
        whole(Dialect::Gemini, &array),
    ] {
        assert_eq!(heard.kinds(), kinds);
        assert_eq!(heard.usage, usage);
        assert_eq!(heard.end, End::Complete);
    }
    let heard = whole(Dialect::Gemini, GEMINI[2]);
    assert_eq!(heard.kinds(), [FINISH | USAGE | TERMINAL]);
    let blocked = [r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#];
    assert_eq!(stream(Dialect::Gemini, &blocked).kinds(), [FINISH]);
}

#[test]
fn ollama() {
    let lines = [
        r#"{"model":"m","created_at":"t1","message":{"role":"assistant","content":"","thinking":"hm"},"done":false}"#,
        r#"{"model":"m","created_at":"t2","message":{"role":"assistant","content":"x"},"done":false}"#,
        r#"{"model":"m","created_at":"t3","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f"}}]},"done":false}"#,
        r#"{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":26,"eval_count":259}"#,
    ];
    let reader = Reader::new(Dialect::Ollama, Format::Ndjson);
    let heard = hear_every_way(&reader, (lines.join("\n") + "\n").as_bytes());
    let last = FINISH | TERMINAL | USAGE;
    assert_eq!(heard.kinds(), [CONTENT, CONTENT, CONTENT, last]);
    assert_eq!(
        (heard.usage.input, heard.usage.output),
        (Some(26), Some(259))
    );
    assert_eq!(heard.end, End::Complete);
    let generate = "{\"response\":\"a\",\"done\":false}\r\n\r\n{\"response\":\"b\",\"done\":false}\n{\"error\":\"gone\"}";
    let heard = hear_every_way(&reader, generate.as_bytes());
    assert_eq!(heard.kinds(), [CONTENT, CONTENT, ERROR]);
    assert_eq!(heard.error.unwrap().3, "gone");
    assert_eq!(heard.end, End::Unterminated);
    let embed = r#"{"model":"m","embeddings":[[0.1,-2e-3]],"prompt_eval_count":8}"#;
    let heard = whole(Dialect::Ollama, embed);
    assert_eq!(heard.kinds(), [CONTENT | USAGE | TERMINAL]);
}

#[test]
fn what_has_no_dialect_still_has_usage_and_errors() {
    for (json, input) in [
        (
            r#"{"object":"list","data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#,
            8,
        ),
        (
            r#"{"results":[{"index":0,"relevance_score":0.9}],"usage":{"prompt_tokens":7}}"#,
            7,
        ),
        (
            r#"{"results":[],"meta":{"billed_units":{"input_tokens":5}}}"#,
            5,
        ),
        // SGLang's answer to two prompts.
        (
            r#"[{"text":"x","meta_info":{"prompt_tokens":4}},{"text":"y","meta_info":{"prompt_tokens":9}}]"#,
            13,
        ),
        (
            r#"{"text":"x","usage":{"type":"tokens","input_tokens":6,"input_token_details":{"text_tokens":0,"audio_tokens":6}}}"#,
            6,
        ),
    ] {
        let heard = whole(Dialect::Other, json);
        assert_eq!(heard.usage.input, Some(input), "{json}");
        assert_eq!(heard.end, End::Complete, "{json}");
    }
    let heard = stream(
        Dialect::Other,
        &[
            r#"{"type":"speech.audio.delta","audio":"AAAA"}"#,
            r#"{"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":101}}"#,
        ],
    );
    assert_eq!(heard.kinds(), [CONTENT, CONTENT | USAGE]);
    assert_eq!((heard.usage.output, heard.end), (Some(101), End::Complete));
    let heard = stream(Dialect::Other, &["hello", "[DONE]"]);
    assert_eq!(heard.kinds(), [CONTENT, TERMINAL]);
}

//! What the gateway writes is what the reader reads.

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::read::hear_every_way;
use crate::events::{
    Dialect, Format, Interruption, Kinds, Reader, data_of, error_event, keep_alive,
};

fn written(dialect: Dialect, format: Format) -> Option<String> {
    let id = HeaderValue::from_static("req_1");
    let why = Interruption {
        status: StatusCode::BAD_GATEWAY,
        code: "stream_interrupted",
        message: "the engine \"a\" is gone",
        id: &id,
    };
    let event = error_event(dialect, format, &why)?;
    Some(String::from_utf8(event.to_vec()).unwrap())
}

#[test]
fn an_error_event_is_one_in_its_dialect() {
    let openai = json!({"message": "the engine \"a\" is gone", "type": "server_error",
        "param": null, "code": "stream_interrupted"});
    for (dialect, name, expected) in [
        (Dialect::Chat, None, json!({"error": openai})),
        (
            Dialect::Responses,
            Some("error"),
            json!({"type": "error", "code": "stream_interrupted", "param": null,
                "message": "the engine \"a\" is gone", "error": openai}),
        ),
        (
            Dialect::Messages,
            Some("error"),
            json!({"type": "error", "request_id": "req_1",
                "error": {"type": "api_error", "message": "the engine \"a\" is gone"}}),
        ),
        (
            Dialect::Gemini,
            None,
            json!({"error": {"code": 502, "message": "the engine \"a\" is gone",
                "status": "UNAVAILABLE"}}),
        ),
    ] {
        let event = written(dialect, Format::Sse).unwrap();
        assert_eq!(event.starts_with("event: error\n"), name.is_some());
        assert!(event.ends_with("}\n\n"));
        let data: Value = serde_json::from_slice(&data_of(Format::Sse, event.as_bytes())).unwrap();
        assert_eq!(data, expected);
    }
    let line = written(Dialect::Ollama, Format::Ndjson).unwrap();
    assert_eq!(line, "{\"error\":\"the engine \\\"a\\\" is gone\"}\n");
    for dialect in Dialect::ALL {
        for format in [Format::Sse, Format::Ndjson] {
            let Some(event) = written(dialect, format) else {
                assert_eq!(dialect, Dialect::Cohere, "only a break is seen there");
                continue;
            };
            let heard = hear_every_way(&Reader::new(dialect, format), event.as_bytes());
            assert_eq!(heard.kinds(), [Kinds::ERROR], "{event}");
            assert_eq!(heard.error.unwrap().3, "the engine \"a\" is gone");
        }
        assert_eq!(written(dialect, Format::Json), None);
        assert_eq!(written(dialect, Format::Opaque), None);
    }
}

#[test]
fn a_keep_alive_says_nothing() {
    for dialect in Dialect::ALL {
        let event = keep_alive(dialect, false);
        let heard = hear_every_way(&Reader::new(dialect, Format::Sse), &event);
        assert!(heard.kinds().iter().all(|&kinds| kinds == Kinds::PING));
    }
    let ping = keep_alive(Dialect::Messages, false);
    assert!(ping.starts_with(b"event: ping\n"));
}

#[test]
fn googles_sdks_read_over_a_keep_alive() {
    // They take each line for JSON that has neither `data: ` before it nor is empty.
    for has_ids in [false, true] {
        assert_eq!(keep_alive(Dialect::Gemini, has_ids), "\n");
    }
}

#[test]
fn an_events_data_is_what_a_client_reads() {
    for (event, data) in [
        ("data: {\"a\":1}\n\n", "{\"a\":1}"),
        ("\nevent: error\r\ndata:{\r\ndata:  1}\r\n\r", "{\n 1}"),
        (": hi\n\n", ""),
        ("\u{feff}data\nid: 1\ndatax: 2\n\n", ""),
    ] {
        assert_eq!(data_of(Format::Sse, event.as_bytes()), data.as_bytes());
    }
    assert_eq!(&*data_of(Format::Ndjson, b"{}\r\n"), b"{}");
}

//! What can't be read of an answer, or is not reported, is not free.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use serde_json::{Value, json};
use test_kit::{
    body::script,
    engines::{answers, says, streams},
    request::post,
};
use tower_model_route::{Per, RateLimit};

use super::{answer, ask, chat, content, event, finish, input_of, left, rig, used};

const MANY: i64 = 1_000_000;

fn output_limit() -> [RateLimit; 1] {
    [RateLimit::output_tokens(MANY as u64, Per::Month)]
}

/// What an answer like this costs, as output.
async fn cost(path: &str, body: &Value) -> i64 {
    let rig = rig(output_limit());
    rig.engines.next([answer(body.clone())]);
    let asked = json!({"model": "asked", "prompt": "p"}).to_string();
    assert_eq!(ask(&rig, post(path, asked)).await.status(), 200, "{path}");
    MANY - left(&rig.table)[0]
}

/// Python's clients send the field by default.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_to_be_counted_is_not_compressed() {
    let [tokens] = output_limit();
    // Requests are counted without a look at the answer.
    let requests = RateLimit::requests(9, Per::Hour);
    for (limit, coding) in [(tokens, "identity"), (requests, "gzip, br")] {
        let rig = rig([limit]);
        rig.engines.next([used(10, 7)]);
        let mut request = chat(500);
        let headers = request.headers_mut();
        headers.insert("accept-encoding", "gzip, br".parse().unwrap());
        ask(&rig, request).await;
        let sent = rig.engines.attempts().pop().unwrap();
        assert_eq!(sent.header("accept-encoding"), Some(coding));
    }
}

/// An engine may compress all the same.
#[tokio::test(start_paused = true)]
async fn an_answer_that_can_not_be_read_costs_what_was_reserved() {
    let rig = rig(output_limit());
    rig.engines
        .next([used(10, 7).header("content-encoding", "gzip")]);
    ask(&rig, chat(500)).await;
    assert_eq!(left(&rig.table), [MANY - 500]);
    // Of sound nothing is known but its length.
    rig.engines
        .next([says(200, "RIFF").header("content-type", "audio/wav")]);
    let body = json!({"model": "asked", "input": "i", "max_tokens": 300}).to_string();
    ask(&rig, post("/v1/audio/speech", body)).await;
    assert_eq!(left(&rig.table), [MANY - 800]);
}

/// Of both together no more than the bucket holds was reserved.
#[tokio::test(start_paused = true)]
async fn of_a_total_it_costs_no_more_than_was_reserved_either() {
    for (limit, left_of_it) in [(1000, 0), (MANY, MANY - 4096)] {
        let rig = rig([RateLimit::total_tokens(limit as u64, Per::Day)]);
        rig.engines
            .next([used(10, 7).header("content-encoding", "gzip")]);
        let request = chat(4096);
        let input = input_of(&request);
        ask(&rig, request).await;
        let expected = [(left_of_it - input).max(0)];
        assert_eq!(left(&rig.table), expected, "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_costs_what_was_reserved() {
    let rig = rig(output_limit());
    rig.engines.next([says(101, "")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")]);
    let request = Request::get("/v1/realtime?model=asked")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Empty::<Bytes>::new());
    let session = rig.send(request.unwrap()).await;
    assert_eq!(session.status(), 101);
    drop(session);
    assert_eq!(left(&rig.table), [MANY - 256]);
}

#[tokio::test(start_paused = true)]
async fn usage_is_read_in_each_engines_own_words() {
    for (path, body, output) in [
        (
            "/generate",
            json!({"text": "t", "meta_info": {"prompt_tokens": 9, "completion_tokens": 70,
            "cached_tokens": 2, "finish_reason": {"type": "stop"}}}),
            70,
        ),
        (
            "/model/asked/converse",
            json!({"output": {"message": {"content": [{"text": "t"}]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": 9, "outputTokens": 71, "totalTokens": 80}}),
            71,
        ),
        (
            "/v2/chat",
            json!({"message": {"content": [{"type": "text", "text": "t"}]}, "usage": {
            "billed_units": {"input_tokens": 5, "output_tokens": 60},
            "tokens": {"input_tokens": 9, "output_tokens": 72}}}),
            72,
        ),
    ] {
        assert_eq!(cost(path, &body).await, output, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_without_usage_costs_its_length() {
    let text = "t".repeat(4000);
    for path in ["/generate", "/v1/chat/completions", "/v2/chat"] {
        let body = json!({"text": text});
        let length = body.to_string().len() as i64;
        assert_eq!(cost(path, &body).await, length / 4, "{path}");
    }
    // Vectors are no output.
    let numbers = json!({"data": [{"embedding": vec![0.5; 1000]}]});
    assert_eq!(cost("/v1/embeddings", &numbers).await, 0);
}

/// Also where the engine says the one and not the other.
#[tokio::test(start_paused = true)]
async fn output_that_is_not_said_costs_its_length() {
    let text = "t".repeat(4000);
    for usage in [
        json!({"prompt_tokens": 7}),
        json!({"prompt_tokens": 7, "completion_tokens": -1}),
        json!({"prompt_tokens": 7, "completion_tokens": "500"}),
        json!({"prompt_tokens": 7, "completion_tokens": null, "total_tokens": 3}),
    ] {
        let body = json!({"choices": [{"message": {"content": text}}], "usage": usage});
        let length = body.to_string().len() as i64;
        assert_eq!(cost("/v1/chat/completions", &body).await, length / 4);
        assert_eq!(cost("/v1/embeddings", &body).await, 0, "{usage}");
        // Of pictures the length says nothing.
        let reserved = cost("/v1/images/generations", &body).await;
        assert_eq!(reserved, 256, "{usage}");
        let rig = rig(output_limit());
        let (feed, scripted) = script();
        feed.send(content()).send(content()).send(finish());
        feed.send(event(&json!({"choices": [], "usage": usage})));
        feed.send("data: [DONE]\n\n").end();
        rig.engines.next([streams(scripted)]);
        ask(&rig, chat(500)).await;
        assert_eq!(left(&rig.table), [MANY - 2], "{usage}");
    }
    // Here it is said.
    let rest = json!({"choices": [], "usage": {"prompt_tokens": 7, "total_tokens": 107}});
    assert_eq!(cost("/v1/chat/completions", &rest).await, 100);
}

#[tokio::test(start_paused = true)]
async fn input_that_is_not_said_costs_what_was_reserved() {
    for (path, usage) in [
        ("/v1/chat/completions", json!({"completion_tokens": 3})),
        (
            "/v1/chat/completions",
            json!({"prompt_tokens": "7", "completion_tokens": 3}),
        ),
        (
            "/v1/messages",
            json!({"cache_read_input_tokens": 0, "output_tokens": 3}),
        ),
    ] {
        let rig = rig([RateLimit::total_tokens(MANY as u64, Per::Month)]);
        rig.engines.next([answer(json!({"usage": usage}))]);
        let asked = post(path, json!({"model": "asked", "prompt": "p"}).to_string());
        let input = input_of(&asked);
        ask(&rig, asked).await;
        assert_eq!(left(&rig.table), [MANY - input - 3], "{path} {usage}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_left_before_its_last_byte_costs_what_has_come() {
    let rig = rig(output_limit());
    let (body, scripted) = script();
    rig.engines
        .next([answers(200, scripted).header("content-type", "application/json")]);
    body.send(format!(
        r#"{{"choices":[{{"message":{{"content":"{}"#,
        "t".repeat(4000)
    ));
    let mut answer = rig.send(chat(5000)).await;
    let frame = answer.body_mut().frame().await.unwrap().unwrap();
    let length = frame.data_ref().unwrap().len() as i64;
    drop(answer);
    assert_eq!(left(&rig.table), [MANY - length / 4]);
}

/// vLLM's continuous usage counts a choice.
#[tokio::test(start_paused = true)]
async fn the_end_of_one_choice_is_not_that_of_the_others() {
    let rig = rig(output_limit());
    let (body, scripted) = script();
    rig.engines.next([streams(scripted)]);
    let choice = |index: u64, count: u64, finish: Value| {
        event(
            &json!({"choices": [{"index": index, "delta": {"content": "w"}, "finish_reason": finish}],
            "usage": {"prompt_tokens": 9, "completion_tokens": count, "total_tokens": 9 + count}}),
        )
    };
    let mut answer = rig.send(chat(500)).await;
    let mut send = async |event: String| {
        body.send(event);
        answer.body_mut().frame().await.unwrap().unwrap();
    };
    for count in 1..=10 {
        send(choice(0, count, Value::Null)).await;
    }
    send(choice(0, 11, "stop".into())).await;
    for count in 1..=20 {
        send(choice(1, count, Value::Null)).await;
    }
    drop(answer);
    assert_eq!(left(&rig.table), [MANY - 31]);
}

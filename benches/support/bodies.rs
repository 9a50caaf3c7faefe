//! Requests as clients send them.

use http::Request;

pub const MODEL: &str = "deepseek-multi-models";
/// What the engine calls it.
pub const REAL: &str = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B";

/// Building it is the yardstick of `decide` and `overhead`: five headers.
pub fn request() -> Request<()> {
    Request::post("/v1/chat/completions")
        .header("host", "gateway.example:8080")
        .header("content-type", "application/json")
        .header(
            "authorization",
            "Bearer sk-0123456789abcdef0123456789abcdef",
        )
        .header("user-agent", "OpenAI/Python 1.99.0")
        .header("user-type", "standard")
        .body(())
        .expect("a valid request")
}

/// A chat of about `bytes` bytes in turns of prose, its `model` at the end or the beginning.
pub fn chat(bytes: usize, model_last: bool) -> String {
    let turn = r#"{"role":"user","content":"Please explain, step by step, how the \"weighted split\" of a router works.\nThen give an example with numbers."}"#;
    let turns = vec![turn; (bytes / (turn.len() + 1)).max(1)].join(",");
    with_model(
        &format!(r#""messages":[{turns}],"temperature":0.7,"stream":true"#),
        model_last,
    )
}

/// The smallest real request, about 120 bytes.
pub fn tiny(model_last: bool) -> String {
    with_model(
        r#""messages":[{"role":"user","content":"Hello, who are you?"}],"max_tokens":16"#,
        model_last,
    )
}

/// Function definitions as agents send them: deep, and full of short strings.
pub fn tools(bytes: usize, model_last: bool) -> String {
    let tool = r#"{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string","enum":["Rome","Oslo"]},"days":{"type":"integer","minimum":1}},"required":["city"]}}}"#;
    let tools = vec![tool; (bytes / (tool.len() + 1)).max(1)].join(",");
    with_model(&format!(r#""tools":[{tools}]"#), model_last)
}

/// JSON in a JSON string: nearly every other byte is a quote or a backslash.
pub fn escapes(bytes: usize, model_last: bool) -> String {
    let text = r#"{\"a\":\"b\",\n\"c\":[\"\\\"\"]}"#.repeat(bytes / 31);
    with_model(
        &format!(r#""messages":[{{"role":"user","content":"{text}"}}]"#),
        model_last,
    )
}

/// An image as a data URL.
pub fn base64(bytes: usize, model_last: bool) -> String {
    let data = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmM"
        .repeat(bytes / 80);
    with_model(
        &format!(
            r#""messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}]}}]"#
        ),
        model_last,
    )
}

fn with_model(rest: &str, last: bool) -> String {
    if last {
        format!(r#"{{{rest},"model":"{MODEL}"}}"#)
    } else {
        format!(r#"{{"model":"{MODEL}",{rest}}}"#)
    }
}

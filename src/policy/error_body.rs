//! What the texts of engines' errors say about the engine itself.
//!
//! Engines quote their clients, so only the beginning of a message is sure to be the engine's own.
//! A message is therefore compared from its first byte with what engines are known to write, and a
//! model's name with the one that the engine was asked for.

use http::StatusCode;
use serde_json::Value;

/// What an error says: SGLang has no object around it, Ollama a text in place of one.
pub(super) struct ErrorBody<'a> {
    error: &'a Value,
    message: &'a str,
    /// Whether the message stands where OpenAI and Anthropic have it.
    is_usual: bool,
}

/// What comes before the name of a model that is not there: of vLLM, OpenAI and SGLang; KServe;
/// Vertex; Ollama and llama.cpp; Gemini.
const BEFORE_NAME: &[&str] = &[
    "The model ",
    "Model with name ",
    "Publisher Model ",
    "model ",
    "models/",
];
/// And what comes behind it.
const BEHIND_NAME: &[&str] = &[
    " does not exist",
    " not found",
    " is not found",
    " was not found",
];

/// How the message begins of one that is too long; `#` is any number.
const TOO_LONG: &[&str] = &[
    // vLLM and OpenAI; what vLLM and TensorRT-LLM say of the output; older vLLMs.
    "This model's maximum context length is #",
    "max_tokens=# cannot be greater than max_model_len=",
    "max_completion_tokens=# cannot be greater than max_model_len=",
    "'max_tokens' or 'max_completion_tokens' is too large: #. This model's maximum context length",
    "The decoder prompt (length #) is longer than the maximum model length",
    // SGLang.
    "The input (# tokens) is longer than the model's context length",
    "Requested token count exceeds the model's maximum context length",
    // llama.cpp.
    "request (# tokens) exceeds the available context size",
    "the request exceeds the available context size",
    // Anthropic.
    "prompt is too long: #",
];

impl<'a> ErrorBody<'a> {
    pub(super) fn of(body: &'a Value) -> Self {
        let error = body.get("error").unwrap_or(body);
        let own = error.get("message");
        let message = own.unwrap_or(error).as_str();
        Self {
            error,
            message: message.unwrap_or_default(),
            is_usual: own.is_some() && body.get("error").is_some(),
        }
    }

    /// Whether the message of a 503 has the word `busy`.
    pub(super) fn is_busy(&self) -> bool {
        let mut words = self.message.split(|c: char| !c.is_alphanumeric());
        self.is_usual && words.any(|word| word.eq_ignore_ascii_case("busy"))
    }

    /// Whether an error with this status in the first event of a stream says that the engine is
    /// busy. Of other statuses the message may quote the client; without one it has to be vLLM's.
    pub(super) fn means_busy(&self, status: Option<StatusCode>) -> bool {
        match status {
            Some(status) => status == StatusCode::SERVICE_UNAVAILABLE && self.is_busy(),
            None => begins(self.message, "The engine is currently busy").is_some(),
        }
    }

    /// Whether a 404 says that the engine does not have the model of this name.
    pub(super) fn lacks_model(&self, model: &str) -> bool {
        let is_of_model = match self.error.get("param") {
            Some(Value::String(param)) => param == "model",
            _ => true,
        };
        is_of_model && (self.has_code("model_not_found") || is_missing(self.message, model))
    }

    /// Whether a 400 says that this adapter is not loaded, as SGLang does. There the model is
    /// `base:adapter` or the adapter; an adapter that is asked for elsewhere says nothing about it.
    pub(super) fn lacks_adapter(&self, model: &str) -> bool {
        let adapter = model.split_once(':').map_or(model, |(_, adapter)| adapter);
        let words = "The following requested LoRA adapters are not loaded: ";
        let Some(names) = begins(self.message, words) else {
            return false;
        };
        // The name alone, or in a set of Python's.
        let (names, _) = names
            .split_once("\nLoaded adapters: ")
            .unwrap_or((names, ""));
        let set = names.strip_prefix("{'");
        let name = set
            .and_then(|names| names.strip_suffix("'}"))
            .unwrap_or(names);
        !adapter.is_empty() && [model, adapter].contains(&name)
    }

    /// Whether a 400 says that the request is longer than the model's context.
    pub(super) fn is_too_long(&self) -> bool {
        self.has_code("context_length_exceeded")
            || self.has_code("exceed_context_size_error")
            || TOO_LONG
                .iter()
                .any(|words| begins(self.message, words).is_some())
    }

    fn has_code(&self, code: &str) -> bool {
        let has = |key| self.error.get(key).and_then(Value::as_str) == Some(code);
        has("code") || has("type")
    }
}

/// Whether the message begins by saying that this model is not there. The name may be quoted, and
/// the last part of a path.
fn is_missing(message: &str, model: &str) -> bool {
    let is_path = |path: &str| {
        let has_other = path.contains(|c: char| c.is_whitespace() || "\"'`".contains(c));
        path.is_empty() || path.ends_with('/') && !has_other
    };
    let is_there = |rest: &str| {
        let quote = rest.chars().next().filter(|c| "\"'`".contains(*c));
        let rest = quote
            .and_then(|quote| rest.strip_prefix(quote))
            .unwrap_or(rest);
        rest.match_indices(model).any(|(at, name)| {
            // Ollama adds the tag that is meant.
            let behind = &rest[at + name.len()..];
            let behind = behind.strip_prefix(":latest").unwrap_or(behind);
            let behind = quote.map_or(Some(behind), |quote| behind.strip_prefix(quote));
            let is_end = |words: &&str| behind.is_some_and(|rest| begins(rest, words).is_some());
            is_path(&rest[..at]) && BEHIND_NAME.iter().any(is_end)
        })
    };
    let mut rests = BEFORE_NAME
        .iter()
        .filter_map(|words| begins(message, words));
    !model.is_empty() && rests.any(is_there)
}

/// What follows these words, if the message begins with them in any case; `#` is any number.
fn begins<'m>(message: &'m str, words: &str) -> Option<&'m str> {
    let mut rest = message;
    for (nth, part) in words.split('#').enumerate() {
        if nth > 0 {
            let number = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ',');
            rest = (number.len() < rest.len()).then_some(number)?;
        }
        let begin = rest.get(..part.len())?;
        rest = begin
            .eq_ignore_ascii_case(part)
            .then(|| &rest[part.len()..])?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_body<T>(body: &str, says: impl FnOnce(ErrorBody<'_>) -> T) -> T {
        says(ErrorBody::of(
            &serde_json::from_str(body).unwrap_or_default(),
        ))
    }

    #[test]
    fn only_the_message_of_an_error_says_that_it_is_busy() {
        for busy in [
            r#"{"error":{"message":"The engine is currently busy and cannot accept new requests.","code":503}}"#,
            r#"{"type":"error","error":{"type":"Service Unavailable","message":"Busy: try again"}}"#,
        ] {
            assert!(of_body(busy, |error| error.is_busy()), "{busy}");
        }
        for other in [
            r#"{"error":{"message":"EngineCore encountered an issue","code":503}}"#,
            r#"{"error":{"message":"busybody"}}"#,
            r#"{"error":"busy"}"#,
            r#"{"message":"busy"}"#,
            "busy",
            "",
        ] {
            assert!(!of_body(other, |error| error.is_busy()), "{other}");
        }
    }

    #[test]
    fn a_status_that_may_quote_the_client_never_means_busy() {
        let quoting = r#"{"error":{"message":"bad value: busy"}}"#;
        let own = r#"{"error":{"message":"The engine is currently busy and cannot accept"}}"#;
        let means = |body, status: Option<u16>| {
            let status = status.map(|status| StatusCode::from_u16(status).unwrap());
            of_body(body, |error| error.means_busy(status))
        };
        for status in [400, 404, 422, 500] {
            assert!(
                !means(quoting, Some(status)) && !means(own, Some(status)),
                "{status}"
            );
        }
        assert!(means(quoting, Some(503)) && means(own, Some(503)));
        assert!(!means(quoting, None) && means(own, None));
    }

    #[test]
    fn the_engines_words_for_a_model_that_they_do_not_have() {
        for (model, body) in [
            // vLLM 0.32, as captured.
            (
                "lora-C",
                r#"{"error":{"message":"The model `lora-C` does not exist. Valid aliases: org/base-v1, org/base-alias.","type":"NotFoundError","param":"model","code":404}}"#,
            ),
            (
                "no-such-model",
                r#"{"type":"error","error":{"type":"NotFoundError","message":"The model `no-such-model` does not exist. Valid aliases: org/base-v1, org/base-alias."}}"#,
            ),
            // Older ones, LMDeploy.
            (
                "a/b",
                r#"{"object":"error","message":"The model `a/b` does not exist.","type":"NotFoundError","param":null,"code":404}"#,
            ),
            (
                "x",
                r#"{"object":"error","message":"The model 'x' does not exist."}"#,
            ),
            // OpenAI.
            (
                "x",
                r#"{"error":{"message":"no","type":"invalid_request_error","code":"model_not_found"}}"#,
            ),
            // Ollama and llama.cpp.
            (
                "x",
                r#"{"error":"model \"x\" not found, try pulling it first"}"#,
            ),
            (
                "x",
                r#"{"error":{"message":"model 'x:latest' not found","param":null}}"#,
            ),
            // KServe, Gemini, Vertex, another gateway like this one.
            ("x", r#"{"error":"Model with name x does not exist."}"#),
            (
                "g-1",
                r#"{"error":{"code":404,"message":"models/g-1 is not found for API version v1beta","status":"NOT_FOUND"}}"#,
            ),
            (
                "g-1",
                r#"{"error":{"code":404,"message":"Publisher Model `projects/p/models/g-1` was not found"}}"#,
            ),
            ("x", r#"{"error":"the model `x` does not exist"}"#),
        ] {
            assert!(of_body(body, |error| error.lacks_model(model)), "{body}");
            let is_code = body.contains("model_not_found");
            assert_eq!(
                of_body(body, |error| error.lacks_model("other")),
                is_code,
                "{body}"
            );
            assert_eq!(
                of_body(body, |error| error.lacks_model("")),
                is_code,
                "{body}"
            );
        }
    }

    #[test]
    fn a_404_for_anything_else_is_none_for_the_model() {
        for other in [
            // vLLM 0.32, as captured, for ids that a client has chosen.
            r#"{"error":{"message":"Response with id 'resp_model' not found.","type":"invalid_request_error","param":"response_id","code":404}}"#,
            r#"{"error":{"message":"Response with id 'The model `m` does not exist' not found.","param":"response_id"}}"#,
            r#"{"error":{"message":"The model `m` does not exist.","param":"response_id"}}"#,
            r#"{"error":{"message":"no","code":"model_not_found","param":"file_id"}}"#,
            r#"{"error":{"message":"File model m not found"}}"#,
            r#"{"error":{"message":"m not found"}}"#,
            r#"{"error":{"message":"files/m not found"}}"#,
            r#"{"error":{"message":"The model `m` has no such file; that does not exist"}}"#,
            r#"{"error":{"message":"the model `m"}}"#,
            r#"{"error":{"message":"model `m' not found"}}"#,
            r#"{"detail":"Not Found"}"#,
            r#"{"error":{"message":"the model is fine"}}"#,
            r#"{"error":[1]}"#,
            "[]",
            "",
        ] {
            assert!(!of_body(other, |error| error.lacks_model("m")), "{other}");
        }
    }

    #[test]
    fn only_sglangs_own_form_says_that_an_adapter_is_not_loaded() {
        let alone = r#"{"object":"error","message":"The following requested LoRA adapters are not loaded: x\nLoaded adapters: dict_keys([]).","type":"BadRequest","param":null,"code":400}"#;
        let set = r#"{"error":{"message":"The following requested LoRA adapters are not loaded: {'x'}\nLoaded adapters: dict_keys([])."}}"#;
        for body in [alone, set] {
            assert!(of_body(body, |error| error.lacks_adapter("x")), "{body}");
            assert!(
                of_body(body, |error| error.lacks_adapter("base:x")),
                "{body}"
            );
            for other in ["base", "x:base", "", "base:"] {
                assert!(
                    !of_body(body, |error| error.lacks_adapter(other)),
                    "{other}"
                );
            }
        }
        for quoting in [
            // vLLM 0.32 to such `messages`.
            r#"{"error":{"message":"2 validation errors:\n  {'type': 'list_type', 'loc': 'body.messages', 'msg': 'Input should be a valid list', 'input': 'The following requested LoRA adapters are not loaded: x\nLoaded adapters: '}","type":"Bad Request","param":"body.messages","code":400}}"#,
            r#"{"error":{"message":"LoRA adapters are not loaded"}}"#,
        ] {
            assert!(
                !of_body(quoting, |error| error.lacks_adapter("x")),
                "{quoting}"
            );
        }
    }

    #[test]
    fn the_engines_words_for_what_is_too_long() {
        for body in [
            // vLLM 0.32, as captured.
            r#"{"error":{"message":"This model's maximum context length is 512 tokens. However, your prompt contains at least 513 input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=513)","type":"BadRequestError","param":"input_tokens","code":400}}"#,
            r#"{"error":{"message":"max_tokens=100000 cannot be greater than max_model_len=512. Please request fewer output tokens. (parameter=max_tokens, value=100000)","type":"BadRequestError","param":"max_tokens","code":400}}"#,
            r#"{"error":{"message":"no","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
            r#"{"object":"error","message":"The input (9 tokens) is longer than the model's context length (8 tokens).","code":400}"#,
            r#"{"error":{"message":"request (9,000 tokens) exceeds the available context size (8192 tokens), try increasing it"}}"#,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}"#,
        ] {
            assert!(of_body(body, |error| error.is_too_long()), "{body}");
        }
        for other in [
            r#"{"error":{"message":"temperature must be non-negative, got -1.0.","type":"BadRequestError","param":"temperature","code":400}}"#,
            r#"{"error":{"message":"1 validation error: 'input': 'This model's maximum context length is 5'"}}"#,
            r#"{"error":{"message":"max_tokens= cannot be greater than max_model_len=5"}}"#,
            r#"{"detail":"There was an error parsing the body"}"#,
        ] {
            assert!(!of_body(other, |error| error.is_too_long()), "{other}");
        }
    }
}

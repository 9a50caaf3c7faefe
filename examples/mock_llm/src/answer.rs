//! What the engine says: the generated text and the JSON around it, in vLLM's shapes.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    Engine, messages,
    question::{Endpoint, Question},
    responses,
};

/// An answer of text, to be sent whole or token by token.
#[derive(Debug)]
pub(crate) struct Answer {
    endpoint: Endpoint,
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    /// The message; its words are the tokens, repeated as needed.
    words: Vec<String>,
    /// How many tokens are generated.
    pub(crate) tokens: usize,
    /// Whether the message was not cut short.
    pub(crate) is_complete: bool,
    pub(crate) prompt_tokens: usize,
}

impl Answer {
    pub(crate) fn new(engine: &Engine, endpoint: Endpoint, question: Question<'_>) -> Self {
        let message = format!("This is simulated message from {}!", question.model);
        let words: Vec<_> = message.split(' ').map(str::to_owned).collect();
        let wanted = engine.tokens.unwrap_or(words.len());
        let tokens = wanted.min(question.max_tokens.unwrap_or(usize::MAX));
        let prefix = match endpoint {
            Endpoint::Chat => "chatcmpl",
            Endpoint::Completions | Endpoint::Embeddings => "cmpl",
            Endpoint::Responses => "resp",
            Endpoint::Messages => "msg",
        };
        Self {
            endpoint,
            id: unique_id(prefix),
            created: now(),
            model: question.model,
            is_complete: tokens == wanted && tokens >= words.len(),
            words,
            tokens,
            prompt_tokens: question.prompt_tokens,
        }
    }

    pub(crate) const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    pub(crate) const fn is_chat(&self) -> bool {
        matches!(self.endpoint, Endpoint::Chat)
    }

    const fn finish_reason(&self) -> &'static str {
        if self.is_complete { "stop" } else { "length" }
    }

    /// All the text.
    pub(crate) fn text(&self) -> String {
        (0..self.tokens).map(|index| self.token(index)).collect()
    }

    /// The answer in one piece.
    pub(crate) fn whole(&self) -> Value {
        match self.endpoint {
            Endpoint::Responses => return responses::whole(self),
            Endpoint::Messages => return messages::whole(self),
            Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings => {}
        }
        let text = self.text();
        let choice = if self.is_chat() {
            json!({
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "logprobs": null,
                "finish_reason": self.finish_reason(),
            })
        } else {
            self.text_choice(&text, Some(self.finish_reason()))
        };
        let mut whole = self.envelope("chat.completion", json!([choice]));
        whole["usage"] = self.usage();
        whole
    }

    /// The event that opens a chat's stream.
    pub(crate) fn role_chunk(&self) -> Value {
        self.chat_chunk(&json!({"role": "assistant", "content": ""}), None)
    }

    /// The event of the `index`th token, which ends the choice if it is the last. An answer
    /// without tokens has one such event all the same, with an empty text.
    pub(crate) fn token_chunk(&self, index: usize) -> Value {
        let text = self.token(index);
        let finish_reason = (index + 1 >= self.tokens).then(|| self.finish_reason());
        if self.is_chat() {
            self.chat_chunk(&json!({"content": text}), finish_reason)
        } else {
            self.envelope("", json!([self.text_choice(&text, finish_reason)]))
        }
    }

    /// The event that ends a stream of which usage was asked.
    pub(crate) fn usage_chunk(&self) -> Value {
        let mut chunk = self.envelope("chat.completion.chunk", json!([]));
        chunk["usage"] = self.usage();
        chunk
    }

    /// The text of the `index`th token, or none.
    pub(crate) fn token(&self, index: usize) -> String {
        if index >= self.tokens {
            return String::new();
        }
        let space = if index == 0 { "" } else { " " };
        let word = self.words.get(index % self.words.len().max(1));
        format!("{space}{}", word.map_or("", String::as_str))
    }

    fn chat_chunk(&self, delta: &Value, finish_reason: Option<&str>) -> Value {
        let choice = json!({
            "index": 0,
            "delta": delta,
            "logprobs": null,
            "finish_reason": finish_reason,
        });
        self.envelope("chat.completion.chunk", json!([choice]))
    }

    fn text_choice(&self, text: &str, finish_reason: Option<&str>) -> Value {
        json!({
            "index": 0,
            "text": text,
            "logprobs": null,
            "finish_reason": finish_reason,
            "stop_reason": null,
        })
    }

    /// Text completions have one object name, chats have one for each of whole and chunk.
    fn envelope(&self, chat_object: &str, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": if self.is_chat() { chat_object } else { "text_completion" },
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }

    fn usage(&self) -> Value {
        usage(self.prompt_tokens, self.tokens)
    }
}

/// The answer to `/v1/embeddings`: a vector for each input.
pub(crate) fn embeddings(question: &Question<'_>) -> Value {
    let data: Vec<_> = question
        .inputs()
        .into_iter()
        .enumerate()
        .map(|(index, text)| {
            json!({"index": index, "object": "embedding", "embedding": vector(text)})
        })
        .collect();
    json!({
        "id": unique_id("embd"),
        "object": "list",
        "created": now(),
        "model": question.model,
        "data": data,
        "usage": usage(question.prompt_tokens, 0),
    })
}

/// The list of `/v1/models`: the models, then the adapters.
pub(crate) fn model_list(engine: &Engine) -> Value {
    let parent = engine.models.first();
    let models = engine.models.iter().map(|name| model_card(name, None));
    let adapters = engine.adapters.iter().map(|name| model_card(name, parent));
    json!({"object": "list", "data": models.chain(adapters).collect::<Vec<_>>()})
}

fn model_card(name: &str, parent: Option<&String>) -> Value {
    json!({
        "id": name,
        "object": "model",
        "created": now(),
        "owned_by": "vllm",
        "root": name,
        "parent": parent,
    })
}

/// An error, whose type is the status's own name.
pub(crate) fn error(status: StatusCode, message: &str, param: Option<&str>) -> Value {
    let kind = error_type(status);
    json!({"error": {"message": message, "type": kind, "param": param, "code": status.as_u16()}})
}

/// The name of a status, as vLLM has it in errors.
pub(crate) fn error_type(status: StatusCode) -> String {
    let name = status.canonical_reason().unwrap_or("Unknown");
    let name = name.replace(' ', "");
    match name.ends_with("Error") {
        true => name,
        false => name + "Error",
    }
}

fn usage(prompt_tokens: usize, completion_tokens: usize) -> Value {
    json!({
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    })
}

/// A unit vector that depends on nothing but the text.
fn vector(text: &str) -> [f64; 8] {
    // FNV-1a: short, and the same on every machine.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Half steps keep every component, and so the length, off zero.
    let vector = hash.to_le_bytes().map(|byte| f64::from(byte) - 127.5);
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    vector.map(|x| x / length)
}

fn unique_id(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}-{:016x}{number:016x}", now())
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

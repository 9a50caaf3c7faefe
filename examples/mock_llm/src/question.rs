//! Reads what matters of a request's body, and nothing else.
//!
//! The mock must never be the reason that a request fails, so members that it does not use
//! are only skipped (they may hold what no JSON value type can: a lone surrogate, 1e400), and
//! those that it counts are counted as well as they can be.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// The endpoints that ask a model for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Completions,
    Chat,
    Embeddings,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
}

impl Endpoint {
    /// The member of the body that holds what is asked.
    const fn input_member(self) -> &'static str {
        match self {
            Self::Completions => "prompt",
            Self::Chat | Self::Messages => "messages",
            Self::Embeddings | Self::Responses => "input",
        }
    }
}

/// An inference request, as far as the mock understands it.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// Whether a stream is to end with its usage.
    pub(crate) include_usage: bool,
    pub(crate) max_tokens: Option<usize>,
    /// Words of the input.
    pub(crate) prompt_tokens: usize,
    /// The input, undecoded.
    input: Option<&'a RawValue>,
}

impl<'a> Question<'a> {
    /// # Errors
    /// A sentence for the client, if the body is not a JSON object or names no model.
    pub(crate) fn read(endpoint: Endpoint, body: &'a [u8]) -> Result<Self, String> {
        let Members(members) = serde_json::from_slice(body)
            .map_err(|error| format!("The body is not a JSON object: {error}"))?;
        let model = decode(members.get("model"))
            .ok_or("The body has no string member `model`.".to_owned())?;
        let input = members.get(endpoint.input_member()).copied();
        Ok(Self {
            model,
            stream: decode(members.get("stream")).unwrap_or(false),
            include_usage: decode(members.get("stream_options"))
                .and_then(|options: Value| options.get("include_usage")?.as_bool())
                .unwrap_or(false),
            max_tokens: decode(members.get("max_completion_tokens"))
                .or_else(|| decode(members.get("max_output_tokens")))
                .or_else(|| decode(members.get("max_tokens"))),
            prompt_tokens: input.map_or(0, count_words),
            input,
        })
    }

    /// The texts of the input, each as its JSON. A flat list of token ids is one text.
    pub(crate) fn inputs(&self) -> Vec<&'a str> {
        let Some(input) = self.input else {
            return Vec::new();
        };
        let list: Vec<&RawValue> = serde_json::from_str(input.get()).unwrap_or_default();
        match list.first() {
            Some(first) if first.get().starts_with(['"', '[']) => {
                list.into_iter().map(RawValue::get).collect()
            }
            _ => vec![input.get()],
        }
    }
}

/// A value of the expected type, or nothing.
fn decode<'a, T: Deserialize<'a>>(value: Option<&&'a RawValue>) -> Option<T> {
    serde_json::from_str(value?.get()).ok()
}

fn count_words(input: &RawValue) -> usize {
    match serde_json::from_str(input.get()) {
        Ok(Words(count)) => count,
        // Text that no string can hold has words all the same.
        Err(_) => input.get().split_whitespace().count(),
    }
}

/// The members of a JSON object that the mock looks at. The last of two equal names wins, as
/// in Python.
struct Members<'a>(HashMap<String, &'a RawValue>);

const MEMBERS: [&str; 9] = [
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "prompt",
    "messages",
    "input",
];

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = HashMap::new();
                while let Some(key) = map.next_key::<&RawValue>()? {
                    match decode::<String>(Some(&key)) {
                        Some(name) if MEMBERS.contains(&name.as_str()) => {
                            members.insert(name, map.next_value()?);
                        }
                        _ => _ = map.next_value::<IgnoredAny>()?,
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// The number of words in a prompt of any shape: text, a list of texts, token ids (each one
/// word), lists of them, chat messages, and the text parts of a message.
struct Words(usize);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counter;

        impl<'de> Visitor<'de> for Counter {
            type Value = Words;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a prompt")
            }

            fn visit_str<E>(self, text: &str) -> Result<Words, E> {
                Ok(Words(text.split_whitespace().count()))
            }

            fn visit_u64<E>(self, _token_id: u64) -> Result<Words, E> {
                Ok(Words(1))
            }

            fn visit_i64<E>(self, _token_id: i64) -> Result<Words, E> {
                Ok(Words(1))
            }

            fn visit_f64<E>(self, _number: f64) -> Result<Words, E> {
                Ok(Words(1))
            }

            fn visit_bool<E>(self, _value: bool) -> Result<Words, E> {
                Ok(Words(0))
            }

            fn visit_unit<E>(self) -> Result<Words, E> {
                Ok(Words(0))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
                let mut total = 0;
                while let Some(Words(count)) = list.next_element()? {
                    total += count;
                }
                Ok(Words(total))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Words, A::Error> {
                let mut total = 0;
                while let Some(name) = map.next_key::<String>()? {
                    if matches!(name.as_str(), "content" | "text") {
                        total += map.next_value::<Words>()?.0;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Words(total))
            }
        }

        deserializer.deserialize_any(Counter)
    }
}

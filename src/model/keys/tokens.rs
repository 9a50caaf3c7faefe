//! What a body says about the tokens that its request will use.

use super::json::Json;
use crate::limit::{BYTES_PER_TOKEN, Estimate};

/// The keys of the top level that set the most output tokens: OpenAI's, the older OpenAI's and
/// Anthropic's, and that of `/v1/responses`. The largest counts: which of them an engine obeys is
/// its own affair.
const MOST: [&[u8]; 3] = [
    b"max_completion_tokens",
    b"max_tokens",
    b"max_output_tokens",
];

/// What a body says about tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// The largest that the body gives for the output of a choice.
    most: Option<u64>,
    /// `n`, or Gemini's `candidateCount`.
    choices: Option<u64>,
    /// The bytes of pictures and sound.
    pub(crate) data: u64,
    /// Whether the part of the body that was read ends in a picture or a sound.
    pub(crate) ends_in_data: bool,
}

impl Tokens {
    /// The most output tokens of all choices together.
    pub(crate) fn max_output(&self) -> Option<u64> {
        Some(self.most?.saturating_mul(self.choices.unwrap_or(1).max(1)))
    }

    /// What a request with a body like this will probably use, of which `read` bytes were read,
    /// and a `rest` is still to come.
    pub(crate) fn estimate(&self, read: u64, rest: u64) -> Estimate {
        // The rest of an image that has begun is not text either.
        let rest = if self.ends_in_data { 0 } else { rest };
        Estimate {
            text_bytes: read.saturating_sub(self.data).saturating_add(rest),
            has_media: self.data > 0,
            max_output: self.max_output(),
        }
    }

    /// About how many tokens its prompt has, whatever its engine.
    pub(crate) fn of_prompt(&self, read: u64, rest: u64) -> u64 {
        let bytes = self.estimate(read, rest).text_bytes;
        bytes.div_ceil(BYTES_PER_TOKEN.into())
    }

    pub(super) fn takes(&self, key: &[u8]) -> bool {
        MOST.contains(&key)
            || matches!(
                key,
                b"n" | b"options" | b"generationConfig" | b"generation_config"
            )
    }

    pub(super) fn member(&mut self, key: &[u8], value: &mut Json<'_>) -> Option<()> {
        match key {
            b"n" => self.choices = value.count()?.max(self.choices),
            // Ollama's.
            b"options" => value.object(|key, value| match key {
                b"num_predict" => self.most(value),
                _ => value.skip(),
            })?,
            // Gemini's, in either of protobuf's spellings.
            b"generationConfig" | b"generation_config" => {
                value.object(|key, value| match key {
                    b"maxOutputTokens" | b"max_output_tokens" => self.most(value),
                    b"candidateCount" | b"candidate_count" => {
                        self.choices = value.count()?.max(self.choices);
                        Some(())
                    }
                    _ => value.skip(),
                })?;
            }
            _ => self.most(value)?,
        }
        Some(())
    }

    fn most(&mut self, value: &mut Json<'_>) -> Option<()> {
        self.most = value.count()?.max(self.most);
        Some(())
    }

    /// With what `json` says, of which all was read.
    pub(super) fn read(self, json: &Json<'_>) -> Self {
        Self {
            data: json.data(),
            ends_in_data: json.ends_in_data(),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{BodyKeys, NeededKeys};

    fn read(body: &[u8]) -> Option<Tokens> {
        let needed = NeededKeys {
            tokens: true,
            ..NeededKeys::default()
        };
        BodyKeys::read(body, needed).tokens
    }

    fn of(body: &Value) -> Tokens {
        read(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_largest_of_the_clients_maxima_counts_times_its_choices() {
        for (body, expected) in [
            (json!({"model": "m"}), None),
            (json!({"max_tokens": 7}), Some(7)),
            (
                json!({"max_tokens": 7, "max_completion_tokens": 70}),
                Some(70),
            ),
            (
                json!({"max_completion_tokens": 70, "max_tokens": 700}),
                Some(700),
            ),
            (json!({"max_output_tokens": 9, "stream": true}), Some(9)),
            (json!({"n": 3, "max_tokens": 7}), Some(21)),
            (json!({"max_tokens": 7, "n": 0}), Some(7)),
            (json!({"n": 3}), None),
            (json!({"options": {"seed": 1, "num_predict": 11}}), Some(11)),
            (json!({"options": {"num_predict": -1}}), None),
            (
                json!({"generationConfig": {"maxOutputTokens": 5, "candidateCount": 2}}),
                Some(10),
            ),
            (
                json!({"generation_config": {"max_output_tokens": 5}}),
                Some(5),
            ),
            (json!({"messages": [{"max_tokens": 7}]}), None),
            (json!({"max_tokens": "7"}), None),
            (json!({"max_tokens": null}), None),
            (json!({"max_tokens": 7.5}), None),
            (json!({"max_tokens": {"a": [1]}, "n": [2]}), None),
            (json!({"max_tokens": u64::MAX, "n": 9}), Some(u64::MAX)),
        ] {
            assert_eq!(of(&body).max_output(), expected, "{body}");
        }
    }

    #[test]
    fn pictures_and_sound_are_no_text_in_any_api() {
        let data = "iVBORw0KGgo+/aZ9".repeat(100);
        let text = "a prompt of many words, ".repeat(100);
        let url = format!("data:image/png;base64,{data}");
        for (body, expected) in [
            (json!({"messages": [{"content": text}]}), 0),
            (
                json!({"messages": [{"content": [{"image_url": {"url": url}}]}]}),
                url.len(),
            ),
            (
                json!({"messages": [{"content": [{"input_audio": {"data": data}}]}]}),
                data.len(),
            ),
            (
                json!({"messages": [{"content": [{"source": {"data": data}}]}]}),
                data.len(),
            ),
            (
                json!({"messages": [{"content": "", "images": [data, data]}]}),
                2 * data.len(),
            ),
            (
                json!({"contents": [{"parts": [{"inlineData": {"data": data}}]}]}),
                data.len(),
            ),
            (
                json!({"a": [{"image_url": url}, {"b64_json": data}]}),
                url.len() + data.len(),
            ),
            // It looks like data, and is where no data is.
            (json!({"prompt": data}), 0),
            (json!({"messages": [{"content": data}, data]}), 0),
            (json!({"prompt": url}), 0),
            (json!({"data": text}), 0),
            (json!({"data": "x".repeat(1023)}), 0),
            (json!({"prompt": "\u{6f22}".repeat(2000)}), 0),
        ] {
            assert_eq!(of(&body).data, expected as u64, "{body}");
            let pretty = serde_json::to_vec_pretty(&body).unwrap();
            let tokens = read(&pretty).unwrap();
            assert_eq!(tokens.data, expected as u64, "{body}");
        }
    }

    #[test]
    fn letters_that_are_escaped_are_text_and_slashes_may_be() {
        let letters = r"\u4f60\u597d".repeat(200);
        let body = format!(r#"{{"data":"{letters}"}}"#);
        assert_eq!(read(body.as_bytes()).unwrap().data, 0);
        let data = r"iVBORw0KGgo+\/aZ9".repeat(100);
        let body = format!(r#"{{"data":"{data}"}}"#);
        assert_eq!(read(body.as_bytes()).unwrap().data, data.len() as u64);
    }

    #[test]
    fn a_body_that_is_cut_off_counts_as_far_as_it_goes() {
        let data = "iVBORw0KGgo+/aZ9".repeat(100);
        let body = format!("{{\"max_tokens\":5,\"url\":\"{data}");
        let tokens = read(body.as_bytes()).unwrap();
        assert_eq!(tokens.max_output(), Some(5));
        assert_eq!((tokens.data, tokens.ends_in_data), (1600, true));
        let tokens = read(br#"{"max_tokens":5,"a":["b","#).unwrap();
        assert_eq!((tokens.data, tokens.ends_in_data), (0, false));
    }

    #[test]
    fn what_is_no_object_says_nothing() {
        for body in [&b"--boundary"[..], b"", b"[1]", b"\"text\"", b"\xff\xd8"] {
            assert_eq!(read(body), None);
        }
    }
}

//! The beginning of a conversation, which is the same in all of its requests.

use super::json::Json;

/// Terminates each text, so that the boundaries between texts matter; UTF-8 never contains it.
const END: u8 = 0xff;

/// Whether a prefix contains only empty texts, or no texts at all.
pub(crate) fn is_empty(prefix: &[u8]) -> bool {
    prefix.iter().all(|&byte| byte == END)
}

/// The system prompt and the first message after it, as texts.
///
/// They are read from the members that the APIs of OpenAI and Anthropic call
/// `messages`, `system`, `instructions`, `input` and `prompt`. If a message's
/// content is a list of parts, its texts and its images' URLs or data are used.
/// The order of the members, the model, and messages appended to the
/// conversation make no difference.
pub(super) struct Conversation {
    limit: usize,
    /// The system prompt, if it is in a separate field.
    system: Vec<u8>,
    /// The leading messages of the system's or developer's role, and the next one.
    opening: Vec<u8>,
    /// Whether one of these messages was the system's.
    has_system_message: bool,
}

impl Conversation {
    /// Reads at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            system: Vec::new(),
            opening: Vec::new(),
            has_system_message: false,
        }
    }

    /// Whether no other member is needed.
    pub(super) fn is_done(&self) -> bool {
        self.system.len() == self.limit
            || !self.opening.is_empty() && (self.has_system_message || !self.system.is_empty())
    }

    pub(super) fn into_prefix(self) -> Vec<u8> {
        let mut prefix = self.system;
        prefix.extend(self.opening);
        prefix.truncate(self.limit);
        prefix
    }

    /// Reads a top-level member of a request.
    pub(super) fn member(&mut self, key: &[u8], value: &mut Json<'_>) -> Option<()> {
        match key {
            b"system" | b"instructions" if self.system.is_empty() => {
                content(value, &mut Limited(&mut self.system, self.limit))
            }
            b"messages" | b"input" | b"prompt" if self.opening.is_empty() => self.messages(value),
            _ => value.skip(),
        }
    }

    /// Reads a single text, or a list of messages or texts up to the first
    /// that is not the system's.
    fn messages(&mut self, value: &mut Json<'_>) -> Option<()> {
        if value.peek()? != b'[' {
            return content(value, &mut Limited(&mut self.opening, self.limit));
        }
        let mut is_complete = false;
        value.array(|message| {
            if is_complete {
                return message.skip();
            }
            let is_system = self.message(message)?;
            self.has_system_message |= is_system;
            is_complete = !is_system;
            (!is_complete || !self.is_done()).then_some(())
        })
    }

    /// Reads a message, and returns whether it is the system's.
    fn message(&mut self, message: &mut Json<'_>) -> Option<bool> {
        let mut texts = Limited(&mut self.opening, self.limit);
        if message.peek()? != b'{' {
            return content(message, &mut texts).map(|()| false);
        }
        let mut is_system = false;
        message.object(|key, value| match key {
            b"role" => {
                let role = value.string()?;
                is_system = role.is_some_and(|role| role.is("system") || role.is("developer"));
                Some(())
            }
            b"content" => content(value, &mut texts),
            _ => value.skip(),
        })?;
        Some(is_system)
    }
}

/// A buffer and its maximum length.
struct Limited<'a>(&'a mut Vec<u8>, usize);

impl Limited<'_> {
    /// Appends the string that comes next, if it is one.
    fn string(&mut self, value: &mut Json<'_>) -> Option<()> {
        if let Some(text) = value.string()? {
            text.append_to(self.0, self.1);
            if text.is_whole && self.0.len() < self.1 {
                self.0.push(END);
            }
        }
        Some(())
    }
}

/// Reads a text, or a list of parts.
fn content(value: &mut Json<'_>, texts: &mut Limited<'_>) -> Option<()> {
    match value.peek()? {
        b'[' => value.array(|part| match part.peek()? {
            b'{' => part.object(|key, value| match key {
                b"text" => texts.string(value),
                b"image_url" | b"source" => image(value, texts),
                _ => value.skip(),
            }),
            _ => texts.string(part),
        }),
        _ => texts.string(value),
    }
}

/// Reads an image: its URL, or an object with that or with its data.
fn image(value: &mut Json<'_>, texts: &mut Limited<'_>) -> Option<()> {
    match value.peek()? {
        b'{' => value.object(|key, value| match key {
            b"url" | b"data" => texts.string(value),
            _ => value.skip(),
        }),
        _ => texts.string(value),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::keys::body::{BodyKeys, NeededKeys};

    fn prefix_of(body: &[u8], limit: usize) -> Vec<u8> {
        let needed = NeededKeys {
            prefix: limit,
            ..NeededKeys::default()
        };
        BodyKeys::read(body, needed).conversation
    }

    /// The texts, each followed by a `|`.
    fn prefix(body: &Value) -> String {
        let prefix = prefix_of(body.to_string().as_bytes(), 1000);
        let texts = prefix
            .iter()
            .map(|&byte| if byte == END { b'|' } else { byte });
        String::from_utf8(texts.collect()).unwrap()
    }

    #[test]
    fn it_is_the_system_prompt_and_the_first_message() {
        for (body, expected) in [
            // OpenAI's chat
            (
                json!({"messages": [
                    {"role": "system", "content": "be brief"},
                    {"role": "developer", "content": "and kind"},
                    {"role": "user", "content": "hello"},
                    {"role": "assistant", "content": "hi"},
                ]}),
                "be brief|and kind|hello|",
            ),
            (
                json!({"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}),
                "a|",
            ),
            (
                json!({"messages": [{"role": "system", "content": "alone"}]}),
                "alone|",
            ),
            (
                json!({"messages": [{"content": "no role"}, {"content": "x"}]}),
                "no role|",
            ),
            (
                json!({"messages": [{"role": "user", "content": [
                    {"type": "text", "text": "what is"},
                    {"type": "image_url", "image_url": {"url": "http://i", "detail": "low"}},
                    {"type": "text", "text": "this"},
                ]}]}),
                "what is|http://i|this|",
            ),
            (
                json!({"messages": [{"role": "user", "content": null}, {"content": "x"}]}),
                "",
            ),
            // Anthropic's messages
            (
                json!({"messages": [{"role": "user", "content": "hello"}], "system": "be brief"}),
                "be brief|hello|",
            ),
            (
                json!({"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}],
                "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "AA=="}}]}]}),
                "a|b|AA==|",
            ),
            // OpenAI's responses
            (
                json!({"instructions": "be brief", "input": "hello"}),
                "be brief|hello|",
            ),
            (
                json!({"input": [
                    {"role": "developer", "content": "be brief"},
                    {"role": "user", "content": [{"type": "input_text", "text": "what is"}, {"type": "input_image", "image_url": "http://i"}]},
                    {"type": "function_call_output", "output": "x"},
                ]}),
                "be brief|what is|http://i|",
            ),
            (
                json!({"prompt": {"id": "p", "variables": {"text": "x"}}, "input": "hello"}),
                "hello|",
            ),
            // Completions and embeddings
            (json!({"prompt": "once"}), "once|"),
            (json!({"prompt": ["once", "twice"]}), "once|"),
            (json!({"input": ["once", "twice"]}), "once|"),
            (json!({"prompt": [1, 2, 3]}), ""),
            // Nothing
            (json!({"messages": "once"}), "once|"),
            (json!({"messages": []}), ""),
            (json!({"system": "", "prompt": "x"}), "|x|"),
            (json!({"messages": {"content": "x"}}), ""),
            (json!({"messages": [[["x"]], 1]}), ""),
            (json!({}), ""),
        ] {
            assert_eq!(prefix(&body), expected, "{body}");
        }
    }

    #[test]
    fn the_order_of_the_members_does_not_matter() {
        for bodies in [
            [
                r#"{"system":"s","messages":[{"role":"user","content":"a"}]}"#,
                r#"{"messages":[{"content":"a","role":"user"}],"system":"s"}"#,
            ],
            [
                r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"}]}"#,
                r#"{"messages":[{"content":"s","role":"system"},{"content":"a","role":"user"}]}"#,
            ],
        ] {
            let [one, other] = bodies.map(|body| prefix_of(body.as_bytes(), 100));
            assert_eq!(one, other);
            assert_eq!(one, b"s\xffa\xff");
        }
    }

    #[test]
    fn where_a_text_ends_matters() {
        let body = |system: &str, user: &str| json!({"system": system, "prompt": user});
        assert_ne!(prefix(&body("ab", "c")), prefix(&body("a", "bc")));
    }

    fn message(role: &'static str) -> impl Strategy<Value = Value> {
        let text = "[a-z\"\\\\{}\\[\\]\n\u{e9}]{0,20}";
        prop_oneof![
            text.prop_map(move |text| json!({"role": role, "content": text})),
            prop::collection::vec(text, 0..3).prop_map(move |texts| {
                let parts: Vec<_> = texts
                    .iter()
                    .map(|text| json!({"type": "text", "text": text}))
                    .collect();
                json!({"content": parts, "role": role, "name": "n"})
            }),
        ]
    }

    fn text(body: &Value, pretty: bool) -> Vec<u8> {
        if pretty {
            serde_json::to_vec_pretty(body)
        } else {
            serde_json::to_vec(body)
        }
        .unwrap()
    }

    proptest! {
        #[test]
        fn all_requests_of_a_conversation_agree(
            system in prop::collection::vec(message("system"), 0..3),
            first in message("user"),
            later in prop::collection::vec(message("assistant"), 0..4),
            pretty in any::<(bool, bool)>(),
            limit in 1..80_usize,
        ) {
            let begun = [&system[..], &[first]].concat();
            let grown = [&begun[..], &later].concat();
            let begun = text(&json!({"model": "a", "messages": begun}), pretty.0);
            let grown = text(&json!({"messages": grown, "model": "b", "stream": true}), pretty.1);
            prop_assert_eq!(prefix_of(&begun, limit), prefix_of(&grown, limit));
        }

        #[test]
        fn a_longer_reading_begins_with_the_shorter(
            system in "[a-z\n]{0,20}", messages in prop::collection::vec(message("user"), 0..3), limit in 1..40_usize, more in 0..40_usize,
        ) {
            let body = text(&json!({"messages": messages, "system": system}), false);
            let (short, long) = (prefix_of(&body, limit), prefix_of(&body, limit + more));
            prop_assert!(short.len() <= limit);
            prop_assert_eq!(&long[..short.len().min(long.len())], &short[..]);
            prop_assert!(short.len() == limit || short == long);
        }

        #[test]
        fn a_body_that_is_cut_off_behind_the_prefix_has_the_same(
            system in message("system"), first in message("user"), filler in "[a-z]{50}", limit in 1..40_usize, cut in any::<prop::sample::Index>(),
        ) {
            let body = text(&json!({"messages": [system, first, {"role": "assistant", "content": &filler}]}), false);
            let end = body.windows(50).position(|part| part == filler.as_bytes()).unwrap();
            let cut = end + cut.index(body.len() - end);
            prop_assert_eq!(prefix_of(&body[..cut], limit), prefix_of(&body, limit));
        }

        #[test]
        fn cuts_anywhere_do_no_harm(messages in prop::collection::vec(message("user"), 0..3), cut in any::<prop::sample::Index>()) {
            let body = text(&json!({"messages": messages, "system": "s"}), false);
            let part = prefix_of(&body[..cut.index(body.len())], 30);
            prop_assert!(part.len() <= 30);
        }
    }
}

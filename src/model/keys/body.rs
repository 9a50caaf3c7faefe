//! The keys for affinity, read from a request's body.

use std::sync::Arc;

use super::{blocks::Parts, conversation::Conversation, json::Json, tokens::Tokens};

/// The keys wanted from a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NeededKeys {
    pub(crate) user: bool,
    pub(crate) session_id: bool,
    pub(crate) prompt_cache_key: bool,
    pub(crate) conversation_id: bool,
    /// Whether the answer is to be a stream.
    pub(crate) stream: bool,
    /// What it says about the tokens that the request will use.
    pub(crate) tokens: bool,
    /// The blocks of the prompt.
    pub(crate) blocks: bool,
    /// This many bytes of the conversation.
    pub(crate) prefix: usize,
}

impl NeededKeys {
    /// Whether no key is wanted, so that the body need not be read for keys.
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// The union of both: one reading serves several ModelServers.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            user: self.user || other.user,
            session_id: self.session_id || other.session_id,
            prompt_cache_key: self.prompt_cache_key || other.prompt_cache_key,
            conversation_id: self.conversation_id || other.conversation_id,
            stream: self.stream || other.stream,
            tokens: self.tokens || other.tokens,
            blocks: self.blocks || other.blocks,
            prefix: self.prefix.max(other.prefix),
        }
    }
}

/// The keys that were found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BodyKeys {
    /// The hash of the top-level `user`, or else of Anthropic's `metadata.user_id`.
    pub(crate) user: Option<u64>,
    /// The hash of the top-level `session_id`.
    pub(crate) session_id: Option<u64>,
    /// The hash of the top-level `prompt_cache_key`.
    pub(crate) prompt_cache_key: Option<u64>,
    /// The hash of the top-level `conversation`, or of its `id`.
    pub(crate) conversation_id: Option<u64>,
    /// Whether the answer is to be a stream, by the top-level `stream`; `None` if not all engines read
    /// that alike, or it is not known.
    pub(crate) stream: Option<bool>,
    /// The beginning of the conversation, up to the longest prefix that is wanted.
    pub(crate) conversation: Vec<u8>,
    /// What it says about tokens; nothing if it is not a JSON object.
    pub(crate) tokens: Option<Tokens>,
    /// The hashes of the prompt's blocks, each of which covers all before it.
    pub(crate) blocks: Option<Arc<[u64]>>,
}

impl BodyKeys {
    /// Those of a body that nothing is read of, as of most.
    pub(crate) const NONE: &Self = &Self {
        user: None,
        session_id: None,
        prompt_cache_key: None,
        conversation_id: None,
        stream: None,
        conversation: Vec::new(),
        tokens: None,
        blocks: None,
    };

    /// Reads a body, or the first part of it, as far as needed.
    ///
    /// If a body ends early or is not valid JSON, the part before that point is
    /// used. Among members of the same name the first is used, but for `stream`.
    /// Reading takes linear time, and memory for the wanted prefix.
    pub(crate) fn read(body: &[u8], needed: NeededKeys) -> Self {
        if needed.is_none() {
            return Self::default();
        }
        let mut reader = Reader {
            needed,
            user: None,
            user_id: None,
            session_id: None,
            prompt_cache_key: None,
            conversation_id: None,
            stream: None,
            tokens: Tokens::default(),
            conversation: Conversation::new(needed.prefix),
            parts: Parts::default(),
        };
        let mut json = Json::new(body);
        let is_object = json.peek() == Some(b'{');
        // The keys found before an early end still count.
        let is_whole = json
            .object(|key, value| reader.member(key, value))
            .is_some();
        let unsaid = (needed.stream && is_object && is_whole).then_some(false);
        let tokens = reader.tokens.read(&json);
        Self {
            tokens: (needed.tokens && is_object).then_some(tokens),
            user: reader.user.or(reader.user_id),
            session_id: reader.session_id,
            prompt_cache_key: reader.prompt_cache_key,
            conversation_id: reader.conversation_id,
            stream: reader.stream.unwrap_or(unsaid),
            conversation: reader.conversation.into_prefix(),
            blocks: needed.blocks.then(|| reader.parts.blocks().into()),
        }
    }
}

struct Reader<'a> {
    needed: NeededKeys,
    user: Option<u64>,
    user_id: Option<u64>,
    session_id: Option<u64>,
    prompt_cache_key: Option<u64>,
    conversation_id: Option<u64>,
    /// What it says, once it is there.
    stream: Option<Option<bool>>,
    tokens: Tokens,
    conversation: Conversation,
    parts: Parts<'a>,
}

impl<'a> Reader<'a> {
    /// Reads a member of the body; `None` if no further member is needed.
    fn member(&mut self, key: &[u8], value: &mut Json<'a>) -> Option<()> {
        match key {
            b"user" if self.needed.user => first(&mut self.user, value)?,
            b"metadata" if self.needed.user => value.object(|key, value| match key {
                b"user_id" => first(&mut self.user_id, value),
                _ => value.skip(),
            })?,
            b"session_id" if self.needed.session_id => first(&mut self.session_id, value)?,
            b"prompt_cache_key" if self.needed.prompt_cache_key => {
                first(&mut self.prompt_cache_key, value)?;
            }
            b"conversation" if self.needed.conversation_id => match value.peek()? {
                b'{' => value.object(|key, value| match key {
                    b"id" => first(&mut self.conversation_id, value),
                    _ => value.skip(),
                })?,
                _ => first(&mut self.conversation_id, value)?,
            },
            _ if self.needed.stream && may_be_stream(key) => {
                // The only words that begin so.
                let said = match value.peek()? {
                    b't' => Some(true),
                    b'f' | b'n' => Some(false),
                    _ => None,
                };
                let is_clear = key == b"stream" && self.stream.is_none();
                self.stream = Some(said.filter(|_| is_clear));
                value.skip()?;
            }
            _ if self.needed.tokens && self.tokens.takes(key) => self.tokens.member(key, value)?,
            _ if self.needed.blocks && Parts::takes(key) => {
                let mut again = value.clone();
                let read = self.parts.member(key, value);
                if self.needed.prefix > 0 {
                    // What it has of a value that ends early counts too.
                    _ = self.conversation.member(key, &mut again);
                }
                read?;
            }
            _ if self.needed.prefix > 0 => self.conversation.member(key, value)?,
            _ => value.skip()?,
        }
        (!self.is_done()).then_some(())
    }

    fn is_done(&self) -> bool {
        !self.needed.tokens
            && !self.needed.blocks
            && !self.needed.stream
            && (!self.needed.user || self.user.is_some())
            && (!self.needed.session_id || self.session_id.is_some())
            && (!self.needed.prompt_cache_key || self.prompt_cache_key.is_some())
            && (!self.needed.conversation_id || self.conversation_id.is_some())
            && (self.needed.prefix == 0 || self.conversation.is_done())
    }
}

/// Whether some engine takes this key for `stream`: those written in Go (encoding/json) match names
/// without regard to case, by which a long s is one too.
fn may_be_stream(key: &[u8]) -> bool {
    let first: [&[u8]; 3] = [b"s", b"S", "\u{17f}".as_bytes()];
    let mut rests = first.iter().filter_map(|first| key.strip_prefix(*first));
    rests.any(|rest| rest.eq_ignore_ascii_case(b"tream"))
}

/// Keeps the first of several.
fn first(key: &mut Option<u64>, value: &mut Json<'_>) -> Option<()> {
    let found = value.string()?.and_then(|text| text.hash());
    *key = key.or(found);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{super::hash::hash, *};

    const ALL: NeededKeys = NeededKeys {
        user: true,
        session_id: true,
        prompt_cache_key: true,
        conversation_id: true,
        stream: true,
        tokens: false,
        blocks: false,
        prefix: 100,
    };

    fn read(body: &str) -> BodyKeys {
        BodyKeys::read(body.as_bytes(), ALL)
    }

    fn hashed(text: &str) -> Option<u64> {
        Some(hash(0, text.as_bytes()))
    }

    #[test]
    fn the_keys_are_top_level_strings() {
        for (body, user, session_id) in [
            (r#"{"user":"u","session_id":"s"}"#, hashed("u"), hashed("s")),
            (r#"{"us\u0065r":"\u0075"}"#, hashed("u"), None),
            (
                r#" { "a" : [ {"user":"x"} ] , "user" : "u" } "#,
                hashed("u"),
                None,
            ),
            (r#"{"x":{"user":"u","session_id":"s"}}"#, None, None),
            (r#"{"user":1,"session_id":{"a":"b"}}"#, None, None),
            (r#"{"user":"","session_id":null}"#, None, None),
            (r#"{"user":"first","user":"last"}"#, hashed("first"), None),
            (r#"[{"user":"u"}]"#, None, None),
            (r#""user""#, None, None),
            ("", None, None),
        ] {
            let keys = read(body);
            assert_eq!((keys.user, keys.session_id), (user, session_id), "{body}");
        }
    }

    #[test]
    fn a_stream_is_asked_for_if_all_engines_read_it_so() {
        for (body, stream) in [
            (r#"{"stream":true,"model":"m"}"#, Some(true)),
            (
                r#"{"model":"m","messages":[{"stream":false}],"stream" : true }"#,
                Some(true),
            ),
            (r#"{"stre\u0061m":true}"#, Some(true)),
            (r#"{"stream":false}"#, Some(false)),
            (r#"{"stream":null}"#, Some(false)),
            (r#"{"x":{"stream":true}}"#, Some(false)),
            (r#"{}"#, Some(false)),
            // pydantic takes these for words, and others don't.
            (r#"{"stream":"true"}"#, None),
            (r#"{"stream":1}"#, None),
            (r#"{"stream":true,"stream":false}"#, None),
            (r#"{"stream":false,"model":"m","stream":true}"#, None),
            (r#"{"Stream":true}"#, None),
            ("{\"\u{17f}tream\":true}", None),
            (r#"{"stream":false,"STREAM":true}"#, None),
            (r#"{"model":"m""#, None),
            (r#"[{"stream":true}]"#, None),
            ("", None),
        ] {
            assert_eq!(read(body).stream, stream, "{body}");
        }
    }

    #[test]
    fn anthropics_user_id_is_the_user_where_there_is_no_other() {
        for (body, user) in [
            (r#"{"metadata":{"a":1,"user_id":"m"}}"#, "m"),
            (r#"{"metadata":{"user_id":"m"},"user":"u"}"#, "u"),
            (r#"{"user":"u","metadata":{"user_id":"m"}}"#, "u"),
        ] {
            assert_eq!(read(body).user, hashed(user), "{body}");
        }
        assert_eq!(read(r#"{"metadata":"user_id"}"#).user, None);
    }

    #[test]
    fn a_conversation_is_an_id_or_an_object_with_one() {
        for (body, key, conversation) in [
            (r#"{"prompt_cache_key":"k","conversation":"c"}"#, "k", "c"),
            (
                r#"{"conversation":{"x":[1],"id":"c"},"prompt_cache_key":"k"}"#,
                "k",
                "c",
            ),
        ] {
            let keys = read(body);
            assert_eq!(keys.prompt_cache_key, hashed(key), "{body}");
            assert_eq!(keys.conversation_id, hashed(conversation), "{body}");
        }
        let none = read(r#"{"conversation":{"name":"c"},"prompt_cache_key":7}"#);
        assert_eq!((none.prompt_cache_key, none.conversation_id), (None, None));
    }

    /// A body of which both a prefix and the blocks are read.
    #[test]
    fn a_prefix_and_blocks_come_from_the_same_members() {
        let text = "x".repeat(3000);
        let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}],"user":"u"}}"#);
        let needed = NeededKeys {
            blocks: true,
            ..ALL
        };
        for body in [&*body, &body[..2500]] {
            let keys = BodyKeys::read(body.as_bytes(), needed);
            assert_eq!(keys.conversation, text.as_bytes()[..100]);
            assert_eq!(
                keys.blocks.unwrap().len(),
                (body.len() - 15) / 512,
                "{}",
                body.len()
            );
        }
    }

    #[test]
    fn what_was_read_of_a_body_that_is_cut_off_counts() {
        for (body, user, session_id) in [
            (r#"{"user":"u","session_id":"s"#, hashed("u"), None),
            (r#"{"session_id":"s","messages":[{"con"#, None, hashed("s")),
            (r#"{"user":"u"} and what is not JSON"#, hashed("u"), None),
            (r#"{"user":"u","a":]"#, hashed("u"), None),
        ] {
            let keys = read(body);
            assert_eq!((keys.user, keys.session_id), (user, session_id), "{body}");
        }
    }

    #[test]
    fn nothing_else_than_wished_is_read() {
        let body = br#"{"user":"u","session_id":"s","messages":[{"content":"c"}]}"#;
        let of = |needed| BodyKeys::read(body, needed);
        assert_eq!(of(NeededKeys::default()), BodyKeys::default());
        let needed = NeededKeys {
            user: true,
            ..NeededKeys::default()
        };
        let expected = BodyKeys {
            user: hashed("u"),
            ..BodyKeys::default()
        };
        assert_eq!(of(needed), expected);
        let needed = NeededKeys {
            prefix: 1,
            ..NeededKeys::default()
        };
        let expected = BodyKeys {
            conversation: b"c".to_vec(),
            ..BodyKeys::default()
        };
        assert_eq!(of(needed), expected);
    }

    #[test]
    fn wishes_add_up() {
        let user = NeededKeys {
            user: true,
            prefix: 10,
            ..NeededKeys::default()
        };
        let session = NeededKeys {
            session_id: true,
            prefix: 20,
            ..NeededKeys::default()
        };
        let both = NeededKeys {
            user: true,
            session_id: true,
            prefix: 20,
            ..NeededKeys::default()
        };
        assert_eq!(user.and(session), both);
        assert!(!both.is_none() && NeededKeys::default().is_none());
    }
}

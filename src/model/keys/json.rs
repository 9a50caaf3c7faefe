//! Just enough of JSON to find a few strings in a body that may be cut off.

use std::borrow::Cow;

use super::{data::Data, hash::hash};
use crate::{
    model::json::{decode_text, skip_nested},
    pieces::quote_or_backslash,
};

/// A forward reader of JSON, which reads each byte once and never recurses.
///
/// It does not validate the values that it skips; the engine does. Every method
/// returns `None` if the text ends or is not JSON; reading can't continue then.
#[derive(Clone)]
pub(super) struct Json<'a> {
    text: &'a [u8],
    rest: &'a [u8],
    data: Data,
}

impl<'a> Json<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        // A byte order mark is skipped, as the scanner does.
        let rest = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        Self {
            text: rest,
            rest,
            data: Data::default(),
        }
    }

    /// The next byte that is not white space, without consuming it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let start = self.rest.iter().position(|byte| !space(byte))?;
        self.rest = self.rest.get(start..)?;
        self.rest.first().copied()
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Consumes the next byte if it is `byte`.
    fn eat(&mut self, byte: u8) -> Option<bool> {
        let is_next = self.peek()? == byte;
        if is_next {
            self.advance(1);
        }
        Some(is_next)
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Calls `member` with each key and the reader before its value, which
    /// `member` must read or skip. A value that is not an object is skipped.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&[u8], &mut Self) -> Option<()>,
    ) -> Option<()> {
        if self.peek()? != b'{' {
            return self.skip();
        }
        self.advance(1);
        if self.eat(b'}')? {
            return Some(());
        }
        loop {
            let key = self.string()??;
            if !key.is_whole || !self.eat(b':')? {
                return None;
            }
            member(&key.decoded(), self)?;
            if !self.eat(b',')? {
                return self.eat(b'}')?.then_some(());
            }
        }
    }

    /// Calls `element` before each element, which it must read or skip. A
    /// value that is not an array is skipped.
    pub(super) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.peek()? != b'[' {
            return self.skip();
        }
        self.advance(1);
        if self.eat(b']')? {
            return Some(());
        }
        loop {
            element(self)?;
            if !self.eat(b',')? {
                return self.eat(b']')?.then_some(());
            }
        }
    }

    /// Reads the next value if it is a string; any other value is skipped, with `Some(None)`.
    pub(super) fn string(&mut self) -> Option<Option<RawString<'a>>> {
        if self.peek()? != b'"' {
            return self.skip().map(|()| None);
        }
        self.advance(1);
        let text = self.rest;
        let mut at = 0;
        loop {
            match quote_or_backslash(text.get(at..).unwrap_or_default()) {
                None => {
                    let begin = self.text.len() - text.len();
                    self.data.string(self.text, begin..self.text.len(), false);
                    self.rest = &[];
                    return Some(Some(RawString {
                        raw: text,
                        is_whole: false,
                    }));
                }
                Some(next) if text.get(at + next) == Some(&b'\\') => at += next + 2,
                Some(next) => {
                    let raw = text.get(..at + next)?;
                    let begin = self.text.len() - text.len();
                    self.data.string(self.text, begin..begin + raw.len(), true);
                    self.advance(at + next + 1);
                    return Some(Some(RawString {
                        raw,
                        is_whole: true,
                    }));
                }
            }
        }
    }

    /// How many bytes of pictures and sound have been read.
    pub(super) fn data(&self) -> u64 {
        self.data.bytes
    }

    /// Whether the text ends within one.
    pub(super) fn ends_in_data(&self) -> bool {
        self.data.is_open
    }

    /// Skips a value.
    pub(super) fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' | b'[' => self.skip_nested(),
            _ => self.skip_scalar(),
        }
    }

    fn skip_nested(&mut self) -> Option<()> {
        let nested = self.rest.get(1..)?;
        let (text, data) = (self.text, &mut self.data);
        let base = text.len() - nested.len();
        let len = skip_nested(nested, |place, is_whole| {
            data.string(text, base + place.start..base + place.end, is_whole);
        });
        match len {
            Some(len) => self.advance(1 + len),
            None => self.rest = &[],
        }
        len.map(|_| ())
    }

    /// Reads the next value if it is a whole number that is not negative; any other is skipped, with
    /// `Some(None)`.
    pub(super) fn count(&mut self) -> Option<Option<u64>> {
        if !self.peek()?.is_ascii_digit() {
            return self.skip().map(|()| None);
        }
        let before = self.rest;
        self.skip_scalar()?;
        let digits = before.get(..before.len() - self.rest.len())?;
        let number = std::str::from_utf8(digits).ok().map(str::parse);
        Some(number.and_then(Result::ok))
    }

    /// Skips a number or a word.
    fn skip_scalar(&mut self) -> Option<()> {
        let is_part =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let end = self.rest.iter().position(|byte| !is_part(byte))?;
        self.advance(end);
        (end > 0).then_some(())
    }
}

/// The text between the quotes of a string, escapes included.
pub(super) struct RawString<'a> {
    raw: &'a [u8],
    /// Whether the closing quote was there.
    pub(super) is_whole: bool,
}

impl<'a> RawString<'a> {
    fn decoded(&self) -> Cow<'a, [u8]> {
        if !self.raw.contains(&b'\\') {
            return self.raw.into();
        }
        let mut text = Vec::new();
        decode_text(self.raw, |piece| text.extend_from_slice(piece));
        text.into()
    }

    pub(super) fn is(&self, text: &str) -> bool {
        self.is_whole && *self.decoded() == *text.as_bytes()
    }

    /// The hash of a whole string that is not empty.
    pub(super) fn hash(&self) -> Option<u64> {
        self.hash_with(0)
    }

    /// The same with this seed.
    pub(super) fn hash_with(&self, seed: u64) -> Option<u64> {
        (self.is_whole && !self.raw.is_empty()).then(|| hash(seed, &self.decoded()))
    }

    /// Appends the text to `sink`, up to a total of `limit` bytes.
    pub(super) fn append_to(&self, sink: &mut Vec<u8>, limit: usize) {
        /// The most input that one decoded byte can take, as in `\u0041`.
        const LONGEST_ESCAPE: usize = 6;
        let room = limit.saturating_sub(sink.len());
        let raw = self
            .raw
            .get(..room.saturating_mul(LONGEST_ESCAPE))
            .unwrap_or(self.raw);
        decode_text(raw, |piece| {
            let room = limit.saturating_sub(sink.len());
            sink.extend_from_slice(piece.get(..room).unwrap_or(piece));
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// A key, and its value if that is a string, or its length if it is an array.
    type Member = (Vec<u8>, Option<Vec<u8>>);

    fn members(text: &[u8]) -> Option<Vec<Member>> {
        let mut found = Vec::new();
        let mut json = Json::new(text);
        json.object(|key, value| {
            let mut text = None;
            if value.peek()? == b'[' {
                let mut len = 0;
                value.array(|element| {
                    len += 1;
                    element.skip()
                })?;
                text = Some(vec![len]);
            } else if let Some(string) = value.string()? {
                text = Some(string.decoded().into_owned());
            }
            found.push((key.to_vec(), text));
            Some(())
        })?;
        json.peek().is_none().then_some(found)
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\\\\"{}\\[\\],:\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                object(inner),
            ]
        })
    }

    fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
        prop::collection::btree_map(any::<String>(), value, 0..6)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(value in object(value()), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let expected: Vec<_> = value.as_object().unwrap().iter().map(|(key, value)| {
                let text = match value {
                    Value::String(text) => Some(text.clone().into_bytes()),
                    Value::Array(elements) => Some(vec![elements.len() as u8]),
                    _ => None,
                };
                (key.clone().into_bytes(), text)
            }).collect();
            prop_assert_eq!(members(&text), Some(expected));
        }

        #[test]
        fn escapes_do_not_matter(text in any::<String>()) {
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = format!("{{\"{escaped}\":\"{escaped}\"}}");
            let expected = vec![(text.clone().into_bytes(), Some(text.into_bytes()))];
            prop_assert_eq!(members(json.as_bytes()), Some(expected));
        }

        #[test]
        fn anything_else_does_no_harm(text in "[\\\\\"{}\\[\\],:1a \u{e9}]{0,60}", bytes in any::<Vec<u8>>()) {
            let _ = members(text.as_bytes());
            let _ = members(&[b"{", text.as_bytes()].concat());
            let _ = members(&bytes);
        }

        #[test]
        fn a_text_is_appended_up_to_the_limit(text in any::<String>(), before in 0..10_usize, limit in 0..40_usize) {
            let json = serde_json::to_string(&text).unwrap();
            let mut sink = vec![0; before];
            let string = Json::new(json.as_bytes()).string().flatten().unwrap();
            string.append_to(&mut sink, limit);
            let room = limit.saturating_sub(before).min(text.len());
            prop_assert_eq!(&sink[before..], &text.as_bytes()[..room]);
        }
    }

    #[test]
    fn depth_does_not_matter() {
        let open = "[{\"a\":".repeat(500_000);
        assert_eq!(members(format!("{{\"a\":{open}").as_bytes()), None);
        let close = "}]".repeat(500_000);
        let whole = format!("{{\"a\":{{\"b\":{open}1{close}}},\"c\":\"d\"}}");
        let expected = [(b"a".to_vec(), None), (b"c".to_vec(), Some(b"d".to_vec()))];
        assert_eq!(members(whole.as_bytes()).as_deref(), Some(&expected[..]));
    }
}

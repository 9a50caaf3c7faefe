//! The pictures, sounds and files in a body, whose bytes are no text.

use std::ops::Range;

use memchr::memchr;

/// What has been found of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Data {
    /// Their bytes.
    pub(super) bytes: u64,
    /// Whether the text that was read ends within one.
    pub(super) is_open: bool,
    /// Where the last one ends in the text.
    end: usize,
}

/// The keys under which the APIs have them: OpenAI (`url`, `image_url`, `data`, `file_data`,
/// `b64_json`), Anthropic and Gemini (`data`), Ollama (`images`), Bedrock (`bytes`), KServe (`b64`).
const KEYS: [&[u8]; 9] = [
    b"url",
    b"image_url",
    b"data",
    b"file_data",
    b"b64_json",
    b"b64",
    b"bytes",
    b"image",
    b"images",
];
/// A picture is longer, and shorter texts are not worth a look.
const SHORTEST: usize = 1024;

impl Data {
    /// A string is in `text` there, without its quotes; whether its end is there.
    #[inline]
    pub(super) fn string(&mut self, text: &[u8], place: Range<usize>, is_whole: bool) {
        if place.len() >= SHORTEST {
            self.long(text, place, is_whole);
        }
    }

    fn long(&mut self, text: &[u8], place: Range<usize>, is_whole: bool) {
        let before = text.get(..place.start).unwrap_or_default();
        let string = text.get(place.clone()).unwrap_or_default();
        if self.is_expected(before) && is_base64(string) {
            self.bytes += string.len() as u64;
            self.is_open = !is_whole;
            self.end = place.end + 1;
        }
    }

    /// Whether there may be data behind this part of the text: by the key there. A text could look
    /// like base64, and be made to.
    fn is_expected(&self, before: &[u8]) -> bool {
        let before = before.strip_suffix(b"\"").unwrap_or_default();
        let Some((separator, before)) = before.trim_ascii_end().split_last() else {
            return false;
        };
        let before = before.trim_ascii_end();
        match separator {
            b':' => has_key(before),
            b'[' => before
                .strip_suffix(b":")
                .is_some_and(|before| has_key(before.trim_ascii_end())),
            // One of several.
            b',' => before.len() == self.end,
            _ => false,
        }
    }
}

fn has_key(before: &[u8]) -> bool {
    let key = before.strip_suffix(b"\"").unwrap_or_default();
    KEYS.iter().any(|known| {
        key.strip_suffix(*known)
            .is_some_and(|before| before.last() == Some(&b'"'))
    })
}

/// Whether a long string is base64, with or without a `data:` URL before it: whether a sample of its
/// bytes has none that base64 does not have, such as a space. Only a slash may be escaped: other
/// escapes are letters.
fn is_base64(string: &[u8]) -> bool {
    const SAMPLE: usize = 256;
    /// What comes before the data in a `data:` URL.
    const LONGEST_TYPE: usize = 128;
    let head = string.get(..LONGEST_TYPE).unwrap_or_default();
    let start = match (string.starts_with(b"data:"), memchr(b',', head)) {
        (true, Some(comma)) => comma + 1,
        _ => 0,
    };
    let data = string.get(start..).unwrap_or_default();
    let is_plain = |at: usize| match data.get(at) {
        Some(b'\\') => matches!(data.get(at + 1), Some(b'/') | None),
        Some(byte) => byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte),
        None => true,
    };
    let len = data.len();
    let ends = (0..SAMPLE).chain(len.saturating_sub(SAMPLE)..len);
    ends.chain((0..len).step_by(61)).all(is_plain)
}

//! Long JSON documents, as clients send them and as engines must get them.

use crate::table::{ALIAS, REAL};

/// A document with its model's value cut out.
#[derive(Clone, Debug)]
pub struct Document {
    pub before: Vec<u8>,
    pub after: Vec<u8>,
}

impl Document {
    pub fn new(before: impl AsRef<[u8]>, after: impl AsRef<[u8]>) -> Self {
        Self {
            before: before.as_ref().to_vec(),
            after: after.as_ref().to_vec(),
        }
    }

    /// Of `size` bytes as the client sends it, the model in front of all else.
    pub fn model_first(size: usize) -> Self {
        let (before, open, close) = (r#"{"model":"#, r#","x":""#, r#""}"#);
        let rest = size - before.len() - value(ALIAS).len() - open.len() - close.len();
        Self::new(
            before,
            [open.as_bytes(), &filler(rest), close.as_bytes()].concat(),
        )
    }

    /// The model behind `before` bytes, and before as many.
    pub fn model_in_the_middle(before: usize) -> Self {
        let filler = filler(before);
        Self::new(
            [br#"{"x":""#, &*filler, br#"","model":"#].concat(),
            [br#","y":[{"model":""#, &*filler, br#""}]}"#].concat(),
        )
    }

    /// What the client sends.
    pub fn sent(&self) -> Vec<u8> {
        [&*self.before, value(ALIAS).as_bytes(), &self.after].concat()
    }

    /// What the engine must get.
    pub fn forwarded(&self) -> Vec<u8> {
        [&*self.before, value(REAL).as_bytes(), &self.after].concat()
    }

    /// Where, in what the client sends, the model's value has ended.
    pub fn named_at(&self) -> usize {
        self.before.len() + value(ALIAS).len()
    }
}

/// How much longer a document gets by its model's real name.
pub const GROWTH: usize = REAL.len() - ALIAS.len();

fn value(name: &str) -> String {
    format!("\"{name}\"")
}

/// Text whose repetition is longer than any buffer, so that bytes that are lost, doubled or moved
/// do not go unnoticed.
pub fn filler(size: usize) -> Vec<u8> {
    let mut state = 1_u32;
    // A prime number of letters: a block of a power of two never fits it.
    let letters: Vec<u8> = (0..1_000_003.min(size))
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'a' + (state >> 24) as u8 % 26
        })
        .collect();
    let mut text = letters.repeat(size / letters.len().max(1));
    text.extend_from_slice(&letters[..size - text.len()]);
    text
}

/// Compares without writing megabytes into the failure.
#[track_caller]
pub fn assert_same(found: &[u8], expected: &[u8]) {
    if found != expected {
        let at = found
            .iter()
            .zip(expected)
            .take_while(|(a, b)| a == b)
            .count();
        panic!(
            "{} bytes where {} were expected; they differ from byte {at} on",
            found.len(),
            expected.len()
        );
    }
}

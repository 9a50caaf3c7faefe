//! The bytes of a body, in the chunks in which they arrived.

use bytes::{Bytes, BytesMut};

use super::joined::Joined;

/// So many words of the first chunk make a fingerprint. (All of 1 KB took 1,800 instructions of the
/// 10,000 of a request.)
const WORDS: usize = 16;
const WORD: usize = size_of::<u64>();

/// A list of chunks: large ones as they are, small ones joined.
///
/// A body that arrives in one chunk, or in large ones, is not copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunks {
    first: Bytes,
    more: Option<Box<More>>,
    len: u64,
}

/// The chunks after the first, which most bodies don't have.
#[derive(Clone, Debug, Default)]
struct More {
    rest: Vec<Bytes>,
    joined: Joined,
}

impl Chunks {
    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.len += chunk.len() as u64;
        if self.first.is_empty() {
            self.first = chunk;
            return;
        }
        let more = self.more.get_or_insert_default();
        more.rest.extend(more.joined.push(chunk));
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Tells bodies apart by their length and by words of the first chunk, evenly spread, so that
    /// its cost is bounded. Nobody is harmed by two that are alike.
    pub(crate) fn fingerprint(&self) -> u64 {
        // Any odd number without a pattern: the golden ratio's.
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let bytes = &*self.first;
        let step = (bytes.len() / WORDS).max(WORD);
        let words = bytes.chunks(step).map(|part| match part.first_chunk() {
            Some(word) => u64::from_le_bytes(*word),
            None => part
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte)),
        });
        words.fold(self.len, |hash, word| {
            let mixed = (hash ^ word).wrapping_mul(FACTOR);
            mixed ^ (mixed >> 32)
        })
    }

    /// The first chunk, and those after it.
    pub(crate) fn into_parts(self) -> (Bytes, Vec<Bytes>) {
        let rest = self.more.map_or_else(Vec::new, |mut more| {
            more.flush();
            more.rest
        });
        (self.first, rest)
    }

    /// All bytes in one piece; joins the chunks if there are several.
    pub(crate) fn contiguous(&mut self) -> &Bytes {
        if let Some(mut more) = self.more.take() {
            more.flush();
            let mut whole = BytesMut::with_capacity(usize::try_from(self.len).unwrap_or(0));
            whole.extend_from_slice(&self.first);
            for chunk in more.rest {
                whole.extend_from_slice(&chunk);
            }
            self.first = whole.freeze();
        }
        &self.first
    }
}

impl More {
    fn flush(&mut self) {
        self.rest.extend(self.joined.take());
    }
}

impl IntoIterator for Chunks {
    type Item = Bytes;
    type IntoIter = std::iter::Chain<std::iter::Once<Bytes>, std::vec::IntoIter<Bytes>>;

    fn into_iter(self) -> Self::IntoIter {
        let (first, rest) = self.into_parts();
        std::iter::once(first).chain(rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunks(parts: &[Vec<u8>]) -> Chunks {
        let mut chunks = Chunks::default();
        for part in parts {
            chunks.push(Bytes::from(part.clone()));
        }
        chunks
    }

    #[test]
    fn tiny_chunks_take_no_more_than_their_bytes() {
        let mut chunks = Chunks::default();
        for _ in 0..1_000_000 {
            chunks.push(Bytes::from_static(b"x"));
        }
        assert_eq!(chunks.len(), 1_000_000);
        assert!(chunks.into_iter().count() < 20);
    }

    #[test]
    fn bodies_that_differ_in_a_sentence_have_another_fingerprint() {
        for len in [10, 100, 1000, 100_000] {
            let sentence = (len / WORDS + WORD).min(len / 2);
            let of = |at: usize, count: usize| {
                let mut body = vec![b'a'; len];
                body[at..at + count].fill(b'b');
                chunks(&[body]).fingerprint()
            };
            let at = (0..=len - sentence).step_by((len / 7).max(1));
            let mut seen: Vec<u64> = at.map(|at| of(at, sentence)).collect();
            let all = seen.len();
            seen.push(of(0, 0));
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), all + 1, "{len}");
        }
        assert_ne!(
            chunks(&[vec![b'a'; 9]]).fingerprint(),
            chunks(&[vec![b'a'; 8]]).fingerprint()
        );
    }

    #[test]
    fn large_chunks_are_not_copied() {
        let large = Bytes::from(vec![1; Joined::LARGE]);
        let mut chunks = Chunks::default();
        for _ in 0..3 {
            chunks.push(large.clone());
        }
        assert!(
            chunks
                .into_iter()
                .all(|chunk| chunk.as_ptr() == large.as_ptr())
        );
    }

    proptest! {
        #[test]
        fn the_bytes_and_their_order_stay(
            parts in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..9),
                Just(vec![7; Joined::LARGE]),
            ], 0..20),
        ) {
            let whole = parts.concat();
            prop_assert_eq!(chunks(&parts).len(), whole.len() as u64);
            prop_assert_eq!(&chunks(&parts).into_iter().collect::<Vec<_>>().concat(), &whole);
            prop_assert_eq!(chunks(&parts).contiguous().clone(), whole);
        }
    }
}

//! The bytes of a body, in the chunks in which they arrived.

use bytes::{Bytes, BytesMut};

use super::joined::Joined;

/// This many words of the first chunk make a fingerprint. (All of 1 KB took 1,800 instructions of
/// the 10,000 of a request.)
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
        let mix = |hash: u64, word: u64| (hash.rotate_left(29) ^ word).wrapping_mul(FACTOR);
        let bytes = &*self.first;
        let parts = bytes.chunks_exact((bytes.len() / WORDS).max(WORD));
        let rest = parts.remainder();
        let last = match rest.first_chunk() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        let words = parts.filter_map(|part| Some(u64::from_le_bytes(*part.first_chunk()?)));
        mix(words.fold(self.len, mix), last)
    }

    /// The first chunk, and those after it.
    pub(crate) fn into_parts(self) -> (Bytes, Vec<Bytes>) {
        let rest = self.more.map_or_else(Vec::new, |mut more| {
            more.flush();
            more.rest
        });
        (self.first, rest)
    }

    /// The only chunk, if there are no more.
    pub(crate) fn into_only(self) -> Result<Bytes, Self> {
        match self.more {
            None => Ok(self.first),
            Some(_) => Err(self),
        }
    }

    /// All bytes in one piece; joins the chunks if there are several.
    pub(crate) fn contiguous(&mut self) -> &Bytes {
        self.join(u64::MAX);
        &self.first
    }

    /// The first `len` bytes in one piece, or all if there are fewer; joins only as many chunks as
    /// that takes.
    pub(crate) fn leading(&mut self, len: u64) -> &[u8] {
        self.join(len);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.first.get(..len).unwrap_or(&self.first)
    }

    /// Joins the first chunks to one of at least `len` bytes, if there are that
    /// many.
    fn join(&mut self, len: u64) {
        let Some(mut more) = self.more.take_if(|_| (self.first.len() as u64) < len) else {
            return;
        };
        more.flush();
        let mut size = self.first.len();
        let is_needed = |chunk: &&Bytes| {
            let is_needed = (size as u64) < len;
            size += if is_needed { chunk.len() } else { 0 };
            is_needed
        };
        let needed = more.rest.iter().take_while(is_needed).count();
        let mut joined = BytesMut::with_capacity(size);
        joined.extend_from_slice(&self.first);
        for chunk in more.rest.drain(..needed) {
            joined.extend_from_slice(&chunk);
        }
        self.first = joined.freeze();
        self.more = Some(more).filter(|more| !more.rest.is_empty());
    }
}

impl More {
    fn flush(&mut self) {
        self.rest.extend(self.joined.take());
    }
}

impl From<Bytes> for Chunks {
    fn from(chunk: Bytes) -> Self {
        Self {
            len: chunk.len() as u64,
            first: chunk,
            more: None,
        }
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

    fn parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let small = prop::collection::vec(any::<u8>(), 0..9);
        let part = prop_oneof![small, Just(vec![7; Joined::LARGE])];
        prop::collection::vec(part, 0..20)
    }

    proptest! {
        #[test]
        fn the_bytes_and_their_order_stay(
            parts in parts(),
        ) {
            let whole = parts.concat();
            prop_assert_eq!(chunks(&parts).len(), whole.len() as u64);
            prop_assert_eq!(&chunks(&parts).into_iter().collect::<Vec<_>>().concat(), &whole);
            prop_assert_eq!(chunks(&parts).contiguous().clone(), whole);
        }

        #[test]
        fn the_beginning_can_be_joined_alone(
            parts in parts(),
            lens in prop::collection::vec(0..3 * Joined::LARGE, 0..4),
        ) {
            let mut chunks = chunks(&parts);
            let whole = parts.concat();
            for len in lens {
                prop_assert_eq!(chunks.leading(len as u64), &whole[..len.min(whole.len())]);
                prop_assert_eq!(chunks.len(), whole.len() as u64);
            }
            chunks.push(Bytes::from_static(b"behind"));
            let all = [&*whole, b"behind"].concat();
            prop_assert_eq!(chunks.into_iter().collect::<Vec<_>>().concat(), all);
        }
    }
}

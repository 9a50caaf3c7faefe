//! Small chunks, joined.

use bytes::{Buf, Bytes, BytesMut};

/// Joins small chunks, because in a list a client's one-byte chunks would take
/// forty times their size. Large ones are left as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joined(BytesMut);

impl Joined {
    /// Chunks of this size and above are not copied.
    pub(crate) const LARGE: usize = 4 << 10;
    /// Small chunks are joined up to this size.
    const FULL: usize = 64 << 10;

    /// Adds a chunk; returns the chunks that this completes, in their order.
    pub(crate) fn push(&mut self, chunk: Bytes) -> impl Iterator<Item = Bytes> + use<> {
        let complete = if chunk.len() >= Self::LARGE {
            [self.take(), Some(chunk)]
        } else {
            self.0.extend_from_slice(&chunk);
            let is_full = self.0.len() >= Self::FULL;
            [if is_full { self.take() } else { None }, None]
        };
        complete.into_iter().flatten()
    }

    /// Takes the incomplete chunk, if there is one.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        (!self.0.is_empty()).then(|| self.0.split().freeze())
    }

    /// The incomplete chunk, or nothing.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Drops the first `bytes` of the incomplete chunk, or all of it if it is shorter.
    pub(crate) fn forget(&mut self, bytes: usize) {
        if bytes >= self.0.len() {
            self.0 = BytesMut::new();
        } else {
            self.0.advance(bytes);
        }
    }
}

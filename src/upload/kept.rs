//! The part of an upload that is kept to send it again.

use std::collections::VecDeque;

use bytes::Bytes;

use super::memory::Share;
use crate::pieces::{Chunks, Joined};

/// The bytes of an upload from `start` to `end`: at most `limit`, or as many as
/// it began with if those are more.
#[derive(Debug)]
pub(super) struct Kept {
    chunks: VecDeque<Bytes>,
    /// The bytes after those of the chunks.
    joined: Joined,
    start: u64,
    end: u64,
    limit: u64,
    /// Counts what is kept.
    share: Share,
}

/// The requested bytes are no longer kept.
#[derive(Debug)]
pub(super) struct Forgotten;

impl Kept {
    /// `share` counts the bytes of `begun`.
    pub(super) fn new(begun: Chunks, limit: u64, share: Share) -> Self {
        let end = begun.len();
        Self {
            chunks: begun
                .into_iter()
                .filter(|chunk| !chunk.is_empty())
                .collect(),
            joined: Joined::default(),
            start: 0,
            end,
            limit,
            share,
        }
    }

    /// The position of the first byte that has not been read yet.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Adds a chunk that has just been read. It is kept if another reader may ask
    /// for it and the limits allow it; otherwise everything is forgotten.
    pub(super) fn push(&mut self, chunk: &Bytes, asked_for: bool) {
        self.end += chunk.len() as u64;
        let kept = self.end - self.start;
        if !asked_for || kept > self.limit || self.share.resize(kept).is_err() {
            self.forget_before(u64::MAX);
        } else {
            self.chunks.extend(self.joined.push(chunk.clone()));
        }
    }

    /// The bytes that are kept from `position` on, or the first of them; `None` if
    /// they have not been read yet.
    pub(super) fn chunk_at(&self, position: u64) -> Result<Option<Bytes>, Forgotten> {
        let mut ahead = position.checked_sub(self.start).ok_or(Forgotten)?;
        for chunk in &self.chunks {
            match chunk.get(usize::try_from(ahead).unwrap_or(usize::MAX)..) {
                Some([]) | None => ahead -= chunk.len() as u64,
                Some(rest) => return Ok(Some(chunk.slice_ref(rest))),
            }
        }
        let ahead = usize::try_from(ahead).unwrap_or(usize::MAX);
        let rest = self.joined.as_slice().get(ahead..).unwrap_or_default();
        Ok((!rest.is_empty()).then(|| Bytes::copy_from_slice(rest)))
    }

    /// Whether everything read from `position` on is still kept, within the limit.
    pub(super) fn may_keep_from(&self, position: u64) -> bool {
        self.start <= position && self.end - self.start <= self.limit
    }

    pub(super) fn forget_before(&mut self, position: u64) {
        self.forget(position.min(self.end));
        // It can only have become less.
        _ = self.share.resize(self.end - self.start);
    }

    fn forget(&mut self, position: u64) {
        while let Some(chunk) = self.chunks.front_mut() {
            let passed = position.saturating_sub(self.start);
            if passed < chunk.len() as u64 {
                return;
            }
            self.start += chunk.len() as u64;
            self.chunks.pop_front();
        }
        let passed = position.saturating_sub(self.start);
        let passed = usize::try_from(passed).unwrap_or(usize::MAX);
        if passed >= self.joined.as_slice().len() {
            self.start = self.start.max(position);
        } else {
            self.start += passed as u64;
        }
        self.joined.forget(passed);
    }
}

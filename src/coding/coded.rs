//! A body that the client has sent compressed.

use super::{inflate_limits::InflateLimits, recast::Recast};
use crate::{
    config::Encoding,
    pieces::{Chunks, Edits},
};

/// A whole body in its coding, which has been undone once and so is sound.
pub(crate) struct Coded {
    pub(crate) encoding: Encoding,
    pub(super) limits: InflateLimits,
    pub(crate) plain_len: u64,
    pub(crate) body: Chunks,
    /// The body without its coding, as long as that is kept.
    pub(crate) plain: Option<Chunks>,
}

impl Coded {
    /// Inflates it again.
    pub(crate) fn undo(&self) -> Recast {
        let undo = Some((self.encoding, self.limits));
        Recast::new(self.body.clone(), undo, Edits::None, None)
    }

    /// Compresses it again, with these edits.
    pub(crate) fn redo(&self, edits: Edits) -> Recast {
        let redo = Some(self.encoding);
        match &self.plain {
            Some(plain) => Recast::new(plain.clone(), None, edits, redo),
            None => {
                let undo = Some((self.encoding, self.limits));
                Recast::new(self.body.clone(), undo, edits, redo)
            }
        }
    }
}

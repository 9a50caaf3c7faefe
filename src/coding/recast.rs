//! Converts a compressed body to what an engine reads.

use std::{
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;

#[cfg(not(feature = "decompression"))]
use super::unavailable::{Deflate, Inflate};
#[cfg(feature = "decompression")]
use super::{deflate::Deflate, inflate::Inflate};
use super::{inflate_limits::InflateLimits, slice::Slice};
use crate::{
    config::Encoding,
    error::{RouteError, RouteErrorKind},
    pieces::{Chunks, Edits, Splice},
};

/// A body that is inflated, edited and compressed again, each if need be, in slices between which
/// others run.
///
/// A clone begins anew.
pub(crate) struct Recast {
    recipe: Recipe,
    work: Option<Work>,
}

#[derive(Clone)]
struct Recipe {
    source: Chunks,
    undo: Option<(Encoding, InflateLimits)>,
    edits: Edits,
    redo: Option<Encoding>,
}

struct Work {
    source: <Chunks as IntoIterator>::IntoIter,
    /// The rest of the current chunk.
    chunk: Bytes,
    inflate: Option<Inflate>,
    output: Output,
    slice: Slice,
}

struct Output {
    splice: Splice,
    deflate: Option<Deflate>,
    made: Chunks,
}

impl Recast {
    pub(super) fn new(
        source: Chunks,
        undo: Option<(Encoding, InflateLimits)>,
        edits: Edits,
        redo: Option<Encoding>,
    ) -> Self {
        let recipe = Recipe {
            source,
            undo,
            edits,
            redo,
        };
        Self { recipe, work: None }
    }

    /// Ready with the whole body, once. It fails if there is no `room` for that many more
    /// bytes.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut room: impl FnMut(u64) -> Result<(), RouteError>,
    ) -> Poll<Result<Chunks, RouteError>> {
        let recipe = &self.recipe;
        let work = self.work.get_or_insert_with(|| Work::new(recipe.clone()));
        let before = work.output.made.len();
        let is_done = work.slice()?;
        room(work.output.made.len() - before)?;
        if !is_done {
            return Slice::give_way(cx);
        }
        let work = self.work.take();
        Poll::Ready(work.map_or_else(|| Ok(Chunks::default()), |work| work.finish(room)))
    }
}

impl Clone for Recast {
    fn clone(&self) -> Self {
        let recipe = self.recipe.clone();
        Self { recipe, work: None }
    }
}

impl Work {
    /// How much is compressed in a step.
    const PIECE: usize = 16 * 1024;

    fn new(recipe: Recipe) -> Self {
        Self {
            source: recipe.source.into_iter(),
            chunk: Bytes::new(),
            inflate: recipe
                .undo
                .map(|(coding, limits)| Inflate::new(coding, limits)),
            output: Output {
                splice: Splice::new(recipe.edits),
                deflate: recipe.redo.map(Deflate::new),
                made: Chunks::default(),
            },
            slice: Slice::default(),
        }
    }

    /// Does a part of it; returns whether it was the last.
    fn slice(&mut self) -> Result<bool, RouteError> {
        while let Some(cost) = self.step()? {
            if self.slice.is_used_up_by(cost) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns what it cost, or `None` at the end.
    fn step(&mut self) -> Result<Option<usize>, RouteError> {
        let step = match &mut self.inflate {
            Some(inflate) => {
                let mut rest = &*self.chunk;
                let mut made = 0;
                let step = inflate.step(&mut rest, |plain| {
                    made = self.output.push(Bytes::copy_from_slice(plain))?;
                    Ok::<_, RouteError>(())
                })?;
                self.chunk = self.chunk.slice_ref(rest);
                step.map(|cost| cost + made)
            }
            None if self.chunk.is_empty() => None,
            None => {
                let piece = self.chunk.split_to(self.chunk.len().min(Self::PIECE));
                Some(self.output.push(piece)?)
            }
        };
        if step.is_none() {
            let Some(next) = self.source.next() else {
                return Ok(None);
            };
            self.chunk = next;
        }
        Ok(Some(step.unwrap_or(0)))
    }

    fn finish(
        mut self,
        mut room: impl FnMut(u64) -> Result<(), RouteError>,
    ) -> Result<Chunks, RouteError> {
        if let Some(inflate) = &mut self.inflate {
            inflate.finish()?;
        }
        let before = self.output.made.len();
        let made = self.output.finish()?;
        room(made.len() - before)?;
        Ok(made)
    }
}

impl Output {
    /// Compressing a byte takes as long as inflating this many.
    const COMPRESSING: usize = 4;

    /// Returns what it cost, beside inflating.
    fn push(&mut self, mut plain: Bytes) -> Result<usize, RouteError> {
        let Some(deflate) = &mut self.deflate else {
            while let Some(piece) = self.splice.next_piece(&mut plain) {
                self.made.push(piece);
            }
            return Ok(0);
        };
        let cost = plain.len() * Self::COMPRESSING;
        let mut coded = Vec::new();
        while let Some(piece) = self.splice.next_piece(&mut plain) {
            deflate.feed(&piece, &mut coded).map_err(not_compressed)?;
        }
        self.made.push(coded.into());
        Ok(cost)
    }

    fn finish(mut self) -> Result<Chunks, RouteError> {
        if let Some(deflate) = self.deflate {
            let mut coded = Vec::new();
            deflate.finish(&mut coded).map_err(not_compressed)?;
            self.made.push(coded.into());
        }
        Ok(self.made)
    }
}

fn not_compressed(error: std::io::Error) -> RouteError {
    RouteError::new(
        RouteErrorKind::InvalidBody,
        "the request body could not be compressed again",
    )
    .with_source(error)
}

impl fmt::Debug for Recast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recast")
            .field("undo", &self.recipe.undo)
            .field("redo", &self.recipe.redo)
            .finish_non_exhaustive()
    }
}

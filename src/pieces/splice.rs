//! Replacing spans of a body as it is streamed.

use std::{ops::Range, sync::Arc};

use bytes::{Buf, Bytes};

/// Replaces the bytes at `span` of the original body with `value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) span: Range<u64>,
    pub(crate) value: Bytes,
}

impl Edit {
    /// The length of a body of `original` bytes after this.
    pub(crate) fn apply_to_len(&self, original: u64) -> u64 {
        (original + self.value.len() as u64).saturating_sub(self.span.end - self.span.start)
    }
}

/// The edits of a body, in the order of their spans, which do not overlap.
#[derive(Clone, Debug, Default)]
pub(crate) enum Edits {
    #[default]
    None,
    One(Edit),
    Several(Arc<[Edit]>),
}

impl Edits {
    pub(crate) fn as_slice(&self) -> &[Edit] {
        match self {
            Self::None => &[],
            Self::One(edit) => std::slice::from_ref(edit),
            Self::Several(edits) => edits,
        }
    }

    /// These and one more, which overlaps none.
    pub(crate) fn and(&self, edit: Edit) -> Self {
        let mut edits = self.as_slice().to_vec();
        edits.push(edit);
        edits.sort_by_key(|edit| edit.span.start);
        edits.into()
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The length of a body of `original` bytes after the edits.
    pub(crate) fn apply_to_len(&self, original: u64) -> u64 {
        let edits = self.as_slice().iter();
        edits.fold(original, |len, edit| edit.apply_to_len(len))
    }
}

impl From<Vec<Edit>> for Edits {
    fn from(mut edits: Vec<Edit>) -> Self {
        match edits.len() {
            0 => Self::None,
            1 => edits.pop().map_or(Self::None, Self::One),
            _ => Self::Several(edits.into()),
        }
    }
}

/// Applies edits to a body that arrives chunk by chunk, without copying.
#[derive(Clone, Debug, Default)]
pub(crate) struct Splice {
    edits: Edits,
    /// The index of the first edit that is not done yet.
    next: usize,
    /// Whether that edit's value has been sent.
    written: bool,
    /// How many bytes of the original have been processed.
    offset: u64,
}

impl Splice {
    pub(crate) fn new(edits: Edits) -> Self {
        Self {
            edits,
            ..Self::default()
        }
    }

    /// Takes the next piece to send out of `chunk`; `None` once `chunk` is used up.
    pub(crate) fn next_piece(&mut self, chunk: &mut Bytes) -> Option<Bytes> {
        while !chunk.is_empty() {
            let Some(edit) = self.edits.as_slice().get(self.next) else {
                self.offset += chunk.len() as u64;
                return Some(std::mem::take(chunk));
            };
            let before = edit.span.start.saturating_sub(self.offset);
            if before > 0 {
                let piece = chunk.split_to(within(before, chunk));
                self.offset += piece.len() as u64;
                return Some(piece);
            }
            if !self.written {
                self.written = true;
                return Some(edit.value.clone());
            }
            let old = within(edit.span.end - self.offset, chunk);
            chunk.advance(old);
            self.offset += old as u64;
            if self.offset >= edit.span.end {
                self.next += 1;
                self.written = false;
            }
        }
        None
    }
}

fn within(len: u64, chunk: &Bytes) -> usize {
    usize::try_from(len).map_or(chunk.len(), |len| len.min(chunk.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_but_the_spans_changes_whatever_the_chunks(
            // Kept and replaced parts in turn; a span is never empty.
            parts in prop::collection::vec(("[a-z]{0,6}", "[A-Z]{1,6}", "[0-9]{0,6}"), 0..5),
            end in "[a-z]{0,6}",
            cuts in prop::collection::vec(0..60_usize, 0..8),
        ) {
            let (mut original, mut expected, mut edits) = (String::new(), String::new(), Vec::new());
            for (kept, old, new) in &parts {
                original += kept;
                let start = original.len() as u64;
                original += old;
                let span = start..original.len() as u64;
                edits.push(Edit { span, value: Bytes::from(new.clone()) });
                expected += kept;
                expected += new;
            }
            original += &end;
            expected += &end;

            let edits = Edits::from(edits);
            prop_assert_eq!(edits.apply_to_len(original.len() as u64), expected.len() as u64);
            let mut splice = Splice::new(edits);
            let mut rest = Bytes::from(original);
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (mut sent, mut at) = (Vec::new(), 0);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let mut chunk = rest.split_to(cut.saturating_sub(at).min(rest.len()));
                at = cut;
                while let Some(piece) = splice.next_piece(&mut chunk) {
                    sent.extend_from_slice(&piece);
                }
            }
            prop_assert_eq!(String::from_utf8(sent).unwrap(), expected);
        }
    }
}

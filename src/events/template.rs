//! The last content event, from which the next mostly differs by nothing but its text.

use super::event::{Event, Kinds};

/// The longest event, without its text, that is kept as a template.
pub const MAX_TEMPLATE: usize = 512;

/// What surrounds the text of a content event, and what such an event is.
///
/// An event is read without regard to those before it, and a string of output by nothing but where
/// it ends and that it is not empty. So an event with the same bytes around another such string
/// is the same.
#[derive(Clone, Debug)]
pub(super) struct Template {
    around: Vec<u8>,
    hole: usize,
    kinds: Kinds,
    max: usize,
}

impl Template {
    /// Of events that have at most `max` bytes beside their text.
    pub(super) const fn new(max: usize) -> Self {
        Self {
            around: Vec::new(),
            hole: 0,
            kinds: Kinds::NONE,
            max,
        }
    }

    /// What the event is at the beginning of `bytes`, and its length, if it is like the last one
    /// and whole.
    #[inline]
    pub(super) fn read(&self, bytes: &[u8]) -> Option<(Kinds, usize)> {
        let (before, after) = self.around.split_at_checked(self.hole)?;
        if before.is_empty() {
            return None;
        }
        let rest = bytes.strip_prefix(before)?;
        let text = text(rest).filter(|&text| text > 0)?;
        let rest = rest.get(text..)?.strip_prefix(after)?;
        Some((self.kinds, bytes.len() - rest.len()))
    }

    /// Keeps an event if others can be told by it: `bytes` are all of it, and `text` is where its
    /// text is in the stream. Counts and errors have to be read.
    pub(super) fn keep(&mut self, bytes: &[u8], event: &Event, text: (u64, u64)) {
        let read = [
            Kinds::USAGE,
            Kinds::ERROR,
            Kinds::FINISH,
            Kinds::TERMINAL,
            Kinds::MALFORMED,
        ];
        if !event.is(Kinds::CONTENT) || read.into_iter().any(|kind| event.is(kind)) {
            return;
        }
        let begin = event.end - bytes.len() as u64;
        let (start, end) = (text.0.checked_sub(begin), text.1.checked_sub(begin));
        let (Some(start), Some(end)) = (start, end) else {
            return;
        };
        let (Some(before), Some(after)) = (bytes.get(..start as usize), bytes.get(end as usize..))
        else {
            return;
        };
        if before.len() + after.len() > self.max {
            return;
        }
        self.around.clear();
        self.around.reserve_exact(before.len() + after.len());
        self.around.extend_from_slice(before);
        self.around.extend_from_slice(after);
        self.hole = before.len();
        self.kinds = event.kinds;
    }
}

/// The length of a string's text, if its end is there, and no end of a line before it.
#[inline]
fn text(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\n' | b'\r' => return None,
            b'\\' => {
                if matches!(bytes.get(at + 1)?, b'\n' | b'\r') {
                    return None;
                }
                at += 2;
            }
            _ => at += 1,
        }
    }
}

//! The last content event, from which the next one usually differs only in its text and counts.

use super::{
    event::{Event, Kinds},
    usage::{Count, Usage},
};
use crate::pieces::first_of;

/// The longest event, without what varies in it, that is kept as a template.
pub const MAX_TEMPLATE: usize = 512;

/// As many values of an event may vary.
const MAX_HOLES: usize = 8;

/// A value that may be another one in the next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Varying {
    /// Output that is not empty.
    Output,
    /// A string that says nothing.
    Text,
    /// An integer that says nothing.
    Number,
    Count(Count),
}

/// Where such values are, from the beginning of an event.
#[derive(Clone, Debug)]
pub(super) struct Holes {
    list: [Hole; MAX_HOLES],
    len: u8,
    /// Whether one that has to be read is not on the list.
    is_incomplete: bool,
}

#[derive(Clone, Copy, Debug)]
struct Hole {
    varying: Varying,
    start: u32,
    end: u32,
}

impl Holes {
    pub(super) const NONE: Self = Self {
        list: [Hole {
            varying: Varying::Text,
            start: 0,
            end: 0,
        }; MAX_HOLES],
        len: 0,
        is_incomplete: false,
    };

    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.is_incomplete = false;
    }

    pub(super) fn add(&mut self, varying: Varying, start: u64, end: u64) {
        let place = self.list.get_mut(usize::from(self.len));
        match (place, u32::try_from(start), u32::try_from(end)) {
            (Some(place), Ok(start), Ok(end)) => {
                *place = Hole {
                    varying,
                    start,
                    end,
                };
                self.len += 1;
            }
            _ => self.is_incomplete |= matches!(varying, Varying::Output | Varying::Count(_)),
        }
    }

    fn list(&self) -> Option<&[Hole]> {
        let list = self.list.get(..usize::from(self.len));
        list.filter(|list| !self.is_incomplete && !list.is_empty())
    }
}

/// A content event without its values that vary, and what such an event is.
///
/// An event is read without regard to those before it. Of a string of output only matters where it
/// ends and that it is not empty, of a count its number, and of the others that vary nothing. So an
/// event with the same bytes around other such values is the same.
#[derive(Clone, Debug)]
pub(super) struct Template {
    around: Vec<u8>,
    /// What follows this many bytes of `around`, each counted from the one before.
    gaps: [(u16, Varying); MAX_HOLES],
    len: u8,
    kinds: Kinds,
    max: usize,
}

impl Template {
    /// Of events that have at most `max` bytes beside what varies.
    pub(super) const fn new(max: usize) -> Self {
        Self {
            around: Vec::new(),
            gaps: [(0, Varying::Text); MAX_HOLES],
            len: 0,
            kinds: Kinds::NONE,
            max,
        }
    }

    /// What the event is at the beginning of `bytes`, and its length, if it is like the last one
    /// and whole. Its counts are added to the usage.
    #[inline]
    pub(super) fn read(&self, bytes: &[u8], usage: &mut Usage) -> Option<(Kinds, usize)> {
        let gaps = self.gaps.get(..usize::from(self.len))?;
        if gaps.is_empty() {
            return None;
        }
        let mut around = &self.around[..];
        let mut rest = bytes;
        let mut counts = [0; MAX_HOLES];
        for ((before, varying), count) in gaps.iter().zip(&mut counts) {
            let (literal, behind) = around.split_at_checked(usize::from(*before))?;
            around = behind;
            rest = rest.strip_prefix(literal)?;
            let len = match varying {
                Varying::Output => text(rest).filter(|&len| len > 0)?,
                Varying::Text => text(rest)?,
                Varying::Number => digits(rest)?,
                Varying::Count(_) => {
                    let len = digits(rest)?;
                    *count = value(rest.get(..len)?);
                    len
                }
            };
            rest = rest.get(len..)?;
        }
        rest = rest.strip_prefix(around)?;
        if self.kinds.has(Kinds::USAGE) {
            for ((_, varying), count) in gaps.iter().zip(counts) {
                if let Varying::Count(which) = varying {
                    usage.set(*which, count);
                }
            }
        }
        Some((self.kinds, bytes.len() - rest.len()))
    }

    /// Keeps an event if others can be told by it: `bytes` are all of it, but for empty lines before
    /// it. What may say more than a template has has to be read.
    pub(super) fn keep(&mut self, bytes: &[u8], event: &Event, holes: &Holes) {
        let read = [
            Kinds::ERROR,
            Kinds::FINISH,
            Kinds::TERMINAL,
            Kinds::MALFORMED,
        ];
        if !event.is(Kinds::CONTENT) || read.into_iter().any(|kind| event.is(kind)) {
            return;
        }
        let Some(holes) = holes.list() else { return };
        let before = event.len().saturating_sub(bytes.len() as u64) as usize;
        let varies: usize = holes
            .iter()
            .map(|hole| (hole.end - hole.start) as usize)
            .sum();
        if bytes.len().saturating_sub(varies) > self.max {
            return;
        }
        self.len = 0;
        self.around.clear();
        self.around
            .reserve_exact(bytes.len().saturating_sub(varies));
        let mut at = 0;
        for (hole, gap) in holes.iter().zip(&mut self.gaps) {
            let (start, end) = (hole.start as usize - before, hole.end as usize - before);
            let Some(literal) = bytes.get(at..start) else {
                return;
            };
            self.around.extend_from_slice(literal);
            *gap = (literal.len() as u16, hole.varying);
            at = end;
        }
        self.around
            .extend_from_slice(bytes.get(at..).unwrap_or_default());
        self.kinds = event.kinds;
        self.len = holes.len() as u8;
    }
}

/// The length of a string's text, if its end is there, and no end of a line before it.
#[inline]
fn text(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..)?;
        let found = first_of(rest, [b'"', b'\\', b'\n', b'\r'])?;
        match rest.get(found..)? {
            [b'"', ..] => return Some(at + found),
            [b'\\', escaped, ..] if !matches!(escaped, b'\n' | b'\r') => at += found + 2,
            _ => return None,
        }
    }
}

/// The length of an integer, which is no part of another number by what follows it in the template.
#[inline]
fn digits(bytes: &[u8]) -> Option<usize> {
    /// This many always fit.
    const MAX: usize = 19;
    let len = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    (1..=MAX).contains(&len).then_some(len)
}

fn value(digits: &[u8]) -> u64 {
    digits
        .iter()
        .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
}

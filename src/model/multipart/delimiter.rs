//! Finds `--boundary` in a body that arrives in chunks, and reports what precedes it.

use memchr::{memchr, memmem};

use super::content_type::Boundary;

/// The bytes right before a position in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing: the body, or the part's data, begins here.
    Start,
    /// A whole CRLF.
    Crlf,
    /// A CR without an LF after it.
    Cr,
    /// An LF without a CR.
    Lf,
    /// Any other byte.
    Text,
}

impl Before {
    fn then(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Cr, b'\n') => Self::Crlf,
            (_, b'\n') => Self::Lf,
            (_, b'\r') => Self::Cr,
            _ => Self::Text,
        }
    }

    fn after(self, bytes: &[u8]) -> Self {
        // Two bytes decide: earlier ones no longer matter.
        let (from, last) = match bytes.split_last_chunk::<2>() {
            Some((_, last)) => (Self::Text, &last[..]),
            None => (self, bytes),
        };
        last.iter().fold(from, |before, byte| before.then(*byte))
    }
}

/// One `--boundary`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The offset of its end in the chunk; it may have begun in an earlier one.
    pub(super) end: usize,
    pub(super) before: Before,
}

/// The search for `--boundary` across chunks, in linear time however they are cut.
///
/// Whole chunks are searched by memmem. The only state carried from one chunk to
/// the next is how many bytes of `--boundary` the last one ended with (the
/// automaton of Knuth, Morris and Pratt), so no byte is kept or read again.
#[derive(Debug)]
pub(super) struct Search {
    dash_boundary: memmem::Finder<'static>,
    /// For each match length, the length of the longest shorter match ending at the same byte.
    shorter: Box<[u8]>,
    /// How many bytes of `--boundary` the input ends with; never all of them.
    matched: usize,
    /// What precedes the matched bytes.
    candidate: Before,
    /// What precedes the next byte.
    here: Before,
}

impl Search {
    pub(super) fn new(boundary: &Boundary) -> Self {
        let dash_boundary = [b"--", boundary.as_bytes()].concat();
        Self {
            shorter: shorter_matches(&dash_boundary),
            dash_boundary: memmem::Finder::new(&dash_boundary).into_owned(),
            matched: 0,
            candidate: Before::Start,
            here: Before::Start,
        }
    }

    /// The length of `--boundary`.
    pub(super) fn dash_boundary_len(&self) -> usize {
        self.dash_boundary.needle().len()
    }

    /// Searches from here on, with nothing before the next byte.
    pub(super) fn restart(&mut self) {
        self.matched = 0;
        self.here = Before::Start;
    }

    /// The first `--boundary` that ends in the chunk. The search then goes on after it.
    pub(super) fn find(&mut self, chunk: &[u8]) -> Option<Found> {
        let entered = self.here;
        let mut read = 0;
        // A match that began in an earlier chunk is continued byte by byte.
        while self.matched > read {
            let byte = chunk.get(read)?;
            read += 1;
            if self.step(*byte) {
                return Some(self.found(read, self.candidate));
            }
        }
        let (_, fresh) = chunk.split_at_checked(read - self.matched)?;
        let skipped = chunk.len() - fresh.len();
        let Some(at) = self.dash_boundary.find(fresh) else {
            self.carry(entered, chunk, fresh);
            return None;
        };
        let before = chunk
            .get(..skipped + at)
            .map_or(Before::Text, |before| entered.after(before));
        Some(self.found(skipped + at + self.dash_boundary_len(), before))
    }

    fn found(&mut self, end: usize, before: Before) -> Found {
        self.matched = 0;
        self.here = Before::Text;
        Found { end, before }
    }

    /// Records what the chunk ends with; `fresh`, its end, contains no whole `--boundary`.
    fn carry(&mut self, entered: Before, chunk: &[u8], fresh: &[u8]) {
        let most = self.dash_boundary_len() - 1;
        let tail = fresh
            .get(fresh.len().saturating_sub(most)..)
            .unwrap_or_default();
        let tail = memchr(b'-', tail).map_or(0, |dash| tail.len() - dash);
        let (before, tail) = chunk.split_at(chunk.len() - tail);
        self.matched = 0;
        self.here = entered.after(before);
        for byte in tail {
            self.step(*byte);
        }
    }

    /// Reads one byte, and returns whether it completes a `--boundary`.
    fn step(&mut self, byte: u8) -> bool {
        let wanted = self.dash_boundary.needle();
        while self.matched > 0 && wanted.get(self.matched) != Some(&byte) {
            let shorter = self.shorter.get(self.matched - 1);
            self.matched = shorter.copied().map_or(0, usize::from);
            self.candidate = Before::Text; // it begins inside the one given up
        }
        if wanted.get(self.matched) == Some(&byte) {
            if self.matched == 0 {
                self.candidate = self.here;
            }
            self.matched += 1;
        }
        self.here = self.here.then(byte);
        self.matched == wanted.len()
    }
}

/// The failure table of Knuth, Morris and Pratt. The pattern has at most 72 bytes.
fn shorter_matches(wanted: &[u8]) -> Box<[u8]> {
    let mut table = vec![0_u8; wanted.len()];
    let mut matched = 0;
    for at in 1..wanted.len() {
        while matched > 0 && wanted[at] != wanted[usize::from(matched)] {
            matched = table[usize::from(matched) - 1];
        }
        if wanted[at] == wanted[usize::from(matched)] {
            matched += 1;
        }
        table[at] = matched;
    }
    table.into()
}

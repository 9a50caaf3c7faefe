//! The reader's output: events and their kinds.

use std::{fmt, ops};

/// An event of an answer.
///
/// `start..end` are its bytes in the stream, its framing included: those of consecutive events are
/// without a gap. So they can be held, forwarded and cut out as a whole. If an event of SSE ends
/// with CR LF, the last LF counts for the event after it: whether one comes is not known before,
/// and in front of an event it is only an empty line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is, which may be several things at once.
    pub kinds: Kinds,
    /// The offset of its first byte in the stream.
    pub start: u64,
    /// The offset behind its last byte in the stream.
    pub end: u64,
}

impl Event {
    /// How many bytes it has, which is never none.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether it is all of these.
    pub fn is(&self, kinds: Kinds) -> bool {
        self.kinds.has(kinds)
    }

    /// Whether the generation has made progress: it has content, or ends the stream.
    pub fn is_progress(&self) -> bool {
        let progress = [Kinds::CONTENT, Kinds::FINISH, Kinds::TERMINAL];
        progress.into_iter().any(|kind| self.is(kind))
    }
}

/// What an event is: a set, since the last chunk of some engines has content, a `finish_reason` and
/// usage in one.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Kinds(u16);

impl Kinds {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The generation is announced: a role, `message_start`, `response.created`.
    pub const START: Self = Self(1);
    /// Text, a tool call, reasoning, or other output that is not empty.
    pub const CONTENT: Self = Self(1 << 1);
    /// The counts of tokens.
    pub const USAGE: Self = Self(1 << 2);
    /// None of the others: ids, logprobs, the end of a block.
    pub const METADATA: Self = Self(1 << 3);
    /// Only a sign of life: comments, a ping, an event without data.
    pub const PING: Self = Self(1 << 4);
    /// An error: [`Reader::error`](super::Reader::error) has what it says.
    pub const ERROR: Self = Self(1 << 5);
    /// Why the generation ended: `finish_reason`, `finishReason`, `stop_reason`, `"done": true`.
    pub const FINISH: Self = Self(1 << 6);
    /// The last event of a stream: `[DONE]`, `message_stop`, `response.completed`, `"done": true`.
    /// A whole JSON answer is one.
    pub const TERMINAL: Self = Self(1 << 7);
    /// Its data is neither JSON nor `[DONE]`, in a dialect where it should be.
    pub const MALFORMED: Self = Self(1 << 8);

    const NAMES: [(Self, &str); 9] = [
        (Self::START, "START"),
        (Self::CONTENT, "CONTENT"),
        (Self::USAGE, "USAGE"),
        (Self::METADATA, "METADATA"),
        (Self::PING, "PING"),
        (Self::ERROR, "ERROR"),
        (Self::FINISH, "FINISH"),
        (Self::TERMINAL, "TERMINAL"),
        (Self::MALFORMED, "MALFORMED"),
    ];

    /// Whether it has all of these.
    pub const fn has(self, kinds: Self) -> bool {
        self.0 & kinds.0 == kinds.0
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl ops::BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl ops::BitOrAssign for Kinds {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().filter(|(kind, _)| self.has(*kind));
        let names: Vec<_> = names.map(|(_, name)| *name).collect();
        f.write_str(if names.is_empty() { "NONE" } else { "" })?;
        f.write_str(&names.join("|"))
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// As it should: a terminal was seen, or a finish with no content behind it (of several choices
    /// one may end before another), or none is known for the dialect. Whether the engine said an
    /// error before, [`Reader::error`](super::Reader::error) tells.
    Complete,
    /// Without any event but comments and pings.
    Empty,
    /// Within an event.
    Truncated,
    /// Between events, but without its finish or terminal.
    Unterminated,
}

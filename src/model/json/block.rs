//! A block of bytes, and the masks that mark which bytes are what.

/// The bytes of a block: as many as a mask has bits.
pub(super) const BLOCK: usize = 64;

/// Which bytes of a block can begin, end or disguise a string. In all masks the
/// lowest bit is the first byte's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
}

/// Which bytes of a block are brackets, square or curly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brackets {
    pub(super) opening: u64,
    pub(super) closing: u64,
}

impl Brackets {
    /// The brackets that are also in the mask.
    pub(super) fn within(self, mask: u64) -> Self {
        Self {
            opening: self.opening & mask,
            closing: self.closing & mask,
        }
    }
}

/// Up to 64 bytes of input, and their masks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    pub(super) bytes: &'a [u8],
    /// The offset of the first byte in the whole input.
    pub(super) offset: u64,
    /// The quotes that begin or end a string.
    pub(super) quotes: u64,
    /// The brackets outside of strings.
    pub(super) brackets: Brackets,
    /// The backslashes outside of strings, where JSON does not allow them.
    pub(super) stray: u64,
    /// The control and non-ASCII bytes: a string can't contain them, or only in valid UTF-8.
    pub(super) unusual: u64,
}

/// The part of a string's text that is in this block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a [u8],
    /// Whether all of it is printable ASCII without escapes.
    pub(super) is_plain: bool,
    /// The offset of the closing quote, if it is in the block.
    pub(super) quote: Option<usize>,
}

impl<'a> Piece<'a> {
    pub(super) fn up_to(self, len: usize) -> Self {
        Self {
            text: self.text.get(..len).unwrap_or(self.text),
            ..self
        }
    }
}

impl<'a> Block<'a> {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn offset_of(&self, at: usize) -> u64 {
        self.offset + at as u64
    }

    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// The string's text that begins or continues at `at`.
    #[inline(always)]
    pub(super) fn piece(&self, at: usize) -> Piece<'a> {
        let ahead = from(at);
        let quotes = self.quotes & ahead;
        let up_to_quote = quotes ^ quotes.wrapping_sub(1);
        let quote = first(quotes);
        let end = quote.unwrap_or(self.len());
        Piece {
            text: self.bytes.get(at..end).unwrap_or_default(),
            is_plain: self.unusual & ahead & up_to_quote == 0,
            quote,
        }
    }
}

/// A mask of the bytes from `at` on.
#[inline(always)]
pub(super) fn from(at: usize) -> u64 {
    u64::MAX.checked_shl(at as u32).unwrap_or(0)
}

/// The position of the first byte in a mask.
#[inline(always)]
pub(super) fn first(mask: u64) -> Option<usize> {
    (mask != 0).then(|| mask.trailing_zeros() as usize)
}

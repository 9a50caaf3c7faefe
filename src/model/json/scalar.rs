/// How far a number or a word has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Minus,
    /// A leading zero, after which no digit may follow.
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
    /// So many bytes of a word.
    Word(Word, u8),
}

/// The words of JSON, and those that Python writes and reads beside them, which nested values
/// may contain because they are only skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    True,
    False,
    Null,
    NaN,
    Infinity,
}

impl Word {
    fn text(self) -> &'static [u8] {
        match self {
            Self::True => b"true",
            Self::False => b"false",
            Self::Null => b"null",
            Self::NaN => b"NaN",
            Self::Infinity => b"Infinity",
        }
    }
}

impl Scalar {
    /// The scalar that begins with this byte.
    pub(super) fn begin(byte: u8) -> Option<Self> {
        Some(match byte {
            b'-' => Self::Minus,
            b'0' => Self::Zero,
            b'1'..=b'9' => Self::Integer,
            b't' => Self::Word(Word::True, 1),
            b'f' => Self::Word(Word::False, 1),
            b'n' => Self::Word(Word::Null, 1),
            b'N' => Self::Word(Word::NaN, 1),
            b'I' => Self::Word(Word::Infinity, 1),
            _ => return None,
        })
    }

    /// The state after one more byte, or `None` if the byte does not belong to the scalar.
    pub(super) fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Self::Integer,
            (Self::Minus, b'I') => Self::Word(Word::Infinity, 1),
            (Self::Zero | Self::Integer, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::ExponentSign,
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => {
                Self::ExponentDigits
            }
            (Self::Word(word, read), byte) if word.text().get(usize::from(read)) == Some(&byte) => {
                Self::Word(word, read + 1)
            }
            _ => return None,
        })
    }

    /// Whether the scalar may end here.
    pub(super) fn is_whole(self) -> bool {
        match self {
            Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits => true,
            Self::Word(word, read) => usize::from(read) == word.text().len(),
            Self::Minus | Self::Point | Self::Exponent | Self::ExponentSign => false,
        }
    }
}

/// How far a number or a word (`true`, `false`, `null`) has been read.
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
    T,
    Tr,
    Tru,
    F,
    Fa,
    Fal,
    Fals,
    N,
    Nu,
    Nul,
    Word,
}

impl Scalar {
    /// The scalar that begins with this byte.
    pub(super) fn begin(byte: u8) -> Option<Self> {
        Some(match byte {
            b'-' => Self::Minus,
            b'0' => Self::Zero,
            b'1'..=b'9' => Self::Integer,
            b't' => Self::T,
            b'f' => Self::F,
            b'n' => Self::N,
            _ => return None,
        })
    }

    /// The state after one more byte, or `None` if the byte does not belong to the scalar.
    pub(super) fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Self::Integer,
            (Self::Zero | Self::Integer, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::ExponentSign,
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => {
                Self::ExponentDigits
            }
            (Self::T, b'r') => Self::Tr,
            (Self::Tr, b'u') => Self::Tru,
            (Self::F, b'a') => Self::Fa,
            (Self::Fa, b'l') => Self::Fal,
            (Self::Fal, b's') => Self::Fals,
            (Self::N, b'u') => Self::Nu,
            (Self::Nu, b'l') => Self::Nul,
            (Self::Tru | Self::Fals, b'e') | (Self::Nul, b'l') => Self::Word,
            _ => return None,
        })
    }

    /// Whether the scalar may end here.
    pub(super) fn is_whole(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits | Self::Word
        )
    }
}

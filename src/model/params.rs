//! The parameters of a header value: `; name=value; name="value"`.

/// A header value that violates the grammar, or that known parsers read differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A parameter. A quoted value is without its quotes, but its escapes are not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Param<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl Param<'_> {
    pub(crate) fn is(&self, name: &str, values: &[&str]) -> bool {
        let is = |value: &&str| self.value.eq_ignore_ascii_case(value.as_bytes());
        self.is_named(name) && values.iter().any(is)
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// A value up to its first parameter, and the parameters.
pub(crate) fn split_value(value: &[u8]) -> (&[u8], Params<'_>) {
    let end = value.iter().position(|byte| *byte == b';');
    let (first, rest) = value.split_at(end.unwrap_or(value.len()));
    (first, Params { rest })
}

/// Iterates over the parameters; spaces around semicolons and one trailing semicolon are allowed.
#[derive(Clone, Debug)]
pub(crate) struct Params<'a> {
    rest: &'a [u8],
}

impl<'a> Params<'a> {
    pub(crate) fn next(&mut self) -> Result<Option<Param<'a>>, Malformed> {
        let rest = match skip_spaces(self.rest) {
            [] => return Ok(None),
            [b';', rest @ ..] => skip_spaces(rest),
            _ => return Err(Malformed),
        };
        if rest.is_empty() {
            self.rest = rest;
            return Ok(None);
        }
        let (name, rest) = token(rest)?;
        let (value, rest) = match rest {
            [b'=', b'"', rest @ ..] => quoted(rest)?,
            [b'=', rest @ ..] => token(rest)?,
            _ => return Err(Malformed),
        };
        self.rest = rest;
        Ok(Some(Param { name, value }))
    }
}

pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_char(*byte))
}

fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn token(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let end = bytes.iter().position(|byte| !is_token_char(*byte));
    let (token, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    if token.is_empty() {
        return Err(Malformed);
    }
    Ok((token, rest))
}

/// A quoted string whose opening quote has been read.
///
/// Two uses of escapes are refused because parsers disagree on where the string
/// ends: `\\"`, in which python-multipart and Django see an escaped quote, and a
/// semicolon after `\"`, where a parser that knows no escapes sees a parameter.
fn quoted(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut at = 0;
    let mut escaped_quote = false;
    loop {
        at += match bytes.get(at..).unwrap_or_default() {
            [b'"', rest @ ..] => return Ok((&bytes[..at], rest)),
            [b'\\', b'\\', b'"', ..] => return Err(Malformed),
            [b'\\', b'"', ..] => {
                escaped_quote = true;
                2
            }
            [b'\\', _, ..] => 2,
            [b';', ..] if escaped_quote => return Err(Malformed),
            [_, ..] => 1,
            [] => return Err(Malformed),
        }
    }
}

fn skip_spaces(bytes: &[u8]) -> &[u8] {
    let text = bytes.iter().position(|byte| *byte != b' ');
    bytes.get(text.unwrap_or(bytes.len())..).unwrap_or_default()
}

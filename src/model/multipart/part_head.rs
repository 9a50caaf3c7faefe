//! The header block of a part: whether it is a field that matters, and plain text.

use memchr::memmem;

use crate::model::params::{Malformed, is_token, split_value};

/// The meaning of a part's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Neither of those below.
    Other,
    /// `_charset_`, whose plain text is the charset of the form (RFC 7578 section 4.6).
    Charset,
    /// `model`.
    Model(Content),
}

/// The way to read the data of a `model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// As UTF-8.
    Utf8,
    /// In a charset of which only the ASCII part is UTF-8.
    Ascii,
    /// As a file, in any other charset, or in an encoding.
    Opaque,
}

/// Reads a header block: its lines, each with the CRLF that ends it.
///
/// # Errors
///
/// The offset in the block of the malformed line, or of where a header is missing.
pub(super) fn parse(block: &[u8]) -> Result<Field, usize> {
    let mut headers = Headers::default();
    let mut start = 0;
    for end in memmem::find_iter(block, b"\r\n") {
        let line = block.get(start..end).unwrap_or_default();
        headers.read(line).map_err(|Malformed| start)?;
        start = end + 2;
    }
    headers.field().map_err(|Malformed| start)
}

/// The headers that matter, each of which may occur once.
#[derive(Default)]
struct Headers<'a> {
    disposition: Option<Disposition>,
    content_type: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    /// Whether there is a `Content-Encoding`, which no form has (RFC 7578 section 4.8), and which
    /// some parsers undo.
    is_compressed: bool,
}

impl<'a> Headers<'a> {
    fn read(&mut self, line: &'a [u8]) -> Result<(), Malformed> {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .ok_or(Malformed)?;
        let (name, value) = line.split_at(colon);
        // The name of a folded line would begin with a blank. One that begins with
        // `--` may be a delimiter right after another, which only busboy sees as one.
        let is_name = is_token(name) && !name.starts_with(b"--");
        let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        if !is_name || value.iter().any(is_control) {
            return Err(Malformed);
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let is = |header: &str| name.eq_ignore_ascii_case(header.as_bytes());
        if is("content-disposition") {
            set_once(&mut self.disposition, Disposition::parse(value)?)
        } else if is("content-type") {
            set_once(&mut self.content_type, value)
        } else if is("content-transfer-encoding") {
            set_once(&mut self.transfer_encoding, value)
        } else {
            self.is_compressed |= is("content-encoding");
            Ok(())
        }
    }

    fn field(&self) -> Result<Field, Malformed> {
        let disposition = self.disposition.as_ref().ok_or(Malformed)?;
        match disposition.name {
            Name::Other => Ok(Field::Other),
            Name::Model => Ok(Field::Model(self.content(disposition)?)),
            Name::Charset if self.content(disposition)? == Content::Opaque => Err(Malformed),
            Name::Charset => Ok(Field::Charset),
        }
    }

    fn content(&self, disposition: &Disposition) -> Result<Content, Malformed> {
        let is_encoded = self.is_compressed || !self.transfer_encoding.is_none_or(is_identity);
        if disposition.is_file || is_encoded {
            return Ok(Content::Opaque);
        }
        self.content_type.map_or(Ok(Content::Utf8), content)
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Malformed> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed),
    }
}

fn is_identity(encoding: &[u8]) -> bool {
    let identities: [&[u8]; 3] = [b"7bit", b"8bit", b"binary"];
    identities
        .iter()
        .any(|identity| encoding.eq_ignore_ascii_case(identity))
}

fn content(content_type: &[u8]) -> Result<Content, Malformed> {
    let (_, mut params) = split_value(content_type);
    let mut content = Content::Utf8;
    while let Some(param) = params.next()? {
        content = match param {
            _ if !param.is_named("charset") || param.is("charset", &["utf-8"]) => content,
            _ if content == Content::Opaque => content,
            _ if param.is("charset", &["us-ascii", "iso-8859-1"]) => Content::Ascii,
            _ => Content::Opaque,
        };
    }
    Ok(content)
}

/// A `form-data` disposition.
struct Disposition {
    name: Name,
    is_file: bool,
}

impl Disposition {
    /// Reads `form-data; name=...`, then an optional `filename` and `filename*`.
    ///
    /// The name must come first, and all in lower case, as every client writes it:
    /// cpp-httplib and multer would find another name in a quoted file name before
    /// it, or in the value of a `Name`. No other parameter is allowed: only Go reads
    /// `name*` as the name, and if there are two names, parsers disagree on whether
    /// the first or the last counts.
    fn parse(value: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut params) = split_value(value);
        let name = params.next()?.filter(|param| param.name == b"name");
        let name = name.ok_or(Malformed)?.value;
        let is_form_data = kind.eq_ignore_ascii_case(b"form-data");
        if !is_form_data || !is_plain(name) || value.ends_with(b";") {
            return Err(Malformed);
        }
        let mut filename = None;
        let mut extended = None;
        while let Some(param) = params.next()? {
            match param.name {
                b"filename" => set_once(&mut filename, ())?,
                b"filename*" => set_once(&mut extended, ())?,
                _ => return Err(Malformed),
            }
        }
        Ok(Self {
            name: Name::of(name),
            is_file: filename.is_some() || extended.is_some(),
        })
    }
}

/// The names that matter.
enum Name {
    Model,
    Charset,
    Other,
}

impl Name {
    fn of(name: &[u8]) -> Self {
        match name {
            b"model" => Self::Model,
            // (HTML writes and reads it in any case.)
            _ if name.eq_ignore_ascii_case(b"_charset_") => Self::Charset,
            _ => Self::Other,
        }
    }
}

/// Whether all parsers agree that a field's undecoded name is `model`, or that it is not.
///
/// Django also accepts `model` with blanks around it. By the RFC, `mod\el` is
/// `model` as well, but Go and python-multipart differ: so only quotes and
/// backslashes may be escaped.
fn is_plain(name: &[u8]) -> bool {
    if std::str::from_utf8(name).is_ok_and(|name| name.trim() != name) {
        return false;
    }
    let mut rest = name;
    loop {
        rest = match rest {
            [b'\\', b'"' | b'\\', rest @ ..] => rest,
            [b'\\', ..] => return false,
            [_, rest @ ..] => rest,
            [] => return true,
        };
    }
}

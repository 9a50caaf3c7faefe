//! The `model` field of a `multipart/form-data` body (RFC 7578), found while the body arrives.
//!
//! The scanner is our own, because no established crate reports where in the body
//! a field's value is (multer and similar crates return values only). The one
//! crate from which it can be computed, form-net, is weeks old, refuses the
//! `filename` with `filename*` that .NET sends, and accepts bodies that engines
//! read differently.
//!
//! # What is refused
//!
//! The router and the engine must never disagree on the model. A body that the
//! parsers of engines (python-multipart with Starlette, Go's mime/multipart,
//! cpp-httplib, multer, Werkzeug) read differently is therefore refused as
//! [`Refusal::Malformed`]. No client is known to send any of the following:
//!
//! - `--boundary` after a bare CR or LF, or right after a part's headers;
//! - a delimiter followed by anything but CRLF or `--`. Blanks (RFC 2046's
//!   transport padding) are part of it for Go, multer and the newest
//!   python-multipart, make it data for older ones, and are an error for
//!   cpp-httplib; and parsers are as divided on a boundary that goes on;
//! - `--boundary` within a line of the preamble, or anywhere after the close delimiter;
//! - a part without headers, without Content-Disposition or without a name, or
//!   with two of Content-Disposition, Content-Type or Content-Transfer-Encoding;
//! - a header line that is folded, ends in a bare LF or CR, holds NUL or another
//!   control character, or whose name is not a token or begins with `--`;
//! - a Content-Disposition other than `form-data; name=...`, followed by at most
//!   one `filename` and one `filename*`, in lower case and with nothing but
//!   spaces after the semicolons; so no `name*`, and no second `name`;
//! - a field `_charset_` other than `utf-8` or `us-ascii`, for some the charset of all fields
//!   (RFC 7578 section 4.6);
//! - a name with blanks around it or with an escape other than `\"` and `\\`, and
//!   the escapes that end a quoted string for some parsers and not for others.
//!
//! A preamble and an epilogue are accepted, and so are any other header, header
//! names in any case, and values with or without quotes. Data may contain
//! anything, such as `--boundary` within a line, or a nested multipart, which is
//! not parsed.

mod content_type;
mod delimiter;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod part_head;
mod scanner;
#[cfg(test)]
mod tests;

#[cfg(fuzzing)]
pub(crate) use self::fuzz::fuzz_multipart;
pub(crate) use self::{
    content_type::{Boundary, boundary},
    scanner::Multipart,
};

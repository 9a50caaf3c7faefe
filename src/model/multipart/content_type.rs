//! The boundary of a `multipart/form-data` body, from the request's Content-Type.

use crate::model::params::{Malformed, Param, split_value};

/// The longest boundary, of RFC 2046 section 5.1.1.
const MAX_LEN: usize = 70;

/// A boundary: 1 to 70 of the characters that RFC 2046 allows, so never a line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Boundary(Vec<u8>);

impl Boundary {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The Content-Type is `multipart/form-data`, without a boundary that every parser reads alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidContentType;

impl From<Malformed> for InvalidContentType {
    fn from(_: Malformed) -> Self {
        Self
    }
}

/// The boundary that a Content-Type names; `None` if it is not `multipart/form-data`.
///
/// # Errors
///
/// It is `multipart/form-data`, but has no boundary, two of them, or one with
/// characters that RFC 2046 does not allow. Other parameters are an error, too:
/// cpp-httplib takes the first `boundary=` that it finds anywhere, and only Go
/// reads `boundary*`. Starlette decodes names and values by `charset`, so the
/// only `charset` allowed is `utf-8`.
pub(crate) fn boundary(content_type: &[u8]) -> Result<Option<Boundary>, InvalidContentType> {
    let (media_type, mut params) = split_value(content_type);
    let media_type = media_type.trim_ascii();
    if !media_type.eq_ignore_ascii_case(b"multipart/form-data") {
        return Ok(None);
    }
    let mut boundary = None;
    let mut charset = None;
    while let Some(param) = params.next()? {
        let slot = match param {
            _ if param.is_named("boundary") && is_boundary(param.value) => &mut boundary,
            _ if param.is("charset", &["utf-8"]) => &mut charset,
            _ => return Err(InvalidContentType),
        };
        if slot.replace(param).is_some() {
            return Err(InvalidContentType);
        }
    }
    let Param { value, .. } = boundary.ok_or(InvalidContentType)?;
    Ok(Some(Boundary(value.to_vec())))
}

fn is_boundary(value: &[u8]) -> bool {
    let is_char = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    value.len() <= MAX_LEN
        && value.last().is_some_and(|last| *last != b' ')
        && value.iter().all(is_char)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Result<Option<Boundary>, InvalidContentType> {
        Ok(Some(Boundary(text.as_bytes().to_vec())))
    }

    #[test]
    fn reads_the_boundary() {
        let longest = "x".repeat(70);
        for (content_type, expected) in [
            ("multipart/form-data; boundary=b", "b"),
            ("multipart/form-data;boundary=\"b\"", "b"),
            ("Multipart/Form-Data ;  BOUNDARY=B; ", "B"),
            ("multipart/form-data; charset=\"utf-8\"; boundary=b", "b"),
            ("multipart/form-data; boundary=b;charset=UTF-8;", "b"),
            (
                "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
                "----WebKitFormBoundary7MA4YWxkTrZu0gW",
            ),
            (
                "multipart/form-data; boundary=\"'()+_,-./:=? x\"",
                "'()+_,-./:=? x",
            ),
            (
                &format!("multipart/form-data; boundary={longest}"),
                &longest,
            ),
        ] {
            assert_eq!(
                boundary(content_type.as_bytes()),
                named(expected),
                "{content_type}"
            );
        }
    }

    #[test]
    fn leaves_other_types_alone() {
        for content_type in [
            "",
            ";",
            "application/json",
            "multipart/mixed; boundary=b",
            "multipart/form-data-2; boundary=b",
            "multipart/form-data, multipart/form-data; boundary=b",
            "text/plain; multipart/form-data; boundary=b",
        ] {
            assert_eq!(
                boundary(content_type.as_bytes()),
                Ok(None),
                "{content_type}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_boundary_or_more_than_one() {
        let too_long = format!("boundary={}", "x".repeat(71));
        for params in [
            "",
            ";",
            "boundary",
            "boundary=",
            "boundary=\"\"",
            "boundary=\"b",
            "boundary=\"b\"c",
            "boundary=\"b \"",
            "boundary=\"b\\c\"",
            "boundary=\"b\\\"\"",
            "boundary=\"b\tc\"",
            "boundary=\"b\r\n\"",
            "boundary=\"b\u{f6}\"",
            "boundary=b c",
            "boundary=b/c",
            "boundary =b",
            "boundary=b; boundary=b",
            "boundary=b; Boundary=c",
            "boundary=b; boundary*=utf-8''c",
            "boundary*0=b",
            "boundary=b; xboundary=c",
            "boundary=b; charset=utf-7",
            "boundary=b; charset=us-ascii",
            "\tboundary=b",
            "boundary=b; charset=utf-8; charset=utf-8",
            "boundary=b;; charset=utf-8",
            "boundary=b, boundary=c",
            &too_long,
        ] {
            let content_type = format!("multipart/form-data; {params}");
            assert_eq!(
                boundary(content_type.as_bytes()),
                Err(InvalidContentType),
                "{content_type}"
            );
        }
        assert_eq!(boundary(b"multipart/form-data"), Err(InvalidContentType));
    }
}

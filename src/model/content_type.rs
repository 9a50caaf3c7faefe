//! What the Content-Type says of how engines read a body.
//!
//! Engines read a Content-Type in many ways: some know the quotes of parameters and some don't,
//! email libraries decode `charset*0`. So a word counts wherever it stands.

use http::{HeaderMap, header::CONTENT_TYPE};
use memchr::memmem;

use crate::error::{RouteError, RouteErrorKind};

/// Checks that the request has one Content-Type at most.
pub(super) fn check(headers: &HeaderMap) -> Result<(), RouteError> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(one), None) if !is_list(one.as_bytes()) => Ok(()),
        (None, _) => Ok(()),
        _ => Err(RouteError::new(
            RouteErrorKind::InvalidContentType,
            "the request has more than one Content-Type",
        )),
    }
}

/// Checks that no engine would read the body as a form, or in another charset, where it is read
/// as JSON here.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), RouteError> {
    check(headers)?;
    let value = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let value = value.unwrap_or_default();
    if value.eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    let value = value.to_ascii_lowercase();
    if is_form(&value) {
        return Err(RouteError::new(
            RouteErrorKind::UnsupportedMediaType,
            "the request body is a form, and must be JSON here",
        ));
    }
    if !has_known_charset(&value) {
        return Err(RouteError::new(
            RouteErrorKind::UnsupportedMediaType,
            "the charset of the request body is not UTF-8",
        ));
    }
    Ok(())
}

/// Whether the body is said to be something else than JSON.
pub(super) fn is_other_than_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        memmem::find(&value, b"json").is_none()
    })
}

/// Whether there is a comma outside of quotes: several fields in one.
fn is_list(value: &[u8]) -> bool {
    let mut is_quoted = false;
    value.iter().any(|byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    })
}

fn is_form(value: &[u8]) -> bool {
    value.trim_ascii_start().starts_with(b"multipart/")
        || memmem::find(value, b"multipart/form-data").is_some()
        || memmem::find(value, b"x-www-form-urlencoded").is_some()
}

/// Whether each `charset` is one of UTF-8, of which US-ASCII is a part.
fn has_known_charset(value: &[u8]) -> bool {
    memmem::find_iter(value, b"charset").all(|at| {
        let after = value.get(at + b"charset".len()..).unwrap_or_default();
        let Some(after) = after.trim_ascii_start().strip_prefix(b"=") else {
            return false;
        };
        let end = after.iter().position(|byte| *byte == b';');
        let name = after.get(..end.unwrap_or(after.len())).unwrap_or(after);
        let name = name.trim_ascii();
        let name = name
            .strip_prefix(b"\"")
            .map_or(Some(name), |name| name.strip_suffix(b"\""));
        matches!(name, Some(b"utf-8" | b"utf8" | b"us-ascii" | b"ascii"))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn checked(values: &[&str]) -> Option<u16> {
        let headers = values.iter().map(|value| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (CONTENT_TYPE, value)
        });
        let checked = check_json(&headers.collect());
        checked.err().map(|error| error.status().as_u16())
    }

    #[test]
    fn json_in_utf_8_is_read() {
        for value in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; charset = utf8 ; odata=verbose",
            "application/json; charset=us-ascii;",
            "application/vnd.api+json; profile=\"a,b\"",
            "text/plain",
            "application/octet-stream",
            "",
        ] {
            assert_eq!(checked(&[value]), None, "{value}");
        }
        assert_eq!(checked(&[]), None);
    }

    #[test]
    fn what_an_engine_could_read_differently_is_not() {
        for value in [
            "application/json; charset=utf-7",
            "application/json; charset=utf-16",
            "application/json; charset=",
            "application/json; charset",
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; charset=\"utf-8\"; Charset=\"utf-7\"",
            "application/json; charset*=us-ascii''utf-7",
            "application/json; charset*0=ut; charset*1=f-7",
            "application/json; a=\"; charset=utf-7\"",
            "application/json; charset=utf-8-sig",
            "application/json; charset=\"utf-8",
            "application/json; charset=utf-8 (utf-7)",
            "text/plain; charset=latin-1",
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-Urlencoded; charset=utf-8",
            "text/plain; application/x-www-form-urlencoded",
            "multipart/form-data; boundary=b",
            "multipart/mixed; boundary=b",
            "text/plain; multipart/form-data; boundary=b",
        ] {
            assert_eq!(checked(&[value]), Some(415), "{value}");
        }
    }

    #[test]
    fn two_of_them_are_refused() {
        let json = "application/json";
        for values in [
            &[json, json][..],
            &[json, "text/plain"],
            &["", json],
            &["application/json, text/plain"],
            &["application/json; a=\"\", text/plain"],
        ] {
            assert_eq!(checked(values), Some(400), "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn no_other_charset_gets_through(
            before in "application/json;[ ;a-z=\"]{0,12}",
            name in "[Cc]har[Ss]et[*0 ]{0,2}",
            charset in "[a-z0-9-]{0,9}",
            after in "(;[ ;a-z=\"]{0,9})?",
        ) {
            let value = format!("{before}{name}={charset}{after}");
            let is_known = ["utf-8", "utf8", "ascii", "us-ascii"].contains(&&*charset);
            prop_assert!(is_known || checked(&[&value]).is_some(), "{}", value);
        }
    }
}

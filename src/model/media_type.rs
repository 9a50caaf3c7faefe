//! What the Content-Type says about a body that is read as JSON.

use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

use super::params::{Malformed, split_value};
use crate::error::{RouteError, RouteErrorKind};

/// The character sets in which an engine reads the same JSON, with the names that Python has for
/// them.
const CHARSETS: &[&str] = &["utf-8", "utf8", "us-ascii", "ascii"];

/// Whether this Content-Type is JSON and nothing else, as nearly all requests have it.
pub(crate) fn is_plain_json(content_type: &HeaderValue) -> bool {
    content_type == "application/json"
}

/// Refuses a Content-Type by which an engine may read another document than the JSON in UTF-8
/// that the router reads (RFC 8259 section 8.1).
///
/// An engine on aiohttp decodes the body by its `charset`: in UTF-7 another model can be written.
/// A form is read as a form by some and as JSON by others.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), RouteError> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let (media_type, _) = split_value(value.as_bytes());
    if is_form(media_type.trim_ascii()) {
        return Err(unsupported("the request body is a form, not JSON"));
    }
    match is_utf8(value.as_bytes()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(unsupported("the request body is JSON, but not in UTF-8")),
        Err(Malformed) => Err(unsupported("the Content-Type can't be read")),
    }
}

fn is_form(media_type: &[u8]) -> bool {
    const MULTIPART: &[u8] = b"multipart/";
    let start = media_type.get(..MULTIPART.len()).unwrap_or_default();
    media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        || start.eq_ignore_ascii_case(MULTIPART)
}

/// Refuses several Content-Types, of which an engine may read the body by any.
pub(super) fn check_one_type(headers: &HeaderMap) -> Result<(), RouteError> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let is_list = values.next().is_some_and(|value| {
        let (media_type, _) = split_value(value.as_bytes());
        media_type.contains(&b',')
    });
    if !is_list && values.next().is_none() {
        return Ok(());
    }
    Err(RouteError::new(
        RouteErrorKind::InvalidBody,
        "the request has more than one Content-Type",
    ))
}

/// Whether no parameter says that it is in another character set.
fn is_utf8(content_type: &[u8]) -> Result<bool, Malformed> {
    let (_, mut params) = split_value(content_type);
    let mut has_charset = false;
    while let Some(param) = params.next()? {
        let is_charset = param.is_named("charset");
        if is_charset && (has_charset || !param.is("charset", CHARSETS)) {
            return Ok(false);
        }
        // `charset*` (RFC 2231), and a value in which a careless parser finds a charset.
        let hidden = |text: &[u8]| {
            text.to_ascii_lowercase()
                .windows(7)
                .any(|w| w == b"charset")
        };
        if !is_charset && (hidden(param.name) || hidden(param.value)) {
            return Ok(false);
        }
        has_charset |= is_charset;
    }
    Ok(true)
}

fn unsupported(message: &'static str) -> RouteError {
    RouteError::new(RouteErrorKind::UnsupportedMediaType, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&'static str]) -> Option<u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_TYPE, value.parse().unwrap());
        }
        let checked = check_one_type(&headers).and_then(|()| check_json(&headers));
        let error = checked.err()?;
        Some(error.kind().status().as_u16())
    }

    #[test]
    fn json_in_utf8_is_what_it_says() {
        for value in [
            "application/json",
            "application/json;",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/vnd.api+json; charset=US-ASCII; profile=x",
            "text/plain",
            "nonsense",
            "",
        ] {
            assert_eq!(check(&[value]), None, "{value}");
        }
        assert_eq!(check(&[]), None);
    }

    #[test]
    fn what_engines_may_read_otherwise_is_refused() {
        for value in [
            "application/json; charset=utf-7",
            "application/json; charset=utf-16",
            "application/json; charset=\"utf-7\"",
            "application/json; CHARSET=latin1",
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; charset=",
            "application/json; charset*=utf-8''utf-7",
            "application/json; x=\"; charset=utf-7\"",
            "application/json; charset = utf-7",
            "application/json; charset='utf-7'",
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-Urlencoded; charset=utf-8",
            "Multipart/Mixed; boundary=b",
        ] {
            assert_eq!(check(&[value]), Some(415), "{value}");
        }
        let two = ["application/json", "application/json; charset=utf-7"];
        assert_eq!(check(&two), Some(400));
        let two_in_one = "application/json, application/json; charset=utf-7";
        assert_eq!(check(&[two_in_one]), Some(400));
    }
}

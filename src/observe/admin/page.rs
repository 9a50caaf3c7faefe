//! `GET /_`: the page that shows it live.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header::CONTENT_SECURITY_POLICY};

use super::{answer, body::AdminBody};

/// The text between the tags is exactly what the policy's hashes cover.
const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style>",
    include_str!("page/style.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script type=\"module\">",
    include_str!("page/script.js"),
    "</script>\n</body>\n</html>\n",
);

/// Only the page's own style and script run, nothing is loaded from elsewhere, and no other
/// page can frame it. A hash needs no randomness, and the page no state.
const POLICY: &str = concat!(
    "default-src 'none'; ",
    "style-src 'sha256-s5BgyamI8IdfoI7Tu9ISmQqWMIzAaTdqzxJnitIDvZU='; ",
    "script-src 'sha256-f29Xfa4gEf06L6YSzDZnvMLFiOsSfDUwvCOZMMIYLig='; ",
    "connect-src 'self'; img-src data:; ",
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const HEADERS: [(HeaderName, HeaderValue); 1] =
    [(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))];

pub(super) fn answer() -> Response<AdminBody> {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let page = Bytes::from_static(PAGE.as_bytes());
    let mut response = answer::of(html, AdminBody::new(page));
    response.headers_mut().extend(HEADERS);
    response
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use sha2::{Digest, Sha256};

    use super::*;

    fn hash(text: &str) -> String {
        BASE64_STANDARD.encode(Sha256::digest(text))
    }

    #[test]
    fn the_policy_has_the_hashes_of_the_style_and_the_script() {
        let style = hash(include_str!("page/style.css"));
        let script = hash(include_str!("page/script.js"));
        assert!(
            POLICY.contains(&format!("'sha256-{style}'"))
                && POLICY.contains(&format!("'sha256-{script}'")),
            "the page has changed: put these into POLICY:\n{style}\n{script}"
        );
    }

    #[test]
    fn the_page_loads_nothing_and_writes_no_markup() {
        for forbidden in [
            "http:",
            "https:",
            "src=",
            "@import",
            "url(",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            " style=",
            " onclick=",
        ] {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert_eq!(PAGE.matches("</script").count(), 1);
        assert_eq!(PAGE.matches("</style").count(), 1);
    }
}

//! Methods, paths, headers, and the page itself.

use http::{Method, StatusCode};
use test_kit::table::HOSTILE;

use super::view::{ask, get};

#[tokio::test]
async fn it_goes_by_the_last_segment_of_the_path() {
    for (path, status) in [
        ("/_", StatusCode::OK),
        ("/ops/gateway/_", StatusCode::OK),
        ("/_routes?since=1", StatusCode::OK),
        ("/ops/_routes", StatusCode::OK),
        ("/", StatusCode::NOT_FOUND),
        ("/__", StatusCode::NOT_FOUND),
        ("/_/", StatusCode::NOT_FOUND),
        ("/_routes/x", StatusCode::NOT_FOUND),
        ("/x_routes", StatusCode::NOT_FOUND),
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        if status == StatusCode::NOT_FOUND {
            assert_eq!(answer.json()["error"]["code"], "not_found");
        }
    }
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    for (path, method, allowed) in [
        ("/_", Method::POST, "GET, HEAD"),
        ("/_", Method::OPTIONS, "GET, HEAD"),
        ("/_routes", Method::DELETE, "GET, HEAD"),
        ("/_explain", Method::GET, "POST"),
        ("/_explain", Method::HEAD, "POST"),
    ] {
        let answer = ask(method, path).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()["allow"], allowed);
        assert_eq!(answer.json()["error"]["code"], "method_not_allowed");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    for path in ["/_", "/_routes"] {
        let (get, head) = (get(path).await, ask(Method::HEAD, path).await);
        assert_eq!(head.status(), StatusCode::OK);
        assert!(head.text().is_empty());
        assert_eq!(
            head.headers()["content-type"],
            get.headers()["content-type"]
        );
        let length: usize = head.headers()["content-length"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(length, get.text().len());
    }
}

#[tokio::test]
async fn nothing_is_stored_or_sniffed() {
    for path in ["/_", "/_routes", "/_explain", "/gone"] {
        let answer = get(path).await;
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
    }
}

#[tokio::test]
async fn the_page_runs_nothing_but_its_own_script() {
    let page = get("/_").await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("connect-src 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
}

#[tokio::test]
async fn the_page_holds_nothing_of_the_table_and_of_no_other_site() {
    let page = get("/_").await;
    let text = page.text();
    assert!(!text.contains(HOSTILE) && !text.contains("gpt"));
    for reference in ["://", "src=", "href=\"/", "@import", "url("] {
        assert!(!text.contains(reference), "{reference}");
    }
    assert!(text.contains("<meta name=\"viewport\" content=\"width=device-width"));
    assert!(text.contains("<html lang=\"en\">"));
    assert!(text.contains("fetch(\"_routes\""));
}

#[tokio::test]
async fn every_field_has_a_label() {
    let page = get("/_").await;
    let text = page.text();
    for field in ["model", "path", "headers"] {
        assert!(text.contains(&format!("<label for=\"{field}\">")));
        assert!(text.contains(&format!(" id=\"{field}\"")));
    }
}

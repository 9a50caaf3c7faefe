//! Headers for engines: which are refused, and that their values are shown to nobody.

use tower_model_route::{Admin, MistakeKind, ModelServer, RouteTable};

const KEY: &str = "sk-7f3a";

fn server() -> ModelServer {
    ModelServer::new("hosted")
        .endpoint("https://api.example.com")
        .header("x-api-key", KEY)
}

#[test]
fn what_is_no_header_of_an_engine_is_refused() {
    let server = ModelServer::new("s")
        .header("", "v")
        .header("a b", "v")
        .header("x-ok", "line\nend")
        .header("Host", "v")
        .header("content-length", "1")
        .header("x-twice", "1")
        .header("X-Twice", "2");
    let error = RouteTable::builder()
        .model_server(server)
        .build()
        .unwrap_err();
    let found: Vec<_> = error
        .mistakes()
        .iter()
        .map(|mistake| (mistake.place(), mistake.kind().clone()))
        .collect();
    let place = |name: &str| format!("ModelServer \"s\", header {name:?}");
    assert_eq!(
        found,
        [
            (&*place(""), MistakeKind::InvalidHeaderName),
            (&*place("a b"), MistakeKind::InvalidHeaderName),
            (&*place("x-ok"), MistakeKind::InvalidHeaderValue),
            (&*place("Host"), MistakeKind::ReservedHeader),
            (&*place("content-length"), MistakeKind::ReservedHeader),
            (&*place("X-Twice"), MistakeKind::DuplicateHeader),
        ]
    );
}

#[tokio::test]
async fn a_value_is_shown_to_nobody() {
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    let table = RouteTable::builder()
        .model_server(server())
        .build()
        .unwrap();
    let headers: Vec<_> = server()
        .get_headers()
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect();
    assert_eq!(
        headers,
        [("x-api-key".to_owned(), "${X_API_KEY}".to_owned())]
    );
    let json = serde_json::to_string(table.config()).unwrap();
    assert!(json.contains("${X_API_KEY}"), "{json}");
    let mut shown = vec![
        json,
        format!("{table:?}"),
        format!("{:?}", table.config()),
        table.to_yaml(),
    ];
    for path in ["/_", "/_routes"] {
        let request = Request::get(path).body(String::new()).unwrap();
        let answer = Admin::new(table.clone()).oneshot(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        shown.push(String::from_utf8(body.to_vec()).unwrap());
    }
    for text in shown {
        assert!(!text.contains(KEY), "{text}");
    }
}

/// A new key makes another table.
#[test]
fn values_are_compared() {
    assert_eq!(server(), server());
    let other = ModelServer::new("hosted")
        .endpoint("https://api.example.com")
        .header("x-api-key", "another");
    assert_ne!(server(), other);
}

//! The view answers no page of somebody else's, and tells nobody what may be a key.

use http::Request;
use http_body_util::Full;
use serde_json::json;
use test_kit::{answer::Answer, table::servers};
use tower_model_route::{Admin, ModelMatch, ModelRoute, RouteTable, Rule, StringMatch};

use super::view::{explain, send};

fn keyed() -> RouteTable {
    let with = |name: &str, value: &str| {
        ModelMatch::new().header(name, StringMatch::exact(value.to_owned()))
    };
    servers(&["s"])
        .model_route(
            ModelRoute::new("r")
                .model_name("m")
                .rule(
                    Rule::new("a")
                        .when(with("x-tenant-key", "sesame"))
                        .target("s"),
                )
                .rule(
                    Rule::new("b")
                        .when(with("User-Type", "premium"))
                        .target("s"),
                )
                .rule(
                    Rule::new("c")
                        .when(with("x-api-key", "swordfish"))
                        .target("s"),
                ),
        )
        .build()
        .unwrap()
}

async fn asked(admin: Admin, host: &str) -> u16 {
    let request = Request::get("/_routes").header("host", host);
    let request = request.body(Full::<bytes::Bytes>::default()).unwrap();
    send(admin, request).await.status().as_u16()
}

#[tokio::test]
async fn only_by_an_address_localhost_or_a_listed_name() {
    let admin = || Admin::new(keyed());
    for host in [
        "127.0.0.1:8080",
        "10.1.2.3",
        "[::1]:80",
        "localhost:8080",
        "LOCALHOST",
        "gateway.localhost",
    ] {
        assert_eq!(asked(admin(), host).await, 200, "{host}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "ops.example",
        "a, b",
        "",
    ] {
        assert_eq!(asked(admin(), host).await, 421, "{host}");
    }
    let listed = || admin().host("Ops.example");
    assert_eq!(asked(listed(), "ops.example:8443").await, 200);
    assert_eq!(asked(listed(), "evil.example").await, 421);
    assert_eq!(asked(admin().any_host(), "evil.example").await, 200);
    // As HTTP/2 has it.
    let request = Request::get("http://evil.example/_routes");
    let request = request.body(Full::<bytes::Bytes>::default()).unwrap();
    assert_eq!(send(admin(), request).await.status(), 421);
}

async fn explained(admin: Admin, content_type: Option<&str>) -> Answer {
    let question = json!({
        "model": "m",
        "headers": {"x-tenant-key": "guess", "user-type": "basic"},
    });
    let content_type = content_type.map(|content_type| ("content-type", content_type));
    explain(admin, "/_explain", content_type, question.to_string()).await
}

/// Other types can be sent by any page without asking.
#[tokio::test]
async fn a_question_is_json_and_says_so() {
    let admin = || Admin::new(keyed());
    for content_type in ["application/json", "Application/JSON ; charset=utf-8"] {
        assert_eq!(explained(admin(), Some(content_type)).await.status(), 200);
    }
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("text/plain; application/json"),
    ] {
        let refused = explained(admin(), content_type).await;
        assert_eq!(refused.status(), 415, "{content_type:?}");
        assert_eq!(refused.json()["error"]["code"], "unsupported_media_type");
    }
}

#[tokio::test]
async fn configured_values_are_masked_unless_they_are_listed() {
    let routes = async |admin: Admin| {
        let request = Request::get("/_routes").body(Full::<bytes::Bytes>::default());
        send(admin, request.unwrap()).await.text().to_owned()
    };
    for listed in [false, true] {
        let admin = || match listed {
            false => Admin::new(keyed()),
            true => Admin::new(keyed())
                .show_header("user-type")
                .show_header("x-api-key"),
        };
        let told = [
            routes(admin()).await,
            explained(admin(), Some("application/json"))
                .await
                .text()
                .to_owned(),
        ];
        for told in told {
            assert!(told.contains("x-tenant-key is ***"), "{told}");
            assert!(
                !told.contains("sesame") && !told.contains("swordfish"),
                "{told}"
            );
            assert_eq!(told.contains("premium"), listed, "{told}");
        }
    }
}

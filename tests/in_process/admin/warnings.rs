//! The linter's warnings in the view.

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use test_kit::table::{one_server, retries};
use tower_model_route::{
    Admin, ModelMatch, ModelRoute, ModelServer, RouteTable, RouteTableHandle, Rule, StringMatch,
};

use super::view::send;

async fn lints(admin: &Admin) -> Value {
    let request = Request::get("/_routes").body(Full::default()).unwrap();
    send(admin.clone(), request).await.json()["lints"].take()
}

/// A rule by a pattern that matches more than it looks like.
fn suspect(header: &str) -> RouteTable {
    let when = ModelMatch::new().header(header, StringMatch::regex("gold-key"));
    RouteTable::builder()
        .model_server(ModelServer::new("server").endpoint("http://e0"))
        .model_route(
            ModelRoute::new("chat")
                .model_name("chat")
                .rule(Rule::new("gold").when(when).target("server")),
        )
        .build()
        .unwrap()
}

#[tokio::test]
async fn they_are_those_of_the_current_table() {
    let handle = RouteTableHandle::new(one_server(1, retries(0)));
    let admin = Admin::new(handle.clone()).show_header("tier");
    assert_eq!(lints(&admin).await, json!([]));
    let table = suspect("tier");
    let expected = table.lint();
    assert_eq!(expected.len(), 1);
    handle.replace(table);
    let told = json!([{
        "code": "suspect-regex",
        "place": expected[0].place(),
        "message": expected[0].message(),
    }]);
    for _ in 0..2 {
        assert_eq!(lints(&admin).await, told);
    }
    assert!(told.to_string().contains("gold-key"));
    handle.replace(one_server(1, retries(0)));
    assert_eq!(lints(&admin).await, json!([]));
}

/// A message of the linter quotes the pattern, which may be a key.
#[tokio::test]
async fn they_tell_no_value_that_is_masked() {
    for (header, shown) in [("tier", "user-type"), ("authorization", "authorization")] {
        let admin = Admin::new(suspect(header)).show_header(shown);
        let lints = lints(&admin).await;
        assert_eq!(lints[0]["code"], "suspect-regex");
        assert!(!lints.to_string().contains("gold-key"), "{lints}");
        assert!(lints[0]["message"].as_str().unwrap().contains("***"));
    }
}

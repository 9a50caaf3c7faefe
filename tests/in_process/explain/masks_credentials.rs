//! Credentials are never shown, neither those of the request nor those in the configuration.

use http::HeaderValue;
use tower_model_route::{ModelMatch, Rule, StringMatch};

use super::tables::{chat, one};

const SECRET: &str = "Bearer sk-12345";

fn shown(header: &str, value: StringMatch, sent: &[(&str, &str)]) -> String {
    let rule = Rule::new("x").when(ModelMatch::new().header(header, value));
    let explained = one(rule.target("large")).explain(&chat(sent), "m");
    let json = serde_json::to_string(&explained).unwrap();
    format!("{explained}\n{json}\n{explained:?}")
}

#[test]
fn headers_with_credentials_are_masked_in_text_and_json() {
    for header in [
        "authorization",
        "Authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
    ] {
        for value in [
            StringMatch::exact(SECRET),
            StringMatch::prefix(&SECRET[..12]),
            StringMatch::regex("sk-1+"),
        ] {
            let shown = shown(header, value, &[(header, SECRET), (header, "sk-678")]);
            assert!(!shown.contains("sk-"), "{header}: {shown}");
            assert!(shown.contains("***"), "{header}: {shown}");
        }
    }
}

#[test]
fn it_still_says_how_they_are_compared_and_whether_they_are_there() {
    let exact = || StringMatch::exact(SECRET);
    let there = shown("Authorization", exact(), &[("authorization", SECRET)]);
    assert!(there.contains(r#"header authorization is ***: yes, it is "***""#));
    let missing = shown("authorization", exact(), &[]);
    assert!(missing.contains("header authorization is ***: no, there is none"));
    let prefix = shown("cookie", StringMatch::prefix("a"), &[("cookie", "b")]);
    assert!(prefix.contains(r#"header cookie begins with ***: no, it is "***""#));
}

#[test]
fn a_value_that_is_marked_as_sensitive_is_masked() {
    let mut head = chat(&[]);
    let mut value = HeaderValue::from_static("hush");
    value.set_sensitive(true);
    head.headers.insert("x-tenant", value);
    let rule = Rule::new("x")
        .when(ModelMatch::new().header("x-tenant", StringMatch::exact("a")))
        .target("large");
    let explained = one(rule).explain(&head, "m");
    assert!(!format!("{explained}{explained:?}").contains("hush"));
}

#[test]
fn headers_that_no_rule_looks_at_are_not_shown() {
    let explained = one(Rule::new("x").target("large"));
    let explained = explained.explain(&chat(&[("x-other", "hush")]), "m");
    assert!(!format!("{explained:?}").contains("hush"));
}

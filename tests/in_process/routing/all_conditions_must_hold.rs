//! Conditions: headers, the path, the model in the body, and all of them together.

use http::{HeaderValue, Request, request::Parts};
use test_kit::{request::head, table::servers};
use tower_model_route::{ApiPaths, ModelMatch, ModelRoute, RouteTable, Rule, StringMatch};

/// Whether a rule with `conditions` takes the request.
fn takes(conditions: ModelMatch, head: &Parts, model: &str) -> bool {
    table(conditions).decide(head, model).is_ok()
}

fn table(conditions: ModelMatch) -> RouteTable {
    servers(&["s"])
        .paths(ApiPaths::any())
        .model_route(
            ModelRoute::new("r")
                .model_name("m")
                .lora_adapter("lora")
                .rule(Rule::new("rule").when(conditions).target("s")),
        )
        .build()
        .unwrap()
}

fn header(name: &str, value: StringMatch) -> ModelMatch {
    ModelMatch::new().header(name, value)
}

#[test]
fn no_condition_takes_everything() {
    assert!(takes(ModelMatch::new(), &head("/", &[]), "m"));
}

#[test]
fn headers() {
    type Make = fn(&'static str) -> StringMatch;
    let (exact, prefix, regex): (Make, Make, Make) =
        (StringMatch::exact, StringMatch::prefix, StringMatch::regex);
    #[rustfmt::skip]
    let cases: &[(Make, &str, &[&str], bool)] = &[
        (exact, "premium", &["premium"], true),
        (exact, "premium", &["Premium"], false),
        (exact, "premium", &["premium-plus"], false),
        (exact, "premium", &["premium,free"], false),
        (exact, "premium", &[""], false),
        (exact, "", &[""], true),
        (exact, "", &["x"], false),
        (prefix, "pre", &["premium"], true),
        (prefix, "pre", &["pre"], true),
        (prefix, "pre", &["pr"], false),
        (prefix, "pre", &["a pre"], false),
        (prefix, "", &["anything"], true),
        (prefix, "", &[""], true),
        // Unanchored, as in Kthena.
        (regex, "mium", &["a premium user"], true),
        (regex, "^premium$", &["a premium user"], false),
        (regex, "^(gold|premium)$", &["gold"], true),
        (regex, "(?i)PREMIUM", &["premium"], true),
        (regex, r"^v\d+$", &["v12"], true),
        (regex, r"^v\d+$", &["v1x"], false),
        (regex, "", &["x"], true),
        (regex, "^$", &[""], true),
        // An absent header matches nothing.
        (exact, "", &[], false),
        (exact, "premium", &[], false),
        (prefix, "", &[], false),
        (regex, "", &[], false),
        (regex, "^$", &[], false),
        (regex, ".*", &[], false),
        // Of a repeated one any value may match.
        (exact, "premium", &["free", "premium"], true),
        (exact, "premium", &["premium", "free"], true),
        (exact, "premium", &["free", "gold"], false),
        (prefix, "pre", &["free", "", "premium"], true),
        // But no two of them together.
        (regex, "^free.premium$", &["free", "premium"], false),
    ];
    for (make, pattern, values, expected) in cases {
        let values: Vec<_> = values.iter().map(|value| ("user-type", *value)).collect();
        let head = head("/", &values);
        let pattern = make(pattern);
        let context = format!("{pattern:?} on {values:?}");
        assert_eq!(
            takes(header("user-type", pattern), &head, "m"),
            *expected,
            "{context}"
        );
    }
}

#[test]
fn header_names_have_no_case() {
    for (configured, sent) in [
        ("User-Type", "user-type"),
        ("user-type", "USER-TYPE"),
        ("X-A", "x-a"),
    ] {
        let head = head("/", &[(sent, "premium")]);
        assert!(takes(
            header(configured, StringMatch::exact("premium")),
            &head,
            "m"
        ));
    }
    let head = head("/", &[("user_type", "premium")]);
    assert!(!takes(
        header("user-type", StringMatch::exact("premium")),
        &head,
        "m"
    ));
}

#[test]
fn header_values_need_not_be_text() {
    let (head, ()) = Request::post("/")
        .header("user", HeaderValue::from_bytes(b"pre\xff\xfe").unwrap())
        .body(())
        .unwrap()
        .into_parts();
    assert!(takes(
        header("user", StringMatch::prefix("pre")),
        &head,
        "m"
    ));
    assert!(takes(
        header("user", StringMatch::regex("^pre")),
        &head,
        "m"
    ));
    assert!(!takes(
        header("user", StringMatch::exact("pre")),
        &head,
        "m"
    ));
}

#[test]
fn the_uri_is_the_decoded_path_without_the_query() {
    let exact = |path: &str| ModelMatch::new().uri(StringMatch::exact(path));
    let prefix = |path: &str| ModelMatch::new().uri(StringMatch::prefix(path));
    let regex = |path: &str| ModelMatch::new().uri(StringMatch::regex(path));
    for (condition, uri, expected) in [
        (exact("/v1/chat/completions"), "/v1/chat/completions", true),
        (
            exact("/v1/chat/completions"),
            "/v1/chat/completions?stream=1",
            true,
        ),
        (
            exact("/v1/chat/completions"),
            "/v1/chat/completions/",
            false,
        ),
        (exact("/v1/chat/completions"), "/V1/chat/completions", false),
        (
            exact("/v1/chat/completions"),
            "http://gateway:80/v1/chat/completions",
            true,
        ),
        (exact("/v1/chat"), "/v1/%63hat", true),
        (exact("/v1/chat"), "/v1%2Fchat", true),
        (exact("/v1/%63hat"), "/v1/%63hat", false),
        (exact("/v1/ä"), "/v1/%C3%A4", true),
        (exact("/a%"), "/a%", true),
        (exact("/a b"), "/a%20b", true),
        (exact("/a+b"), "/a+b", true),
        (prefix("/v1/"), "/v1/embeddings", true),
        (prefix("/v1/"), "/v2/v1/", false),
        (prefix("/v1/chat"), "/?x=/v1/chat", false),
        (prefix(""), "/", true),
        (regex("chat"), "/v1/chat/completions", true),
        (regex("^/v[12]/chat"), "/v2/chat", true),
        (regex("stream"), "/v1/chat?stream=1", false),
        (regex("^/$"), "http://gateway", true),
    ] {
        let context = format!("{condition:?} on {uri}");
        assert_eq!(
            takes(condition, &head(uri, &[]), "m"),
            expected,
            "{context}"
        );
    }
}

#[test]
fn the_body_model_is_the_name_that_was_asked_for() {
    let adapter = || ModelMatch::new().body_model("lora");
    let head = head("/", &[]);
    assert!(takes(adapter(), &head, "lora"));
    assert!(!takes(adapter(), &head, "m"));
    assert!(!takes(ModelMatch::new().body_model("Lora"), &head, "lora"));
    // One that no request can have.
    assert!(!takes(ModelMatch::new().body_model("other"), &head, "m"));
}

#[test]
fn all_conditions_must_hold() {
    let conditions = || {
        ModelMatch::new()
            .header("user-type", StringMatch::exact("premium"))
            .header("region", StringMatch::prefix("eu-"))
            .uri(StringMatch::prefix("/v1/chat"))
            .body_model("m")
    };
    let all = [("user-type", "premium"), ("region", "eu-west")];
    for (uri, headers, model, expected) in [
        ("/v1/chat/completions", &all[..], "m", true),
        ("/v1/completions", &all[..], "m", false),
        ("/v1/chat/completions", &all[..1], "m", false),
        ("/v1/chat/completions", &all[1..], "m", false),
        ("/v1/chat/completions", &all[..], "lora", false),
    ] {
        assert_eq!(takes(conditions(), &head(uri, headers), model), expected);
    }
}

#[test]
fn one_header_may_have_several_conditions() {
    let conditions =
        || header("user", StringMatch::prefix("a")).header("user", StringMatch::regex("z$"));
    assert!(takes(conditions(), &head("/", &[("user", "abcz")]), "m"));
    assert!(!takes(conditions(), &head("/", &[("user", "abc")]), "m"));
    // Each is a condition of its own: different values may meet them.
    let two = [("user", "abc"), ("user", "xyz")];
    assert!(takes(conditions(), &head("/", &two), "m"));
}

#[test]
fn conditions_of_several_whens_add_up() {
    let rule = Rule::new("rule")
        .when(header("a", StringMatch::exact("1")))
        .when(header("b", StringMatch::exact("2")))
        .target("s");
    let table = servers(&["s"])
        .model_route(ModelRoute::new("r").model_name("m").rule(rule))
        .build()
        .unwrap();
    let decide = |headers: &[(&str, &str)]| table.decide(&head("/", headers), "m").is_ok();
    assert!(decide(&[("a", "1"), ("b", "2")]));
    assert!(!decide(&[("a", "1")]));
    assert!(!decide(&[("b", "2")]));
}

/// HTTP/2 has the authority in the URI, and so has HTTP/1.1 in its absolute form, in which Host
/// does not count (RFC 9112 section 3.2.2).
#[test]
fn host_is_the_authority_where_there_is_one() {
    let host = |value| header("host", StringMatch::exact(value));
    for (uri, field, expected) in [
        ("/v1/x", Some("a.test"), "a.test"),
        ("http://a.test/v1/x", None, "a.test"),
        ("http://a.test:8080/v1/x", None, "a.test:8080"),
        ("http://a.test/v1/x", Some("b.test"), "a.test"),
        ("http://me:pass@a.test/v1/x", None, "a.test"),
    ] {
        let fields: Vec<_> = field.map(|field| ("host", field)).into_iter().collect();
        let head = head(uri, &fields);
        assert!(takes(host(expected), &head, "m"), "{uri} {field:?}");
        assert!(!takes(host("b.test"), &head, "m"), "{uri} {field:?}");
        let explained = table(host(expected)).explain(&head, "m");
        let seen = explained.routes()[0].rules()[0].conditions()[0].seen();
        assert_eq!(seen, [expected]);
    }
    assert!(!takes(host("a.test"), &head("/v1/x", &[]), "m"));
}

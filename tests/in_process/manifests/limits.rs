//! `rateLimit`, and what annotations say of limits.

use tower_model_route::{LimitKey, Per, RateLimit, RouteTable, StoreFailure, manifest::Manifests};

use super::written::{errors, route, up, warnings};

const ROUTE: &str = r#"
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: chat
  annotations:
    tower-model-route/rate-limit: |
      kthenaKeys: true
      onStoreFailure: closed
    tower-model-route/limits: |
      - {unit: totalTokens, limit: 3000000000000, per: day}
      - {unit: requests, limit: 60, per: minute, header: x-api-key, maxKeys: 500}
      - {unit: requests, limit: 6, redis: "redis:6379", onStoreFailure: open}
      - {unit: concurrentRequests, limit: 8, key: tenant, observeOnly: true}
spec:
  modelName: m
  rateLimit:
    inputTokensPerUnit: 1000
    outputTokensPerUnit: 2000
    unit: month
    global: {redis: {address: "10.0.0.9:6379"}}
  rules:
  - targetModels:
    - modelServerName: small
"#;

fn limits(table: &RouteTable) -> &[RateLimit] {
    table.config().get_model_routes()[0].get_rate_limits()
}

fn build(route: &str) -> RouteTable {
    Manifests::from_yaml(&format!("{}\n---{route}", up("small")))
        .build()
        .unwrap()
}

#[test]
fn they_say_what_the_builder_says() {
    let kthenas = |limit: RateLimit| {
        limit
            .redis("10.0.0.9:6379")
            .kthena_keys(true)
            .on_store_failure(StoreFailure::Closed)
    };
    let table = build(ROUTE);
    assert_eq!(
        limits(&table),
        [
            kthenas(RateLimit::input_tokens(1000, Per::Month)),
            kthenas(RateLimit::output_tokens(2000, Per::Month)),
            RateLimit::total_tokens(3_000_000_000_000, Per::Day),
            RateLimit::requests(60, Per::Minute)
                .key(LimitKey::Header("x-api-key".into()))
                .max_keys(500),
            RateLimit::requests(6, Per::Second)
                .redis("redis:6379")
                .on_store_failure(StoreFailure::Open),
            RateLimit::concurrent_requests(8)
                .key(LimitKey::Named("tenant".into()))
                .observe_only(true),
        ]
    );
    let read = Manifests::from_yaml(&table.to_yaml()).build().unwrap();
    assert_eq!(limits(&read), limits(&table));
}

#[test]
fn a_rate_limit_alone_is_one_a_second_in_memory_and_is_written_as_it_was() {
    let limit = RateLimit::output_tokens(7, Per::Second);
    let route = ROUTE.replace("annotations:", "labels:");
    let start = route.find("  rateLimit:").unwrap();
    let end = route.find("  rules:").unwrap();
    let route = format!(
        "{}  rateLimit: {{outputTokensPerUnit: 7}}\n{}",
        &route[..start],
        &route[end..]
    );
    let table = build(&route);
    assert_eq!(limits(&table), [limit]);
    let yaml = table.to_yaml();
    assert!(
        yaml.contains("rateLimit:\n    outputTokensPerUnit: 7\n    unit: second\n"),
        "{yaml}"
    );
    assert!(!yaml.contains("annotations"), "{yaml}");
}

#[test]
fn mistakes_have_their_place() {
    const LIMITS: &str = "tower-model-route/limits";
    for (from, to, place, code) in [
        (
            "unit: month",
            "unit: week",
            "spec.rateLimit.unit",
            "[invalid-value]",
        ),
        (
            "PerUnit: 1000",
            "PerUnit: 0",
            "spec.rateLimit.inputTokensPerUnit",
            "[invalid-value]",
        ),
        ("totalTokens", "totaltokens", LIMITS, "[invalid-value]"),
        (
            "unit: requests, limit: 6,",
            "limit: 6,",
            LIMITS,
            "[missing-field]",
        ),
        (
            "header: x-api-key",
            "header: x, key: y",
            LIMITS,
            "[invalid-value]",
        ),
        (
            "closed",
            "shut",
            "tower-model-route/rate-limit",
            "[invalid-value]",
        ),
        // What the builder finds.
        (
            "limit: 60,",
            "limit: 0,",
            LIMITS,
            "the limit must be at least 1",
        ),
        (
            "unit: requests, limit: 6,",
            "unit: inputTokens, limit: 6, per: day, kthenaKeys: true,",
            LIMITS,
            "or Kthena key",
        ),
        (
            "10.0.0.9:6379",
            "10.0.0.9",
            "spec.rateLimit.global.redis.address",
            "a host and a port",
        ),
        (
            "\"redis:6379\"",
            "redis",
            "[\"tower-model-route/limits\"][2].redis",
            "a host and a port",
        ),
        (
            "header: x-api-key",
            "header: x api-key",
            "[\"tower-model-route/limits\"][1].header",
            "\"x api-key\" is not a valid header name",
        ),
    ] {
        let changed = ROUTE.replace(from, to);
        assert_ne!(changed, ROUTE, "{from}");
        let found = errors(&format!("{}\n---{changed}", up("small")));
        let has = |error: &String| error.contains(place) && error.contains(code);
        assert!(found.iter().any(has), "{place} {code} in {found:?}");
    }
}

/// Nothing follows from it: neither for each limit, nor for what `kthenaKeys` needs.
#[test]
fn a_wrong_redis_is_one_error_at_its_address() {
    for address in ["redis", "\"redis://10.0.0.9:6379\"", "\"\"", "[a]"] {
        let route = ROUTE.replace("\"10.0.0.9:6379\"", address);
        assert_ne!(route, ROUTE, "{address}");
        let yaml = format!("{}\n---{route}", up("small"));
        let found = errors(&yaml);
        assert_eq!(found.len(), 1, "{found:?}");
        let place = " spec.rateLimit.global.redis.address: ";
        assert!(found[0].contains(place), "{found:?}");
        let report = Manifests::from_yaml(&yaml).check();
        assert_eq!(report.warnings().count(), 0, "{report}");
    }
}

#[test]
fn a_password_is_not_for_manifests() {
    let route = ROUTE.replace("6379\"}}\n", "6379\", password: secret}}\n");
    assert_ne!(route, ROUTE);
    let report = Manifests::from_yaml(&format!("{}\n---{route}", up("small"))).check();
    let said = report.warnings().any(|warning| {
        (warning.field(), warning.code())
            == ("spec.rateLimit.global.redis.password", "not-acted-on")
    });
    assert!(said);
    let table = build(&route);
    assert!(!format!("{:?}", table.config()).contains("secret"));
}

#[test]
fn a_password_goes_to_its_address_only() {
    let text = format!("{}\n---{ROUTE}", up("small"));
    let table = |address: &str| {
        let manifests = Manifests::from_yaml(&text).redis_password(address, "s3cret");
        let warnings = manifests.check();
        let warnings: Vec<_> = warnings.warnings().map(ToString::to_string).collect();
        (manifests.build().unwrap(), warnings)
    };
    let without = Manifests::from_yaml(&text).build().unwrap();
    let address = without.config().get_model_routes()[0].get_rate_limits()[0].get_redis();
    let (known, warnings) = table(address.unwrap());
    assert!(
        !warnings
            .iter()
            .any(|warning| warning.contains("unused-password"))
    );
    // The limit in the other Redis is as it was.
    let changed = limits(&known).iter().zip(limits(&without));
    let changed: Vec<_> = changed.map(|(one, other)| one != other).collect();
    assert_eq!(changed, [true, true, false, false, false, false]);
    assert!(!format!("{:?}", known.config()).contains("s3cret"));
    assert!(
        !serde_json::to_string(known.config())
            .unwrap()
            .contains("s3cret")
    );
    assert!(!known.to_yaml().contains("s3cret"));

    let (other, warnings) = table("other:6379");
    let unused = warnings
        .iter()
        .find(|warning| warning.contains("unused-password"));
    assert!(unused.unwrap().contains("other:6379"), "{warnings:?}");
    assert_eq!(other.config(), without.config());
}

#[test]
fn one_without_an_amount_is_named() {
    let spec =
        "modelName: m\nrateLimit: {unit: minute}\nrules: [{targetModels: [{modelServerName: s}]}]";
    let found = warnings(&(up("s") + &route("r", &[spec])));
    let expected = "spec.rateLimit: it has neither inputTokensPerUnit nor outputTokensPerUnit, and so \
                    limits nothing [limits-nothing]";
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with(expected), "{found:?}");
}

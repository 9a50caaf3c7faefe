//! Random configurations: by builder, by manifest and there and back, they decide alike.

use std::{collections::HashSet, time::Duration};

use http::StatusCode;
use proptest::{prelude::*, sample::select};
use tower_model_route::{
    ApiPaths, Balance, ConsistentHash, Endpoint, EngineKind, HashKey, LimitKey, LimitUnit,
    ModelMatch, ModelRoute, ModelServer, OnInterruption, OutlierDetection, Per, PrefixCache,
    PrefixHash, RateLimit, RouteTable, Rule, Spill, StoreFailure, StringMatch, TargetModel,
    TrafficPolicy, WithoutModel, manifest::Manifests,
};

use super::written::{ask, resource};

// Few names, so that they meet often, in every way.
const MODELS: [&str; 4] = ["a", "b", "c", "1.5"];
const HEADERS: [&str; 3] = ["x", "X", "y"];
const VALUES: [&str; 4] = ["", "a", "ab", "true"];
const PATHS: [&str; 4] = ["/", "/a", "/ab", "/b/a"];
const SERVERS: usize = 4;

/// A configuration as plain data.
#[derive(Clone, Debug)]
struct Config {
    servers: Vec<Vec<String>>,
    routes: Vec<RouteConfig>,
}

#[derive(Clone, Debug)]
struct RouteConfig {
    model: Option<&'static str>,
    adapters: Vec<&'static str>,
    rules: Vec<RuleConfig>,
}

#[derive(Clone, Debug)]
struct RuleConfig {
    headers: Vec<(&'static str, How)>,
    path: Option<How>,
    model: Option<&'static str>,
    targets: Vec<(usize, Option<u32>)>,
}

#[derive(Clone, Debug)]
struct How(&'static str, &'static str);

fn how(texts: &'static [&'static str]) -> impl Strategy<Value = How> {
    (select(&["exact", "prefix", "regex"][..]), select(texts))
        .prop_map(|(how, text)| How(how, text))
}

fn rule() -> impl Strategy<Value = RuleConfig> {
    let weighted =
        prop::collection::btree_map(0..SERVERS, (1..=100_u32).prop_map(Some), 1..=SERVERS);
    let even = prop::collection::btree_map(0..SERVERS, Just(None), 1..=SERVERS);
    (
        prop::collection::btree_map(select(&HEADERS[..]), how(&VALUES), 0..2),
        prop::option::weighted(0.4, how(&PATHS)),
        prop::option::weighted(0.2, select(&MODELS[..])),
        prop_oneof![weighted, even],
    )
        .prop_map(|(headers, path, model, targets)| RuleConfig {
            headers: headers.into_iter().collect(),
            path,
            model,
            targets: targets.into_iter().collect(),
        })
}

fn route() -> impl Strategy<Value = RouteConfig> {
    (
        prop::option::of(select(&MODELS[..])),
        prop::collection::btree_set(select(&MODELS[..]), 0..3),
        prop::collection::vec(rule(), 1..4),
    )
        .prop_filter("some name", |(model, adapters, _)| {
            model.is_some() || !adapters.is_empty()
        })
        .prop_map(|(model, adapters, rules)| RouteConfig {
            model,
            adapters: adapters.into_iter().collect(),
            rules,
        })
}

fn config() -> impl Strategy<Value = Config> {
    let server = prop::collection::btree_set(1..9_u16, 0..3).prop_map(|ports| {
        ports
            .iter()
            .map(|port| format!("http://10.0.0.{port}:{port}"))
            .collect()
    });
    (
        prop::collection::vec(server, SERVERS),
        prop::collection::vec(route(), 0..6),
    )
        .prop_map(|(servers, routes)| Config { servers, routes })
}

impl Config {
    fn built(&self) -> RouteTable {
        let mut table = RouteTable::builder().paths(ApiPaths::any());
        for (i, endpoints) in self.servers.iter().enumerate() {
            table =
                table.model_server(ModelServer::new(format!("default/s{i}")).endpoints(endpoints));
        }
        for (i, config) in self.routes.iter().enumerate() {
            let mut route =
                ModelRoute::new(format!("default/r{i}")).lora_adapters(config.adapters.clone());
            if let Some(model) = config.model {
                route = route.model_name(model);
            }
            for (i, config) in config.rules.iter().enumerate() {
                let mut conditions = ModelMatch::new();
                for (name, how) in &config.headers {
                    conditions = conditions.header(*name, how.string_match());
                }
                if let Some(how) = &config.path {
                    conditions = conditions.uri(how.string_match());
                }
                if let Some(model) = config.model {
                    conditions = conditions.body_model(model);
                }
                let mut rule = Rule::new(format!("rule-{}", i + 1)).when(conditions);
                for (server, weight) in &config.targets {
                    let target = TargetModel::new(format!("default/s{server}"));
                    rule = rule.target(match weight {
                        Some(weight) => target.weight(*weight),
                        None => target,
                    });
                }
                route = route.rule(rule);
            }
            table = table.model_route(route);
        }
        table.build().unwrap()
    }

    /// As a human would write it.
    fn yaml(&self) -> String {
        let mut out = String::new();
        for (i, endpoints) in self.servers.iter().enumerate() {
            let endpoints: String = endpoints
                .iter()
                .map(|uri| {
                    let (address, port) = uri["http://".len()..].split_once(':').unwrap();
                    format!("- {{name: e{port}, address: {address}, port: {port}}}\n")
                })
                .collect();
            let endpoints = format!("endpoints:\n{endpoints}");
            out += &resource(
                "ModelServer",
                &format!("s{i}"),
                &["inferenceEngine: SGLang", &endpoints],
            );
        }
        for (i, route) in self.routes.iter().enumerate() {
            let mut spec = String::new();
            if let Some(model) = route.model {
                spec += &format!("modelName: '{model}'\n");
            }
            for (i, name) in route.adapters.iter().enumerate() {
                spec += &format!(
                    "{}- '{name}'\n",
                    if i == 0 { "loraAdapters:\n" } else { "" }
                );
            }
            spec += "rules:\n";
            for rule in &route.rules {
                spec += "- targetModels:\n";
                for (server, weight) in &rule.targets {
                    spec += &format!("  - modelServerName: s{server}\n");
                    if let Some(weight) = weight {
                        spec += &format!("    weight: {weight}\n");
                    }
                }
                if rule.headers.is_empty() && rule.path.is_none() && rule.model.is_none() {
                    continue;
                }
                spec += "  modelMatch:\n";
                for (i, (name, How(how, text))) in rule.headers.iter().enumerate() {
                    let key = if i == 0 { "    headers:\n" } else { "" };
                    spec += &format!("{key}      '{name}':\n        {how}: '{text}'\n");
                }
                if let Some(How(how, text)) = &rule.path {
                    spec += &format!("    uri: {{\"{how}\": \"{text}\"}}\n");
                }
                if let Some(model) = rule.model {
                    spec += &format!("    body:\n      model: \"{model}\"\n");
                }
            }
            out += &resource("ModelRoute", &format!("r{i}"), &[&spec]);
        }
        out
    }
}

impl How {
    fn string_match(&self) -> StringMatch {
        match *self {
            Self("exact", text) => StringMatch::exact(text),
            Self("prefix", text) => StringMatch::prefix(text),
            Self(_, text) => StringMatch::regex(text),
        }
    }
}

type Ask = (
    &'static str,
    &'static str,
    Vec<(&'static str, &'static str)>,
);

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let headers = prop::collection::vec((select(&HEADERS[..]), select(&VALUES[..])), 0..3);
    let ask = (select(&MODELS[..]), select(&PATHS[..]), headers);
    prop::collection::vec(ask, 1..20)
}

/// Both answer all of the questions alike. Endpoints are not compared: how they are chosen may be
/// by chance.
fn alike(left: &RouteTable, right: &RouteTable, asks: &[Ask]) -> Result<(), TestCaseError> {
    let decide = |table: &RouteTable, (model, path, headers): &Ask| {
        let line = ask(table, model, path, headers);
        line.rsplit_once(' ')
            .map_or(line.clone(), |(decision, _)| decision.to_owned())
    };
    for ask in asks {
        prop_assert_eq!(decide(left, ask), decide(right, ask));
    }
    let servers = |table: &RouteTable| -> Vec<(String, Vec<String>)> {
        let servers = table.servers();
        let servers = servers.iter().map(|server| {
            let uris = server
                .endpoints()
                .iter()
                .map(|endpoint| endpoint.uri().to_owned());
            (server.name().to_owned(), uris.collect())
        });
        servers.collect()
    };
    prop_assert_eq!(servers(left), servers(right));
    Ok(())
}

// ===== tables of the builder, with everything that it has =====

/// Names and texts of all kinds.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z]{1,3}",
        2 => "(a|b)/[a-c]",
        1 => "\\PC{1,6}",
        1 => any::<String>().prop_filter("not empty", |text| !text.is_empty()),
        1 => select(&["yes", "<<", "~", "null", "1", "0x1", "- a", "a: b", "#", "a #b", "|", "*a", "&a", "!!int", "{", "%", "@", "\u{85}", "\u{feff}", "\u{2028}", " a ", "\t", "\r\n", "'", "\"", "\\"][..]).prop_map(str::to_owned),
    ]
}

fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (1..100_u64).prop_map(Duration::from_secs),
        (1..100_000_u64).prop_map(Duration::from_millis),
        (1..u64::from(u32::MAX)).prop_map(Duration::from_nanos),
    ]
}

/// What a manifest has that says nothing of retries.
fn kthenas() -> TrafficPolicy {
    TrafficPolicy::new()
        .max_retries(4)
        .retry_interval(Duration::ZERO)
}

fn policy() -> impl Strategy<Value = TrafficPolicy> {
    let detection = (any::<u8>(), time(), time(), 0..=100_u32, time()).prop_map(
        |(failures, base, most, percent, after)| {
            OutlierDetection::new()
                .consecutive_failures(failures.into())
                .base_ejection_time(base)
                .max_ejection_time(most)
                .max_ejection_percent(percent)
                .max_retry_after(after)
        },
    );
    let streams = (
        any::<bool>(),
        prop::option::of(time()),
        prop::option::of(time()),
        prop::option::of(time()),
        select(
            &[
                OnInterruption::Event,
                OnInterruption::Abort,
                OnInterruption::Pass,
            ][..],
        ),
    );
    (
        (
            prop::option::of(time()),
            prop::option::of(prop_oneof![time(), Just(Duration::ZERO)]),
            prop::option::of(time()),
        ),
        streams,
        (0..4_u32, time(), time()),
        prop::collection::vec(select(&[429, 500, 502, 503, 599][..]), 0..3),
        (prop::option::of(any::<usize>()), any::<u16>(), time()),
        (prop_oneof![Just(Duration::ZERO), time()], 0..3_usize),
        prop_oneof![Just(OutlierDetection::new()), detection],
    )
        .prop_map(
            |(
                (timeout, idle, total),
                (gate, slow, first, keepalive, interruption),
                (retries, interval, most),
                statuses,
                (in_flight, queue, wait),
                (slow_start, prefer_zone),
                detection,
            )| {
                let mut policy = TrafficPolicy::new()
                    .max_retries(retries)
                    .retry_interval(interval)
                    .max_retry_interval(most)
                    .retry_statuses(
                        statuses
                            .into_iter()
                            .map(|status| StatusCode::from_u16(status).unwrap()),
                    )
                    .max_queue(queue.into())
                    .queue_timeout(wait)
                    .first_event_gate(gate)
                    .first_event_slow(slow.unwrap_or_default())
                    .first_event_timeout(first.unwrap_or_default())
                    .sse_keepalive(keepalive.unwrap_or_default())
                    .on_interruption(interruption)
                    .slow_start(slow_start)
                    .prefer_zone(prefer_zone)
                    .outlier_detection(detection);
                if let Some(time) = timeout {
                    policy = policy.timeout(time);
                }
                if let Some(time) = idle {
                    policy = policy.stream_idle_timeout(time);
                }
                if let Some(time) = total {
                    policy = policy.total_timeout(time);
                }
                match in_flight {
                    Some(requests) => policy.max_in_flight(requests),
                    None => policy,
                }
            },
        )
}

fn balance() -> impl Strategy<Value = Balance> {
    let hash = (prop::collection::vec(hash_key(), 1..4), spill()).prop_map(|(keys, spill)| {
        let mut keys = keys.into_iter();
        let first = ConsistentHash::by(keys.next().unwrap());
        let hash = keys.fold(first, ConsistentHash::or_by);
        Balance::ConsistentHash(hash.spill(spill))
    });
    let prefix = (1..5000_usize, spill())
        .prop_map(|(bytes, spill)| Balance::PrefixHash(PrefixHash::of(bytes).spill(spill)));
    let cache = (1..10_000_u32).prop_map(|n| Balance::PrefixCache(PrefixCache::new().entries(n)));
    prop_oneof![
        Just(Balance::LeastRequest),
        Just(Balance::LeastTokens),
        Just(Balance::RoundRobin),
        Just(Balance::Random),
        Just(Balance::PeakEwma),
        hash,
        prefix,
        cache,
    ]
}

fn hash_key() -> impl Strategy<Value = HashKey> {
    let name = || "[a-z-]{1,8}x";
    prop_oneof![
        name().prop_map(HashKey::Header),
        name().prop_map(HashKey::Query),
        name().prop_map(HashKey::Cookie),
        name().prop_map(HashKey::Extension),
        Just(HashKey::ClientAddr),
        Just(HashKey::User),
        Just(HashKey::SessionId),
        Just(HashKey::PromptCacheKey),
        Just(HashKey::Conversation),
    ]
}

fn spill() -> impl Strategy<Value = Spill> {
    prop_oneof![
        Just(Spill::default()),
        Just(Spill::Never),
        any::<u32>().prop_map(Spill::AboveRequests),
        (0..1_u64 << 40).prop_map(Spill::AboveTokens),
    ]
}

fn engine() -> impl Strategy<Value = EngineKind> {
    select(
        &[
            EngineKind::VLlm,
            EngineKind::SgLang,
            EngineKind::TensorRtLlm,
            EngineKind::LlamaCpp,
            EngineKind::Ollama,
        ][..],
    )
}

fn model_server() -> impl Strategy<Value = ModelServer> {
    const ENDPOINTS: [&str; 8] = [
        "http://h",
        "http://h:8000",
        "http://10.0.0.1:81",
        "http://[::1]:8000",
        "http://[0:0::2]:1",
        "http://h/v1",
        "https://h",
        "HTTPS://H:8443/x/",
    ];
    let weight = prop_oneof![4 => Just(1), 1 => 1..100_u32];
    let resolve = prop::bool::weighted(0.2);
    let zone = prop::option::weighted(0.2, select(&["eu-1a", "7"][..]));
    let name = prop::option::weighted(0.4, select(&["a", "endpoint-1", "A b", "7", "null"][..]));
    (
        text(),
        prop::option::of(text()),
        prop::collection::btree_map(select(&ENDPOINTS[..]), (weight, resolve, zone, name), 0..3),
        prop_oneof![Just(Balance::default()), balance()],
        prop_oneof![Just(TrafficPolicy::new()), Just(kthenas()), policy()],
        (any::<bool>(), prop::option::of(engine())),
    )
        .prop_map(|(name, model, endpoints, balance, policy, engine)| {
            let mut server = ModelServer::new(name)
                .load_reports(engine.0)
                .balance(balance)
                .traffic_policy(policy);
            if let Some(model) = model {
                server = server.model(model);
            }
            if let Some(kind) = engine.1 {
                server = server.engine(kind);
            }
            let endpoints = endpoints
                .into_iter()
                .map(|(uri, (weight, resolve, zone, name))| {
                    let endpoint = Endpoint::new(uri).weight(weight).resolve(resolve);
                    let endpoint = zone.into_iter().fold(endpoint, Endpoint::zone);
                    name.into_iter().fold(endpoint, Endpoint::name)
                });
            server.endpoints(endpoints)
        })
}

fn model_match() -> impl Strategy<Value = ModelMatch> {
    let value = prop_oneof![
        text().prop_map(StringMatch::exact),
        Just(StringMatch::exact("")),
        text().prop_map(StringMatch::prefix),
        select(
            &[
                "^a$",
                "a|b",
                "[0-9]+",
                "\\d",
                "\"",
                "#",
                "(?-u:\\b)a",
                "[a&&b]",
                "(?x) a"
            ][..]
        )
        .prop_map(StringMatch::regex),
        how(&PATHS).prop_map(|how| how.string_match()),
        how(&VALUES).prop_map(|how| how.string_match()),
    ];
    prop_oneof![
        (select(&HEADERS[..]), value.clone())
            .prop_map(|(name, value)| ModelMatch::new().header(name, value)),
        value.prop_map(|value| ModelMatch::new().uri(value)),
        prop_oneof![select(&MODELS[..]).prop_map(str::to_owned), text()]
            .prop_map(|model| ModelMatch::new().body_model(model)),
        (0..5_u64, prop::option::of(5..9_u64)).prop_map(|(min, max)| match max {
            Some(max) => ModelMatch::new().prompt_tokens(min..=max),
            None => ModelMatch::new().prompt_tokens(min..),
        }),
    ]
}

/// Name, conditions, targets with weights, whether those count, fallbacks; servers by position.
type AnyRule = (String, Vec<ModelMatch>, Vec<(usize, u32)>, bool, Vec<usize>);

fn any_rule() -> impl Strategy<Value = AnyRule> {
    (
        text(),
        prop::collection::vec(model_match(), 0..4),
        prop::collection::btree_map(any::<usize>(), 1..=100_u32, 1..4)
            .prop_map(|targets| targets.into_iter().collect()),
        any::<bool>(),
        prop::collection::vec(any::<usize>(), 0..2),
    )
}

fn limit() -> impl Strategy<Value = RateLimit> {
    let units = [
        LimitUnit::InputTokens,
        LimitUnit::OutputTokens,
        LimitUnit::TotalTokens,
        LimitUnit::Requests,
        LimitUnit::ConcurrentRequests,
    ];
    let pers = [Per::Second, Per::Minute, Per::Hour, Per::Day, Per::Month];
    let failures = [
        StoreFailure::Local,
        StoreFailure::Open,
        StoreFailure::Closed,
    ];
    let amount = prop_oneof![1..1000_u64, 1..=u64::from(u32::MAX)];
    let keys = prop_oneof![
        3 => Just(LimitKey::Route),
        1 => Just(LimitKey::Header("X-Key".into())),
        1 => text().prop_map(|text| LimitKey::Named(format!("k{text}"))),
    ];
    let of = (select(units.to_vec()), amount, select(pers.to_vec()), keys);
    let how = (
        prop::option::of(1..100_usize),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        select(failures.to_vec()),
    );
    (of, how).prop_map(
        |((unit, amount, per, key), (max, observes, stored, kthenas, failure))| {
            let is_kthenas = matches!(unit, LimitUnit::InputTokens | LimitUnit::OutputTokens)
                && key == LimitKey::Route;
            let mut limit = RateLimit::of(unit, amount, per)
                .key(key)
                .observe_only(observes)
                .kthena_keys(kthenas && is_kthenas)
                .on_store_failure(failure);
            if let Some(max) = max {
                limit = limit.max_keys(max);
            }
            match stored && unit != LimitUnit::ConcurrentRequests {
                true => limit.redis("redis.test:6379"),
                false => limit,
            }
        },
    )
}

/// Of a table with routes and models of these names.
fn without_model(
    what: u8,
    position: usize,
    routes: &[String],
    models: &[String],
) -> Option<WithoutModel> {
    let one_of = |names: &[String]| names.get(position.checked_rem(names.len())?).cloned();
    match what {
        0 => Some(WithoutModel::Reject),
        1 => Some(WithoutModel::Forward),
        2 => one_of(models).map(WithoutModel::Model),
        3..6 => one_of(routes).map(WithoutModel::Route),
        _ => None,
    }
}

/// A table that the builder takes, with all that it can say.
fn table() -> impl Strategy<Value = RouteTable> {
    let model = || prop_oneof![3 => select(&MODELS[..]).prop_map(str::to_owned), 1 => text()];
    let route = (
        text(),
        prop::option::of(model()),
        prop::collection::btree_set(model(), 0..3),
        prop::collection::vec(any_rule(), 1..4),
        prop::collection::vec(limit(), 0..4),
    );
    (
        prop::collection::vec(model_server(), 1..5),
        prop::collection::vec(route, 0..5),
        (0..9_u8, any::<usize>()),
    )
        .prop_filter_map("valid", |(servers, routes, (what, position))| {
            let mut table = RouteTable::builder().paths(ApiPaths::any());
            for server in servers {
                table = table.model_server(server);
            }
            let names = table.clone().build().ok()?.servers();
            let name = |position: &usize| names[position % names.len()].name().to_owned();
            let route_names: Vec<_> = routes.iter().map(|route| route.0.clone()).collect();
            let models: Vec<_> = routes.iter().filter_map(|route| route.1.clone()).collect();
            if let Some(what) = without_model(what, position, &route_names, &models) {
                table = table.without_model(what);
            }
            for (route_name, model, adapters, rules, limits) in routes {
                let mut route = ModelRoute::new(route_name).lora_adapters(adapters);
                if let Some(model) = model {
                    route = route.model_name(model);
                }
                for (rule_name, conditions, targets, weighted, fallbacks) in rules {
                    let mut rule = Rule::new(rule_name);
                    for condition in conditions {
                        rule = rule.when(condition);
                    }
                    let mut seen = HashSet::new();
                    for (server, weight) in &targets {
                        if seen.insert(name(server)) {
                            let target = TargetModel::new(name(server));
                            rule = rule.target(if weighted {
                                target.weight(*weight)
                            } else {
                                target
                            });
                        }
                    }
                    for server in &fallbacks {
                        if seen.insert(name(server)) {
                            rule = rule.fallback(name(server));
                        }
                    }
                    route = route.rule(rule);
                }
                let (mut seen, mut kthenas) = (HashSet::new(), HashSet::new());
                for limit in limits {
                    let is = (limit.get_unit(), limit.get_per(), limit.get_key().clone());
                    if seen.insert(is) {
                        let uses = limit.get_kthena_keys()
                            && route.get_model_name().is_some()
                            && kthenas.insert(limit.get_unit());
                        route = route.rate_limit(limit.kthena_keys(uses));
                    }
                }
                table = table.model_route(route);
            }
            table.build().ok()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn a_manifest_decides_as_the_builder_does(config in config(), asks in asks()) {
        let built = config.built();
        let yaml = config.yaml();
        let read = Manifests::from_yaml(&yaml).paths(ApiPaths::any()).build();
        let read = read.map_err(|error| TestCaseError::fail(format!("{error}\n{yaml}")))?;
        alike(&built, &read, &asks)?;
    }

    #[test]
    fn a_table_that_is_written_and_read_is_the_same(table in table(), asks in asks()) {
        let yaml = table.to_yaml();
        let read = Manifests::from_yaml(&yaml).paths(ApiPaths::any()).build();
        let read = read.map_err(|error| TestCaseError::fail(format!("{error}\n{yaml}")))?;
        alike(&table, &read, &asks)?;
        let written = table.config().get_without_model();
        let written = written.filter(|what| matches!(what, WithoutModel::Route(_)));
        prop_assert_eq!(read.config().get_without_model(), written, "{}", yaml);
        // The text has all of the configuration, so what is equal in it is equal.
        prop_assert_eq!(read.to_yaml(), yaml);
    }
}

//! Whatever the table and the request: explain says what decide does.

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::select};
use test_kit::request::head;
use tower_model_route::{
    ApiPaths, ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, RuleVerdict, StringMatch,
    TargetModel, Verdict,
};

// Few names, so that they meet often, in every way.
const MODELS: [&str; 3] = ["a", "b", "c"];
const VALUES: [&str; 3] = ["", "a", "ab"];
const PATHS: [&str; 3] = ["/", "/a", "/%61b"];
const SERVERS: usize = 4;

fn string_match() -> impl Strategy<Value = StringMatch> {
    let text = select(vec!["", "a", "ab", "/a", "/"]);
    (text, 0..3).prop_map(|(text, how)| match how {
        0 => StringMatch::exact(text),
        1 => StringMatch::prefix(text),
        _ => StringMatch::regex(text),
    })
}

fn condition() -> impl Strategy<Value = ModelMatch> {
    prop_oneof![
        3 => (select(vec!["x", "y"]), string_match())
            .prop_map(|(name, value)| ModelMatch::new().header(name, value)),
        2 => string_match().prop_map(|path| ModelMatch::new().uri(path)),
        1 => select(&MODELS[..]).prop_map(|model| ModelMatch::new().body_model(model)),
    ]
}

/// Some of the servers as targets with weights, some of the others as fallbacks.
fn rule() -> impl Strategy<Value = Rule> {
    let order = Just((0..SERVERS).collect::<Vec<_>>()).prop_shuffle();
    let weights = prop::collection::vec(0..4_u32, 1..=SERVERS)
        .prop_filter("not all zero", |weights| weights.iter().any(|&w| w > 0));
    let conditions = prop::collection::vec(condition(), 0..3);
    (conditions, order, weights, 0..3_usize, 0..100_u8).prop_map(
        |(conditions, order, weights, fallbacks, name)| {
            let rule = conditions
                .into_iter()
                .fold(Rule::new(name.to_string()), Rule::when);
            let targets = order.iter().zip(&weights);
            let rule = targets.fold(rule, |rule, (server, weight)| {
                rule.target(TargetModel::new(server.to_string()).weight(*weight))
            });
            let left = order.iter().skip(weights.len()).take(fallbacks);
            left.fold(rule, |rule, server| rule.fallback(server.to_string()))
        },
    )
}

fn table() -> impl Strategy<Value = RouteTable> {
    let route = (
        prop::option::of(select(&MODELS[..])),
        select(&MODELS[..]),
        prop::collection::vec(rule(), 1..4),
    );
    let up = prop::collection::vec(0..3_usize, SERVERS);
    (up, prop::collection::vec(route, 0..5)).prop_map(|(up, routes)| {
        let mut table = RouteTable::builder().paths(ApiPaths::any());
        for (server, endpoints) in up.into_iter().enumerate() {
            let endpoints = (0..endpoints).map(|i| format!("http://s{server}-{i}"));
            table = table.model_server(ModelServer::new(server.to_string()).endpoints(endpoints));
        }
        for (position, (model, adapter, rules)) in routes.into_iter().enumerate() {
            let mut route = ModelRoute::new(position.to_string()).lora_adapter(adapter);
            if let Some(model) = model {
                route = route.model_name(model);
            }
            table = table.model_route(rules.into_iter().fold(route, ModelRoute::rule));
        }
        table.build().unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn explain_says_what_decide_does(
        table in table(),
        model in select(&MODELS[..]),
        path in select(&PATHS[..]),
        headers in prop::collection::vec((select(vec!["x", "y"]), select(&VALUES[..])), 0..3),
    ) {
        let head = head(path, &headers);
        let explained = table.explain(&head, model);
        let reached = explained
            .routes()
            .iter()
            .flat_map(|route| route.rules().iter().map(move |rule| (route, rule)))
            .find(|(_, rule)| rule.verdict() == RuleVerdict::Taken);
        prop_assert_eq!(reached.map(|(route, _)| route.name()), explained.route());
        prop_assert_eq!(reached.map(|(_, rule)| rule.name()), explained.rule());

        // Four targets of a weight up to 3 have a cycle of 12 at most.
        let decided: Vec<_> = (0..12).map(|_| table.decide(&head, model)).collect();
        let mut servers = BTreeSet::new();
        let mut endpoints = BTreeSet::new();
        for decision in &decided {
            match decision {
                Ok(decision) => {
                    prop_assert_eq!(explained.verdict(), Verdict::Sent);
                    prop_assert_eq!(explained.route(), Some(decision.route()));
                    prop_assert_eq!(explained.rule(), Some(decision.rule()));
                    prop_assert_eq!(explained.is_lora(), decision.is_lora());
                    let target = &explained.targets()[decision.target()];
                    prop_assert_eq!(target.model_server(), decision.model_server());
                    prop_assert_eq!(target.is_fallback(), decision.is_fallback());
                    prop_assert_eq!(target.model(), decision.engine_model());
                    servers.insert(decision.model_server());
                    endpoints.insert(decision.endpoint());
                }
                Err(error) => {
                    prop_assert_eq!(explained.verdict(), Verdict::Refused);
                    let explained = explained.error().unwrap();
                    prop_assert_eq!(explained.kind(), error.kind());
                    prop_assert_eq!(explained.message(), error.message());
                }
            }
        }
        let shares: f64 = explained.targets().iter().map(|target| target.current_share()).sum();
        let taking: BTreeSet<_> = explained
            .targets()
            .iter()
            .filter(|target| target.current_share() > 0.0)
            .map(|target| target.model_server())
            .collect();
        prop_assert_eq!(&taking, &servers);
        prop_assert!(shares == 0.0 || (shares - 100.0).abs() < 1e-6);
        prop_assert_eq!(shares == 0.0, explained.error().is_some());
        let explained_endpoints: BTreeSet<_> = explained
            .targets()
            .iter()
            .flat_map(|target| target.endpoints())
            .filter(|endpoint| endpoint.takes_requests())
            .map(|endpoint| endpoint.state().uri())
            .collect();
        prop_assert!(endpoints.is_subset(&explained_endpoints));
    }
}

//! Rules that no request can reach, and requests that can reach no rule.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use regex::bytes::Regex;

use super::warning::{Lint, LintKind};
use crate::config::{
    Condition, Place, RoutePart, RouteTableBuilder, Rule, StringMatch, WithoutModel,
};

/// A rule's position: of its route, and in it.
type At = (usize, usize);

/// Why a rule is not reached by one name.
#[derive(Clone, Copy)]
enum Unreached {
    /// An earlier rule takes everything.
    Behind(At),
    /// It asks for another model than the one by which it is found.
    OtherModel,
}

pub(super) fn lint(config: &RouteTableBuilder) -> Vec<Lint> {
    let lints = verdicts(config)
        .into_iter()
        .filter_map(|((route, rule), verdict)| {
            let place = Place::ModelRoute(route, RoutePart::Rule(rule));
            let message = match verdict? {
                Unreached::Behind(by) => behind(config, route, by),
                Unreached::OtherModel => {
                    "it is never reached: its body_model is none of the names of its ModelRoute"
                        .to_owned()
                }
            };
            Some(Lint::new(config, LintKind::UnreachableRule, place, message))
        });
    lints.chain(lint_without_model(config)).collect()
}

/// Whether requests without a model go where each rule has a condition on it.
fn lint_without_model(config: &RouteTableBuilder) -> Option<Lint> {
    let (name, routes) = of_unnamed(config)?;
    let rules = routes
        .iter()
        .flat_map(|&route| config.get_model_routes()[route].get_rules());
    let mut rules = rules.peekable();
    rules.peek()?;
    if rules.any(|rule| conditions(rule, None).is_some()) {
        return None;
    }
    let message = format!(
        "every rule of the ModelRoute {name:?} has a body_model, which a request without a model \
         does not meet: each is answered with 404"
    );
    let kind = LintKind::UnreachableWithoutModel;
    Some(Lint::new(config, kind, Place::WithoutModel, message))
}

/// The ModelRoutes to which requests without a model go, by their name and their positions.
fn of_unnamed(config: &RouteTableBuilder) -> Option<(&str, Vec<usize>)> {
    let Some(WithoutModel::Route(name)) = config.get_without_model() else {
        return None;
    };
    let routes = config.get_model_routes().iter().enumerate();
    let named = routes.filter(|(_, route)| route.get_name() == name);
    Some((name, named.map(|(position, _)| position).collect()))
}

/// The routes of which no rule is reached.
pub(super) fn unreached_routes(config: &RouteTableBuilder) -> BTreeSet<usize> {
    let verdicts = verdicts(config);
    let routes = verdicts.keys().map(|(route, _)| *route);
    let reached: BTreeSet<usize> = verdicts
        .iter()
        .filter(|(_, verdict)| verdict.is_none())
        .map(|((route, _), _)| *route)
        .collect();
    routes.filter(|route| !reached.contains(route)).collect()
}

/// Of each rule: why it is not reached, `None` if it is by some name.
fn verdicts(config: &RouteTableBuilder) -> BTreeMap<At, Option<Unreached>> {
    let mut regexes = Regexes::default();
    let mut verdicts = BTreeMap::new();
    for (name, routes) in by_name(config) {
        let mut before: Vec<(At, Vec<&Condition>)> = Vec::new();
        for route in routes {
            let rules = config.get_model_routes()[route].get_rules();
            for (position, rule) in rules.iter().enumerate() {
                let at = (route, position);
                let Some(conditions) = conditions(rule, name) else {
                    verdicts.entry(at).or_insert(Some(Unreached::OtherModel));
                    continue;
                };
                let wider = before.iter().find(|(_, earlier)| {
                    earlier.iter().all(|wide| {
                        conditions
                            .iter()
                            .any(|narrow| implies(narrow, wide, &mut regexes))
                    })
                });
                match wider {
                    Some((by, _)) => {
                        verdicts.entry(at).or_insert(Some(Unreached::Behind(*by)));
                    }
                    None => {
                        verdicts.insert(at, None);
                        before.push((at, conditions));
                    }
                }
            }
        }
    }
    verdicts
}

fn behind(config: &RouteTableBuilder, route: usize, (other, rule): At) -> String {
    let other_route = &config.get_model_routes()[other];
    let rule = other_route.get_rules()[rule].get_name();
    let of = match other == route {
        true => String::new(),
        false => format!(" of the ModelRoute {:?}", other_route.get_name()),
    };
    format!("it is never reached: all that it matches goes to the rule {rule:?}{of} before it")
}

/// The routes of each model name, of each adapter name, and of requests without a model, as they
/// are tried.
fn by_name(config: &RouteTableBuilder) -> Vec<(Option<&str>, Vec<usize>)> {
    let mut by_model: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut by_adapter: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (position, route) in config.get_model_routes().iter().enumerate() {
        if let Some(name) = route.get_model_name() {
            by_model.entry(name).or_default().push(position);
        }
        for name in route.get_lora_adapters() {
            by_adapter.entry(name).or_default().push(position);
        }
    }
    let named = by_model.into_iter().chain(by_adapter);
    let named = named.map(|(name, routes)| (Some(name), routes));
    let unnamed = of_unnamed(config).map(|(_, routes)| (None, routes));
    named.chain(unnamed).collect()
}

/// The other conditions of a rule on requests for `name`; `None` if it matches none of them.
fn conditions<'r>(rule: &'r Rule, name: Option<&str>) -> Option<Vec<&'r Condition>> {
    let mut conditions = Vec::new();
    for condition in rule.get_conditions() {
        match condition {
            Condition::BodyModel(model) if Some(&**model) == name => {}
            Condition::BodyModel(_) => return None,
            condition => conditions.push(condition),
        }
    }
    Some(conditions)
}

/// Whether whatever meets `narrow` also meets `wide`.
fn implies(narrow: &Condition, wide: &Condition, regexes: &mut Regexes) -> bool {
    match (narrow, wide) {
        (Condition::Header(a, narrow), Condition::Header(b, wide)) => {
            a.eq_ignore_ascii_case(b) && regexes.implies(narrow, wide)
        }
        (Condition::Uri(narrow), Condition::Uri(wide)) => regexes.implies(narrow, wide),
        (
            Condition::PromptTokens { min, max },
            Condition::PromptTokens {
                min: least,
                max: most,
            },
        ) => least <= min && most.is_none_or(|most| max.is_some_and(|max| max <= most)),
        _ => false,
    }
}

/// Compiled once each.
#[derive(Default)]
struct Regexes(HashMap<String, Option<Regex>>);

impl Regexes {
    fn implies(&mut self, narrow: &StringMatch, wide: &StringMatch) -> bool {
        match (narrow, wide) {
            (narrow, wide) if narrow == wide => true,
            (StringMatch::Exact(text) | StringMatch::Prefix(text), StringMatch::Prefix(prefix)) => {
                text.starts_with(prefix)
            }
            (StringMatch::Exact(text), StringMatch::Regex(pattern)) => self
                .0
                .entry(pattern.clone())
                .or_insert_with(|| Regex::new(pattern).ok())
                .as_ref()
                .is_some_and(|regex| regex.is_match(text.as_bytes())),
            _ => false,
        }
    }
}

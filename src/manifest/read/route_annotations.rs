//! The annotations of a ModelRoute: what this crate has and Kthena's schema has not.

use super::{
    embedded::{self, Embedded},
    fields::Reader,
    metadata::{Metadata, PREFIX},
    model_route::{add_condition, list},
    nearest::did_you_mean,
    string_match,
};
use crate::{
    config::{Condition, ModelRoute, Rule},
    manifest::{
        origin::{RouteOrigin, RuleOrigin},
        place::Spot,
    },
};

pub(crate) const NAME: &str = "name";
pub(crate) const RULES: &str = "rules";

/// What the annotations say.
#[derive(Debug, Default)]
pub(crate) struct RouteExtras {
    pub(crate) name: Option<String>,
    rules: Vec<RuleExtras>,
}

#[derive(Debug)]
struct RuleExtras {
    of: WhichRule,
    spot: Spot,
    fallbacks: Vec<(String, Spot)>,
    conditions: Vec<(Condition, Spot)>,
}

#[derive(Debug)]
enum WhichRule {
    Named(String),
    At(usize),
}

pub(crate) fn read(metadata: &Metadata<'_>, reader: &mut Reader<'_>) -> RouteExtras {
    let mut extras = RouteExtras::default();
    for (name, field) in &metadata.extras {
        match *name {
            NAME => extras.name = embedded::name(field, reader),
            RULES => {
                if let Some(text) = Embedded::parse(field, reader) {
                    extras.rules = rules(&text, reader);
                }
            }
            other => embedded::unknown(field, other, &[NAME, RULES], reader),
        }
    }
    extras
}

/// By the rules' names, or a list in the order of the rules.
fn rules(text: &Embedded, reader: &mut Reader<'_>) -> Vec<RuleExtras> {
    let root = text.root();
    let fields: Vec<_> = if root.is_list() {
        let items = root.list(reader).into_iter().enumerate();
        items.map(|(i, field)| (WhichRule::At(i), field)).collect()
    } else {
        let Some(object) = root.mapping(reader) else {
            return Vec::new();
        };
        let fields = object.fields().into_iter();
        fields
            .map(|(name, field)| (WhichRule::Named(name.to_owned()), field))
            .collect()
    };
    fields
        .into_iter()
        .filter_map(|(of, field)| {
            let object = field.object(reader, &["fallbacks", "when"])?;
            let mut extras = RuleExtras {
                of,
                spot: field.spot(reader),
                fallbacks: Vec::new(),
                conditions: Vec::new(),
            };
            for field in list(&object, "fallbacks", reader) {
                if let Some(name) = field.text(reader) {
                    extras.fallbacks.push((name.to_owned(), field.spot(reader)));
                }
            }
            for field in list(&object, "when", reader) {
                extras.conditions.extend(string_match::read(&field, reader));
            }
            Some(extras)
        })
        .collect()
}

/// Adds what the annotations say to the route's rules.
pub(crate) fn apply(
    extras: RouteExtras,
    route: &mut ModelRoute,
    origin: &mut RouteOrigin,
    reader: &mut Reader<'_>,
) {
    for extras in extras.rules {
        let Some((rule, origin)) = find(&extras, route, origin, reader) else {
            continue;
        };
        for (name, spot) in extras.fallbacks {
            rule.fallbacks.push(name);
            origin.fallbacks.push(spot);
        }
        for (condition, spot) in extras.conditions {
            add_condition(rule, origin, condition, spot);
        }
    }
}

fn find<'r>(
    extras: &RuleExtras,
    route: &'r mut ModelRoute,
    origin: &'r mut RouteOrigin,
    reader: &mut Reader<'_>,
) -> Option<(&'r mut Rule, &'r mut RuleOrigin)> {
    let position = match &extras.of {
        WhichRule::At(position) if *position < route.rules.len() => *position,
        WhichRule::At(_) => {
            let message = format!("the ModelRoute has only {} rules", route.rules.len());
            reader.error(&extras.spot, "unknown-rule", message);
            return None;
        }
        WhichRule::Named(name) => {
            let named = |rule: &Rule| rule.name == *name;
            match route.rules.iter().filter(|rule| named(rule)).count() {
                1 => route.rules.iter().position(named)?,
                0 => {
                    let names = route.rules.iter().map(|rule| rule.name.as_str());
                    let message = format!(
                        "the ModelRoute has no rule {name:?}{}",
                        did_you_mean(name, names)
                    );
                    reader.error(&extras.spot, "unknown-rule", message);
                    return None;
                }
                several => {
                    let message = format!(
                        "the ModelRoute has {several} rules {name:?}: write {PREFIX}{RULES} as a \
                         list, in the order of the rules"
                    );
                    reader.error(&extras.spot, "unknown-rule", message);
                    return None;
                }
            }
        }
    };
    Some((
        route.rules.get_mut(position)?,
        origin.rules.get_mut(position)?,
    ))
}

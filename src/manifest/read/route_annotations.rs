//! The annotations of a ModelRoute: what this crate has and Kthena's schema lacks.

use super::{
    embedded::{self, Embedded},
    fields::Reader,
    metadata::{Metadata, PREFIX},
    nearest::did_you_mean,
    rate_limit::{LIMITS, LimitAnnotations, RATE_LIMIT},
    string_match::{self, Words},
};
use crate::{
    config::{Condition, ModelMatch, Rule},
    manifest::{origin::RouteOrigin, place::Spot},
};

pub(crate) const NAME: &str = "name";
pub(crate) const RULES: &str = "rules";
/// Whether requests without a model go to the route.
pub(crate) const WITHOUT_MODEL: &str = "without-model";

/// The options given as annotations.
#[derive(Debug, Default)]
pub(crate) struct RouteAnnotations {
    pub(crate) name: Option<String>,
    /// Where it is said that requests without a model go to the route.
    pub(crate) without_model: Option<Spot>,
    pub(crate) limits: LimitAnnotations,
    rules: Vec<RuleAnnotations>,
}

#[derive(Debug)]
struct RuleAnnotations {
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

pub(crate) fn read(metadata: &Metadata<'_>, reader: &mut Reader<'_>) -> RouteAnnotations {
    let mut annotations = RouteAnnotations::default();
    for (name, field) in &metadata.annotations {
        match *name {
            NAME => annotations.name = embedded::name(field, reader),
            RULES => {
                if let Some(text) = Embedded::parse(field, reader) {
                    annotations.rules = rules(&text, reader);
                }
            }
            WITHOUT_MODEL => {
                let takes = embedded::flag(field, reader).unwrap_or_default();
                annotations.without_model = takes.then(|| field.spot(reader));
            }
            LIMITS => annotations.limits.read_further(field, reader),
            RATE_LIMIT => annotations.limits.read_own(field, reader),
            other => {
                let known = [NAME, RULES, WITHOUT_MODEL, LIMITS, RATE_LIMIT];
                embedded::unknown(field, other, &known, reader);
            }
        }
    }
    annotations
}

/// By the rules' names, or a list in the order of the rules.
fn rules(text: &Embedded, reader: &mut Reader<'_>) -> Vec<RuleAnnotations> {
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
            let mut annotations = RuleAnnotations {
                of,
                spot: field.spot(reader),
                fallbacks: Vec::new(),
                conditions: Vec::new(),
            };
            for field in object.list("fallbacks", reader) {
                if let Some(name) = field.text(reader) {
                    annotations
                        .fallbacks
                        .push((name.to_owned(), field.spot(reader)));
                }
            }
            for field in object.list("when", reader) {
                annotations.conditions.extend(string_match::read(
                    &field,
                    Words::Annotation,
                    reader,
                ));
            }
            Some(annotations)
        })
        .collect()
}

/// Adds what the annotations say to the route's rules.
pub(crate) fn apply(
    annotations: RouteAnnotations,
    rules: &mut [Rule],
    origin: &mut RouteOrigin,
    reader: &mut Reader<'_>,
) {
    for annotation in annotations.rules {
        let Some(position) = find(&annotation, rules, reader) else {
            continue;
        };
        let (Some(slot), Some(origin)) = (rules.get_mut(position), origin.rules.get_mut(position))
        else {
            continue;
        };
        let mut rule = std::mem::replace(slot, Rule::new(""));
        for (name, spot) in annotation.fallbacks {
            rule = rule.fallback(name);
            origin.fallbacks.push(spot);
        }
        for (condition, spot) in annotation.conditions {
            rule = rule.when(ModelMatch::from(condition));
            origin.conditions.push(spot);
        }
        *slot = rule;
    }
}

/// The position of the rule that an annotation is about.
fn find(annotation: &RuleAnnotations, rules: &[Rule], reader: &mut Reader<'_>) -> Option<usize> {
    let message = match &annotation.of {
        WhichRule::At(position) if *position < rules.len() => return Some(*position),
        WhichRule::At(_) => format!("the ModelRoute has only {} rules", rules.len()),
        WhichRule::Named(name) => {
            let named = |rule: &Rule| rule.get_name() == name;
            match rules.iter().filter(|rule| named(rule)).count() {
                1 => return rules.iter().position(named),
                0 => {
                    let names = rules.iter().map(Rule::get_name);
                    let meant = did_you_mean(name, names);
                    format!("the ModelRoute has no rule {name:?}{meant}")
                }
                several => format!(
                    "the ModelRoute has {several} rules {name:?}: write {PREFIX}{RULES} as a \
                     list, in the order of the rules"
                ),
            }
        }
    };
    reader.error(&annotation.spot, "unknown-rule", message);
    None
}

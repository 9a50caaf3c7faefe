//! A route's `parentRefs`: the Gateways that it belongs to.

use super::{
    fields::{Field, Object, Reader},
    kthena,
    kubernetes::{is_dns_label, is_name},
};

/// The group of the Gateway API, which is meant where a parent has none.
const GROUP: &str = "gateway.networking.k8s.io";

/// What a route belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    /// Whether it is a Gateway, and not something else of the same name.
    pub(crate) is_gateway: bool,
    /// The route's own, if it has none.
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    /// The only one of the Gateway's listeners.
    pub(crate) section: Option<String>,
}

pub(super) fn read(field: &Field<'_>, reader: &mut Reader<'_>) -> Vec<Parent> {
    let fields = field.list(reader).into_iter();
    fields.filter_map(|field| parent(&field, reader)).collect()
}

fn parent(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<Parent> {
    const PARENT: [&str; 6] = ["group", "kind", "name", "namespace", "port", "sectionName"];
    let parent = field.object(reader, &PARENT)?;
    kthena::required(&parent, "name", reader);
    if let Some(field) = parent.get("name") {
        kthena::length(&field, 253, reader);
    }
    if let Some(field) = parent.get("port") {
        kthena::number(&field, 1, 65_535, reader);
    }
    let mut text = |name: &str, check: fn(&str) -> bool| of_form(&parent, name, check, reader);
    text("group", |group| group.is_empty() || is_name(group));
    text("kind", is_kind);
    text("namespace", |name| name.len() <= 63 && is_dns_label(name));
    text("sectionName", is_name);
    // Null is what is not there; the empty group is that of Services.
    let text = |name: &str| parent.get(name).and_then(|field| field.loose_text());
    let owned = |name: &str| text(name).map(str::to_owned);
    Some(Parent {
        is_gateway: text("group").is_none_or(|group| group == GROUP)
            && text("kind").is_none_or(|kind| kind == "Gateway"),
        namespace: owned("namespace"),
        name: owned("name").unwrap_or_default(),
        section: owned("sectionName"),
    })
}

fn of_form(object: &Object<'_>, name: &str, check: fn(&str) -> bool, reader: &mut Reader<'_>) {
    if let Some(field) = object.get(name) {
        kthena::text(&field, &format!("a {name}"), check, reader);
    }
}

/// Letters, digits and `-`, from a letter to a letter or digit.
fn is_kind(kind: &str) -> bool {
    let lowercase = kind.to_ascii_lowercase();
    kind.len() <= 63
        && kind.starts_with(|first: char| first.is_ascii_alphabetic())
        && is_dns_label(&lowercase)
}

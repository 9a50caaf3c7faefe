//! A route's `parentRefs`: the Gateways that it belongs to, of which only the form is checked.

use super::{
    fields::{Field, Object, Reader},
    kthena,
    kubernetes::{is_dns_label, is_name},
};

pub(super) fn check(field: &Field<'_>, reader: &mut Reader<'_>) {
    const PARENT: [&str; 6] = ["group", "kind", "name", "namespace", "port", "sectionName"];
    for parent in field.list(reader) {
        let Some(parent) = parent.object(reader, &PARENT) else {
            continue;
        };
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
    }
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

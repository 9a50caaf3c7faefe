//! YAML in an annotation.

use super::{
    fields::{Field, Reader},
    metadata::PREFIX,
    nearest::did_you_mean,
};
use crate::manifest::{
    place::FieldPath,
    yaml::{
        documents::Document,
        node::{self, Node},
    },
};

/// The YAML of an annotation, whose places are those of the file around it.
#[derive(Debug)]
pub(crate) struct Embedded {
    node: Node,
    path: FieldPath,
}

impl Embedded {
    /// `None` if it is not YAML: that is an error.
    pub(crate) fn parse(annotation: &Field<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let at = annotation.at();
        // The first line of a block scalar, or the text itself: there the lines are the same.
        let document = Document {
            text: annotation.loose_text()?,
            number: reader.source.document,
            line: at.line,
            column: at.column,
            error: None,
        };
        match node::parse_embedded(&document) {
            Ok(node) => Some(Self {
                node,
                path: annotation.path().clone(),
            }),
            Err(unreadable) => {
                let mut spot = annotation.spot(reader);
                spot.at = unreadable.at;
                reader.error(&spot, "invalid-yaml", unreadable.reason);
                None
            }
        }
    }

    pub(crate) fn root(&self) -> Field<'_> {
        Field::within(&self.node, self.path.clone())
    }
}

/// The name that something has in the table.
pub(crate) fn name(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let name = field.loose_text().unwrap_or_default();
    if name.is_empty() {
        let spot = field.spot(reader);
        reader.error(&spot, "invalid-name", "the name is empty");
        return None;
    }
    Some(name.to_owned())
}

/// `true` or `false`.
pub(crate) fn flag(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<bool> {
    match field.loose_text().map(str::trim) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => {
            let spot = field.spot(reader);
            reader.error(
                &spot,
                "invalid-value",
                "it is neither \"true\" nor \"false\"",
            );
            None
        }
    }
}

/// An annotation with our prefix that we do not know.
pub(crate) fn unknown(field: &Field<'_>, name: &str, known: &[&str], reader: &mut Reader<'_>) {
    let spot = field.spot(reader);
    let message = format!(
        "the annotation {PREFIX}{name} is unknown and ignored{}",
        did_you_mean(name, known.iter().copied())
    );
    reader.warning(&spot, "unknown-field", message);
}

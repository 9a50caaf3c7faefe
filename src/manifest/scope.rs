//! Which resources diagnostics are in.

use std::collections::HashSet;

use super::{
    diagnostic::Diagnostic,
    place::{Source, Spot},
};

/// The documents and resources that some diagnostics are in, so that not each resource is held
/// against each of them.
#[derive(Debug, Default)]
pub(super) struct Scopes<'d> {
    /// Of files, or of documents where these are known.
    documents: HashSet<(&'d str, u32)>,
    /// Each resource by the part of a field's path before its own fields.
    resources: HashSet<(&'d str, u32, &'d str)>,
}

impl<'d> Scopes<'d> {
    pub(super) fn new(diagnostics: impl IntoIterator<Item = &'d Diagnostic>) -> Self {
        let mut scopes = Self::default();
        for diagnostic in diagnostics {
            let Some(file) = diagnostic.file() else {
                continue;
            };
            let document = diagnostic.document();
            scopes.documents.insert((file, document));
            let resources = resources(diagnostic.field());
            let resources = resources.map(|resource| (file, document, resource));
            scopes.resources.extend(resources);
        }
        scopes
    }

    /// Whether one is in the resource whose name is at this position, or about its file.
    pub(super) fn has(&self, name: &Spot) -> bool {
        // The path is only written where it may be found.
        self.has_document(name) && {
            let path = name.path.to_string();
            let resource = path.strip_suffix("metadata.name").unwrap_or(&path);
            of(&name.source).any(|(file, document)| {
                let resource = (file, document, resource);
                self.resources.contains(&resource)
            })
        }
    }

    /// Whether one is in the document of this position, or about its file.
    pub(super) fn has_document(&self, spot: &Spot) -> bool {
        of(&spot.source).any(|document| self.documents.contains(&document))
    }
}

/// Some resources, by their places.
#[derive(Debug)]
pub(super) struct Known<'r> {
    resources: HashSet<(&'r str, u32, String)>,
    /// The files with resources that are not in lists.
    files: HashSet<&'r str>,
}

impl<'r> Known<'r> {
    /// Those whose names are at these positions.
    pub(super) fn new(names: impl IntoIterator<Item = &'r Spot>) -> Self {
        let (mut resources, mut files) = (HashSet::new(), HashSet::new());
        for name in names {
            let mut path = name.path.to_string();
            path.truncate(path.strip_suffix("metadata.name").unwrap_or(&path).len());
            let file = &*name.source.file;
            if path.is_empty() {
                files.insert(file);
            }
            resources.insert((file, name.source.document, path));
        }
        Self { resources, files }
    }

    /// Whether it is in one of them, or about its file.
    pub(super) fn has(&self, diagnostic: &Diagnostic) -> bool {
        let Some(file) = diagnostic.file() else {
            return false;
        };
        let document = diagnostic.document();
        let mut resources = resources(diagnostic.field());
        match document {
            0 => self.files.contains(file),
            _ => resources.any(|resource| {
                let resource = (file, document, resource.to_owned());
                self.resources.contains(&resource)
            }),
        }
    }
}

/// A document, and its file as a whole.
fn of(source: &Source) -> impl Iterator<Item = (&str, u32)> {
    [(&*source.file, source.document), (&*source.file, 0)].into_iter()
}

/// The resources that a field is in, from outside in: the whole document, and the items of lists
/// such as `items[3].`.
fn resources(field: &str) -> impl Iterator<Item = &str> {
    let ends = field.match_indices("].").map(|(end, _)| end + 2);
    let is_item = |end: &usize| {
        let mut steps = field[..*end].split_inclusive("].");
        steps.all(|step| step.starts_with("items["))
    };
    let items = ends.take_while(is_item).map(|end| &field[..end]);
    std::iter::once("").chain(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_in_the_document_and_in_the_items_of_its_lists() {
        let of = |field| resources(field).collect::<Vec<_>>();
        assert_eq!(of(""), [""]);
        assert_eq!(of("spec.rules[0].name"), [""]);
        assert_eq!(of("items[3]"), [""]);
        assert_eq!(of("items[3].spec.rules[0].name"), ["", "items[3]."]);
        assert_eq!(
            of("items[3].items[12].spec"),
            ["", "items[3].", "items[3].items[12]."]
        );
    }
}

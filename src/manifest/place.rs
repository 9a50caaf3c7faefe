//! A position in the manifests: file, document, line, column, field.

use std::{fmt, sync::Arc};

use crate::manifest::yaml::node::At;

/// A field's way from the document's root, such as `spec.rules[0].name`.
///
/// Each is a step behind its parent's, so that it costs little until one is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldPath(Option<Arc<Step>>);

#[derive(Debug)]
struct Step {
    parent: FieldPath,
    kind: StepKind,
}

#[derive(Debug)]
enum StepKind {
    Key(Box<str>),
    Index(usize),
}

impl FieldPath {
    pub(super) fn key(&self, key: &str) -> Self {
        self.step(StepKind::Key(key.into()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.step(StepKind::Index(index))
    }

    fn step(&self, kind: StepKind) -> Self {
        Self(Some(Arc::new(Step {
            parent: self.clone(),
            kind,
        })))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(step) = &self.0 else {
            return Ok(());
        };
        write!(f, "{}", step.parent)?;
        match &step.kind {
            StepKind::Index(index) => write!(f, "[{index}]"),
            // An annotation's or a header's name would look like several steps.
            StepKind::Key(key) if key.contains(['.', '/', '[', ' ']) => write!(f, "[{key:?}]"),
            StepKind::Key(key) if step.parent.0.is_some() => write!(f, ".{key}"),
            StepKind::Key(key) => f.write_str(key),
        }
    }
}

/// The document that is read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) file: Arc<str>,
    pub(super) document: u32,
    /// Whether it is an object of a cluster, in which everything is written down, and not a file.
    pub(super) is_in_cluster: bool,
}

/// A place in a manifest.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) source: Source,
    pub(super) at: At,
    pub(super) path: FieldPath,
}

impl fmt::Display for Spot {
    /// The file and the line; an object of a cluster has no lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source.file)?;
        match self.at.line {
            0 => Ok(()),
            line => write!(f, " line {line}"),
        }
    }
}

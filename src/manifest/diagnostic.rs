//! Errors and warnings about manifests, each with its place.

use std::{error::Error, fmt, sync::Arc};

use super::place::Spot;

/// Whether a [`Diagnostic`] prevents a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// There is no table until it is fixed.
    Error,
    /// The table is built, but someone should look at this.
    Warning,
}

/// An error or a warning about the manifests, and its place.
///
/// It displays as a line in the form that compilers use:
///
/// ```text
/// routes.yaml:12:17: error: spec.rules[0].targetModels[0].weight: 150 is not a number from 0 to 100 [invalid-value]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    severity: Severity,
    code: &'static str,
    message: String,
    file: Option<Arc<str>>,
    document: u32,
    line: u32,
    column: u32,
    field: String,
}

impl Diagnostic {
    pub(super) fn new(
        severity: Severity,
        code: &'static str,
        spot: &Spot,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            code,
            message: message.into(),
            file: Some(Arc::clone(&spot.source.file)),
            document: spot.source.document,
            line: spot.at.line,
            column: spot.at.column,
            field: spot.path.to_string(),
        }
    }

    /// About a file as a whole.
    pub(super) fn of_file(code: &'static str, file: &str, message: impl Into<String>) -> Self {
        Self {
            file: Some(file.into()),
            ..Self::placeless(Severity::Error, code, message)
        }
    }

    /// About something outside of any file.
    pub(super) fn placeless(
        severity: Severity,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            code,
            message: message.into(),
            file: None,
            document: 0,
            line: 0,
            column: 0,
            field: String::new(),
        }
    }

    /// Makes an error of a warning.
    pub(super) fn deny(&mut self) {
        self.severity = Severity::Error;
    }

    /// Error or warning.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Its stable code, such as `unknown-field` or `not-acted-on`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The message, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The file as it was named, `<yaml>` for a string; `None` for something set in
    /// code.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The document in the file, from 1; 0 if it is about none.
    pub fn document(&self) -> u32 {
        self.document
    }

    /// The line in the file, from 1; 0 if it is about none.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The column in the line, in characters from 1; 0 if it is about none.
    pub fn column(&self) -> u32 {
        self.column
    }

    /// The field's path, such as `spec.rules[0].targetModels[1].weight`; may be empty.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Whether it is an error in this field of the object at this position, or in one that it is
    /// a part of: of a resource, whose spot is its name's, or of a rule.
    pub(super) fn is_error_in(&self, spot: &Spot, field: &str) -> bool {
        let is_near = self.severity == Severity::Error
            && self.document == spot.source.document
            && self.file() == Some(&*spot.source.file);
        // The path is only written where it may be found.
        is_near && {
            let path = spot.path.to_string();
            let field = match path.strip_suffix("metadata.name") {
                Some(resource) => format!("{resource}{field}"),
                None => format!("{path}.{field}"),
            };
            let is_around = |rest: &str| rest.starts_with(['.', '[']);
            let around = field.strip_prefix(&*self.field);
            self.field.starts_with(&field) || around.is_some_and(is_around)
        }
    }

    pub(super) fn order(&self) -> (Option<&str>, u32, u32) {
        (self.file(), self.line, self.column)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if self.line > 0 {
                write!(f, "{}:{}:", self.line, self.column)?;
            }
            f.write_str(" ")?;
        }
        f.write_str(match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
        })?;
        if self.document > 1 {
            write!(f, "document {}, ", self.document)?;
        }
        if self.field.is_empty() {
            write!(f, "{} [{}]", self.message, self.code)
        } else {
            write!(f, "{}: {} [{}]", self.field, self.message, self.code)
        }
    }
}

/// Everything found in a set of manifests, in the order of files and lines.
///
/// It displays as a line for each [`Diagnostic`], then the notes, and a line with the
/// numbers of errors and warnings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    notes: Vec<String>,
}

impl Report {
    pub(super) fn new(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by(|a, b| a.order().cmp(&b.order()));
        Self {
            diagnostics,
            notes: Vec::new(),
        }
    }

    pub(super) fn with_notes(self, notes: Vec<String>) -> Self {
        Self { notes, ..self }
    }

    /// Things worth knowing about these manifests although nothing is wrong, such as the
    /// retries of ModelServers that don't mention retries.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().map(String::as_str)
    }

    /// Errors and warnings.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The errors.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.of(Severity::Error)
    }

    /// The warnings.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.of(Severity::Warning)
    }

    /// Whether there is an error.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    fn of(&self, severity: Severity) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics
            .iter()
            .filter(move |diagnostic| diagnostic.severity == severity)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.diagnostics {
            writeln!(f, "{diagnostic}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        let plural = |count: usize, what| match count {
            0 => format!("no {what}s"),
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let (errors, warnings) = (self.errors().count(), self.warnings().count());
        write!(
            f,
            "{}, {}",
            plural(errors, "error"),
            plural(warnings, "warning")
        )
    }
}

/// Why no table could be built from the manifests: every error, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError(Report);

impl ManifestError {
    pub(super) fn new(report: Report) -> Self {
        Self(report)
    }

    /// The errors, at least one, and the warnings found before them.
    pub fn report(&self) -> &Report {
        &self.0
    }

    /// The errors, at least one.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.errors()
    }
}

impl Error for ManifestError {}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors().count() {
            1 => f.write_str("1 mistake in the manifests")?,
            count => write!(f, "{count} mistakes in the manifests")?,
        }
        self.errors().try_for_each(|error| write!(f, "\n{error}"))
    }
}

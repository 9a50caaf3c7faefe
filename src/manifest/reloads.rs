//! Reloading: from manifests to the table of a handle.

use std::{
    any::Any,
    collections::BTreeSet,
    error::Error,
    fmt, mem,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use tracing::{info, warn};

use super::{
    diagnostic::{Diagnostic, ManifestError},
    set::{Built, Manifests},
};
use crate::{
    manifest::read::resource::Resources,
    route::{RouteTable, RouteTableHandle},
};

/// Replaces the table of a handle whenever manifests have changed, and remembers what the last one
/// was made of: a resource that fails alone stays as it was.
#[derive(Debug)]
pub(crate) struct Reloads {
    handle: RouteTableHandle,
    last: Resources,
    /// The errors that the log has, of resources that were left out.
    told: BTreeSet<String>,
    /// The error of the last reload, if that failed.
    failure: Option<String>,
}

impl Reloads {
    pub(crate) fn new(handle: RouteTableHandle) -> Self {
        Self {
            handle,
            last: Resources::default(),
            told: BTreeSet::new(),
            failure: None,
        }
    }

    #[cfg(feature = "watch")]
    pub(crate) fn handle(&self) -> &RouteTableHandle {
        &self.handle
    }

    /// The errors that are new, of resources that were left out; `None` if the table stays as it
    /// was.
    ///
    /// `manifests` may be the caller's own code and panic. `check` may refuse a table.
    pub(crate) fn reload(
        &mut self,
        manifests: impl FnOnce() -> Manifests,
        check: impl FnOnce(&RouteTable) -> Result<(), ManifestError>,
    ) -> Option<Vec<Diagnostic>> {
        self.failure = None;
        self.retry(manifests, check)
    }

    /// As [`reload`](Self::reload) of what has failed: the same error is not told again.
    pub(crate) fn retry(
        &mut self,
        manifests: impl FnOnce() -> Manifests,
        check: impl FnOnce(&RouteTable) -> Result<(), ManifestError>,
    ) -> Option<Vec<Diagnostic>> {
        let build = || {
            let table = self.handle.table();
            let built = manifests().after(&table).build_after(&self.last)?;
            check(&built.table)?;
            Ok::<Built, ManifestError>(built)
        };
        match panic::catch_unwind(AssertUnwindSafe(build)) {
            Ok(Ok(built)) => Some(self.built(built)),
            Ok(Err(error)) => self.failed(error),
            Err(panic) => self.failed(Panicked::new(&*panic)),
        }
    }

    /// Errors are in resources that were left out, or stay as they were.
    fn built(&mut self, built: Built) -> Vec<Diagnostic> {
        self.last = built.resources;
        let is_new = self.handle.table().config() != built.table.config();
        let errors = built
            .report
            .errors()
            .map(|error| (error.to_string(), error));
        let errors: Vec<(String, &Diagnostic)> = errors.collect();
        let news = errors.iter().filter(|(line, _)| !self.told.contains(line));
        let news: Vec<Diagnostic> = news.map(|(_, error)| Diagnostic::clone(error)).collect();
        for error in &news {
            warn!(target: "tower_model_route::reload", %error, "a manifest is left out, or stays as it was");
        }
        let errors = errors.into_iter().map(|(line, _)| line).collect();
        let had_errors = !mem::replace(&mut self.told, errors).is_empty();
        if had_errors && self.told.is_empty() {
            info!(target: "tower_model_route::reload", "no manifest is left out any more");
        }
        let left_out = match self.told.is_empty() {
            true => None,
            false => Some(Arc::new(ManifestError::new(built.report)) as Arc<_>),
        };
        let has_healed = self.handle.last_error().is_some() && left_out.is_none();
        let table = is_new.then_some(built.table);
        self.handle.reloaded(table, left_out, !news.is_empty());
        if is_new {
            info!(target: "tower_model_route::reload", "manifests reloaded");
        } else if has_healed {
            info!(target: "tower_model_route::reload", "manifests are as they were again");
        }
        news
    }

    fn failed(&mut self, error: impl Error + Send + Sync + 'static) -> Option<Vec<Diagnostic>> {
        let text = Some(error.to_string());
        if self.failure == text {
            return None;
        }
        self.failure = text;
        warn!(target: "tower_model_route::reload", %error, "manifests not reloaded");
        self.handle.failed(error);
        None
    }
}

/// The manifests could not be read, or completed, for a panic.
#[derive(Debug)]
struct Panicked(String);

impl Panicked {
    fn new(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "no reason was given".to_owned()))
    }
}

impl Error for Panicked {}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reading the manifests panicked: {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_failure_of_a_retry_is_told_once() {
        let handle = RouteTableHandle::new(RouteTable::builder().build().unwrap());
        let mut reloads = Reloads::new(handle.clone());
        let bad = || Manifests::from_yaml("kind: [");
        let worse = || Manifests::from_yaml("kind: {");
        assert!(reloads.reload(bad, |_| Ok(())).is_none());
        for _ in 0..3 {
            assert!(reloads.retry(bad, |_| Ok(())).is_none());
        }
        assert_eq!(handle.reloads(), (0, 1));
        assert!(reloads.retry(worse, |_| Ok(())).is_none());
        assert_eq!(handle.reloads(), (0, 2));
        assert!(reloads.reload(worse, |_| Ok(())).is_none());
        assert_eq!(handle.reloads(), (0, 3));
    }
}

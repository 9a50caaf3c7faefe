//! The target of a request: which path it has, and whether that may reach an engine.

use http::{Method, Uri, request::Parts};

use super::options::Options;
use crate::{
    config::has_dot_segment,
    error::{Excerpt, RouteError, RouteErrorKind},
    route::CompiledTable,
};

/// Leaves in `head` the path by which the request is routed: its own if that is let through,
/// else the one with which it came.
///
/// Fails with `unknown_path` if neither is let through; `head` is then unchanged.
pub(super) fn settle(
    options: &Options,
    table: &CompiledTable,
    head: &mut Parts,
) -> Result<(), RouteError> {
    let path = head.uri.path();
    check_segments(path)?;
    if passes(options, table, &head.method, path) {
        return Ok(());
    }
    let original = options
        .original_path
        .of(head)
        .filter(|original| original.path() != path);
    let Some(original) = original else {
        return Err(unknown(path, None));
    };
    check_segments(original.path())?;
    if !passes(options, table, &head.method, original.path()) {
        return Err(unknown(path, Some(original.path())));
    }
    let mut parts = head.uri.clone().into_parts();
    parts.path_and_query = original.path_and_query().cloned();
    head.uri = Uri::from_parts(parts).map_err(|_| unknown(path, Some(original.path())))?;
    Ok(())
}

fn passes(options: &Options, table: &CompiledTable, method: &Method, path: &str) -> bool {
    options.paths.has(method, path)
        || table.paths().is_some_and(|paths| paths.has(method, path))
        || options.extract.reads_path(path)
        || (options.models_endpoint && table.models.is_for(method, path))
}

fn check_segments(path: &str) -> Result<(), RouteError> {
    match has_dot_segment(path) {
        false => Ok(()),
        true => Err(RouteError::new(
            RouteErrorKind::InvalidTarget,
            "the request's path has a dot segment",
        )),
    }
}

fn unknown(path: &str, original: Option<&str>) -> RouteError {
    let path = Excerpt(path);
    let message = match original {
        None => format!("no inference API has the path `{path}`"),
        Some(original) => format!(
            "no inference API has the path `{path}`, nor `{}`, with which the request came",
            Excerpt(original)
        ),
    };
    RouteError::new(RouteErrorKind::UnknownPath, message)
}

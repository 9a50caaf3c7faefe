//! The target of a request: which path it has, and whether that may reach an engine.

use http::{
    Method, Uri,
    header::HOST,
    request::Parts,
    uri::{Authority, Scheme},
};

use super::options::Options;
use crate::{
    config::has_dot_segment,
    error::{Excerpt, RouteError, RouteErrorKind},
    route::CompiledTable,
};

/// The most fields that a request may have. A map of headers takes no more than 24,576, and
/// some are added on the way to the engine.
const MAX_FIELDS: usize = 20_000;

/// Refuses what may reach no engine, whatever its path.
pub(super) fn check(options: &Options, head: &Parts) -> Result<(), RouteError> {
    if head.headers.keys_len() > MAX_FIELDS {
        return Err(RouteError::new(
            RouteErrorKind::HeadersTooLarge,
            format!("the request has more than {MAX_FIELDS} header fields"),
        ));
    }
    if options.via.is_in(&head.headers) {
        return Err(RouteError::new(
            RouteErrorKind::LoopDetected,
            "the request has come through this gateway before",
        ));
    }
    check_host(head)
}

/// The Host of a request decides on rules and on who else reads it, so there is one at most
/// (RFC 9112 section 3.2), and it is the one of the target (RFC 9113 section 8.3.1).
fn check_host(head: &Parts) -> Result<(), RouteError> {
    let refuse = |why| Err(RouteError::new(RouteErrorKind::InvalidHost, why));
    let mut hosts = head.headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        return Ok(());
    };
    if hosts.next().is_some() {
        return refuse("the request has more than one Host");
    }
    if head.uri.authority().is_none() && (host.is_empty() || is_plain(host.as_bytes())) {
        return Ok(());
    }
    match Authority::try_from(host.as_bytes()) {
        Ok(host) if !host.as_str().contains('@') => match head.uri.authority() {
            Some(target) if !is_same(&host, target, head.uri.scheme()) => {
                refuse("the request's Host is not that of its target")
            }
            _ => Ok(()),
        },
        _ => refuse("the request's Host is not a host"),
    }
}

/// Whether this is a name or an IPv4 address, perhaps with a port, as almost all are: to parse
/// an authority is to allocate one.
fn is_plain(host: &[u8]) -> bool {
    let mut parts = host.split(|&byte| byte == b':');
    let name = parts.next().unwrap_or_default();
    let port = parts.next();
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let is_port =
        |port: &[u8]| (1..=4).contains(&port.len()) && port.iter().all(u8::is_ascii_digit);
    !name.is_empty()
        && name.iter().all(in_name)
        && port.is_none_or(is_port)
        && parts.next().is_none()
}

fn is_same(host: &Authority, target: &Authority, scheme: Option<&Scheme>) -> bool {
    let default = scheme.and_then(|scheme| match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    });
    let port = |of: &Authority| of.port_u16().or(default);
    host.host().eq_ignore_ascii_case(target.host()) && port(host) == port(target)
}

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

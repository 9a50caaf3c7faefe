//! Whether a request may reach an engine, by its head alone: for the layer and for explanations.

use http::{
    HeaderMap, Method, Uri,
    header::{HOST, TRANSFER_ENCODING},
    request::Parts,
    uri::{Authority, Scheme},
};

use super::{fields::Fields, original_path::OriginalPath, via::Via};
use crate::{
    config::{ApiPaths, WithoutModel, bad_segment},
    error::{Excerpt, RouteError, RouteErrorKind},
    model::{ExtractModel, Scan},
    pieces::members,
    route::CompiledTable,
};

/// The most fields that a request may have. A map of headers takes no more than 24,576, and
/// some are added on the way to the engine.
const MAX_FIELDS: usize = 20_000;

/// Which requests a layer lets through; by default as one without options.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub(crate) paths: ApiPaths,
    pub(crate) original_path: OriginalPath,
    pub(crate) via: Via,
    /// Whether `/v1/models` is answered from the table.
    pub(crate) models_endpoint: bool,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            paths: ApiPaths::standard(),
            original_path: OriginalPath::default(),
            via: Via::default(),
            models_endpoint: true,
        }
    }
}

impl Admission {
    /// Refuses what may reach no engine, whatever its path; `head` has these `fields`.
    pub(crate) fn check(&self, head: &Parts, fields: Fields) -> Result<(), RouteError> {
        if head.headers.len() > MAX_FIELDS {
            return Err(RouteError::new(
                RouteErrorKind::HeadersTooLarge,
                format!("the request has more than {MAX_FIELDS} header fields"),
            ));
        }
        if fields.has(Fields::VIA) && self.via.is_in(&head.headers) {
            return Err(RouteError::new(
                RouteErrorKind::LoopDetected,
                "the request has come through this gateway before",
            ));
        }
        if fields.has(Fields::TRANSFER_CODING) {
            check_transfer_coding(&head.headers)?;
        }
        if fields.has(Fields::PLAIN_HOST) && head.uri.authority().is_none() {
            return Ok(());
        }
        check_host(head)
    }

    /// Leaves in `head` the path by which the request is routed: its own if that is let through,
    /// else the one with which it came.
    ///
    /// Fails with `unknown_path` if neither is let through; `head` is then unchanged.
    pub(crate) fn settle(
        &self,
        extract: &dyn ExtractModel,
        table: &CompiledTable,
        head: &mut Parts,
    ) -> Result<(), RouteError> {
        let path = head.uri.path();
        let passes = |path: &str| self.passes(extract, table, &head.method, path);
        let any = self.paths.are_all() || table.paths().is_some_and(ApiPaths::are_all);
        check_segments(path, any)?;
        if passes(path) {
            return Ok(());
        }
        let original = self.original_path.of(head);
        let Some(original) = original.filter(|original| original.path() != path) else {
            return Err(unknown(path, None));
        };
        check_segments(original.path(), any)?;
        let unknown = || unknown(path, Some(original.path()));
        if !passes(original.path()) {
            return Err(unknown());
        }
        let mut parts = head.uri.clone().into_parts();
        parts.path_and_query = original.path_and_query().cloned();
        head.uri = Uri::from_parts(parts).map_err(|_| unknown())?;
        Ok(())
    }

    fn passes(
        &self,
        extract: &dyn ExtractModel,
        table: &CompiledTable,
        method: &Method,
        path: &str,
    ) -> bool {
        self.paths.has(method, path)
            || table.paths().is_some_and(|paths| paths.has(method, path))
            || extract.reads_path(path)
            || (self.models_endpoint && table.routes.models.is_for(method, path))
    }
}

/// What looks for the model of a request whose path is, or is not,
/// [settled](Admission::settle), if `what` is said about those without a model. `None` if it names
/// none and goes to the inner service as it is.
pub(crate) fn admitted(
    settled: Result<(), RouteError>,
    extract: &dyn ExtractModel,
    head: &Parts,
    what: &WithoutModel,
) -> Result<Option<Scan>, RouteError> {
    let found = Scan::new(extract.begin(head).0);
    match (settled, found, what) {
        (Ok(()), Ok(Some(_)) | Err(_), _) if is_for_servers(&head.method) => Err(RouteError::new(
            RouteErrorKind::RouteNotFound,
            "no such resource: TRACE and CONNECT ask for no model",
        )),
        (Ok(()), Ok(Some(scan)), what) => Ok(Some(scan.optional(what.is_routed()))),
        (Err(error), Ok(None), WithoutModel::Forward)
            if error.kind() == RouteErrorKind::UnknownPath =>
        {
            Ok(None)
        }
        (Err(error), ..) => Err(error),
        (Ok(()), Ok(None), WithoutModel::Forward) => Ok(None),
        (Ok(()), Ok(None), WithoutModel::Reject) => Err(RouteError::new(
            RouteErrorKind::RouteNotFound,
            "no such resource: this gateway only serves requests that name a model",
        )),
        (Ok(()), Err(error), what)
            if error.kind() != RouteErrorKind::MissingModel || !what.is_routed() =>
        {
            Err(error)
        }
        (Ok(()), ..) => Ok(Some(Scan::none())),
    }
}

/// Whether a method is answered by a server itself. An engine's answer to TRACE would tell the
/// client the keys that are sent to the engine (RFC 9110 section 9.3.8), and CONNECT has no path by
/// which an engine could be asked (section 9.3.6).
fn is_for_servers(method: &Method) -> bool {
    matches!(*method, Method::TRACE | Method::CONNECT)
}

/// The Host of a request decides on rules and on who else reads it, so there is one at most
/// (RFC 9112 section 3.2), and it is the one of the target (RFC 9113 section 8.3.1), in which
/// nobody's name stands before it (RFC 9110 section 4.2.4).
fn check_host(head: &Parts) -> Result<(), RouteError> {
    let refuse = |why| Err(RouteError::new(RouteErrorKind::InvalidHost, why));
    if head.uri.authority().is_some_and(has_user) {
        return refuse("the request's target is not a host");
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        return Ok(());
    };
    if hosts.next().is_some() {
        return refuse("the request has more than one Host");
    }
    if head.uri.authority().is_none() && host.is_empty() {
        return Ok(());
    }
    match Authority::try_from(host.as_bytes()) {
        Ok(host) if !has_user(&host) => match head.uri.authority() {
            Some(target) if !is_same(&host, target, head.uri.scheme()) => {
                refuse("the request's Host is not that of its target")
            }
            _ => Ok(()),
        },
        _ => refuse("the request's Host is not a host"),
    }
}

fn has_user(authority: &Authority) -> bool {
    authority.as_str().contains('@')
}

/// A body has one transfer coding at most, `chunked`, which the server has undone. It undoes no
/// other below it, and what is told of it ends here: the engine would get the coded bytes as the
/// body (RFC 9112 section 6.1).
fn check_transfer_coding(headers: &HeaderMap) -> Result<(), RouteError> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let mut codings = members(headers, &TRANSFER_ENCODING);
    let last = codings.next_back().is_some_and(is_chunked);
    match (last, codings.next()) {
        (true, None) => Ok(()),
        (true, Some(first)) if !is_chunked(first) && !codings.any(is_chunked) => {
            Err(RouteError::new(
                RouteErrorKind::UnsupportedTransferCoding,
                "the request body has another transfer coding than `chunked`",
            ))
        }
        _ => Err(RouteError::new(
            RouteErrorKind::InvalidBody,
            "the last transfer coding of the request body is not `chunked`, or not the only one",
        )),
    }
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

fn check_segments(path: &str, any: bool) -> Result<(), RouteError> {
    match bad_segment(path, any) {
        None => Ok(()),
        Some(what) => Err(RouteError::new(
            RouteErrorKind::InvalidTarget,
            format!("the request's path has {what}"),
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

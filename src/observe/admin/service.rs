//! The service: which request gets which answer.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    access::{Access, Hosts, is_json},
    answer,
    body::AdminBody,
    future::{AdminFuture, Asked},
    lints::Lints,
    page,
    reading::Reading,
    view,
};
use crate::{
    config::{ApiPaths, WithoutModel},
    model::ExtractModel,
    observe::recent::Recent,
    route::RouteTableHandle,
    wire::Admission,
};

/// A service that shows a table and its live state to the people who run a gateway.
///
/// | request | answer |
/// |---|---|
/// | `GET /_` | a page that shows it live |
/// | `GET /_routes` | the same as JSON: routes, rules, shares as configured and as counted, ModelServers with endpoints, health and counts, [warnings](crate::RouteTable::lint), the last reload, and the [last minute](Self::recent) |
/// | `POST /_explain` | where a request would be routed, and why: an [`Explanation`](crate::Explanation) as JSON, or as text with `Accept: text/plain` |
/// | `POST /_drain`, `POST /_undrain` | takes an endpoint out of service, or puts it back: see [`RouteTableHandle::drain`] |
///
/// Only the last segment of the path matters, so it can be mounted under any
/// prefix. It shows the names, addresses and rules of the gateway to everyone
/// who can reach it, and lets them take engines out of service, unless it is
/// [read-only](Self::read_only). **It is never mounted by default, and has no
/// authentication: mount it behind your own**, or on a listener of its own.
///
/// ```
/// use tower_model_route::{Admin, RouteTable};
///
/// # fn main() -> Result<(), tower_model_route::BuildError> {
/// let table = RouteTable::builder().build()?;
/// let ops: axum::Router = axum::Router::new()
///     .nest_service("/ops", Admin::new(table)); // behind your own authentication
/// # let _ = ops;
/// # Ok(())
/// # }
/// ```
///
/// The body of a request to `_explain` describes the request to explain. Every
/// part is optional; a request without a model is explained as
/// [`WithoutModel`](crate::WithoutModel) says:
///
/// ```json
/// {
///   "method": "POST",
///   "path": "/v1/chat/completions",
///   "headers": { "user-type": "premium", "x-repeated": ["a", "b"] },
///   "model": "deepseek-chat"
/// }
/// ```
///
/// Instead of `model` there may be a `body`, from which the [extractor](Self::extract_model) reads
/// it: a JSON object, or a string with the exact body. If the path or the query names a model, that
/// counts as it would in the request, and `model` is what its body names. The question may have up
/// to 1 MiB.
///
/// The body of `_drain` and `_undrain` names an endpoint of the table, as in `{"endpoint":
/// "http://10.0.0.7:8000"}`. The answer says whether it is `draining` now, and how many requests
/// it still has `in_flight`; 404 `endpoint_not_found` if the table has no such endpoint.
///
/// Pages of other sites can't use a browser to reach it: the `Host` of a request
/// must be an address, `localhost`, or a [listed name](Self::host) (against DNS
/// rebinding; others get 421), and a POST must have the Content-Type
/// `application/json` (others get 415).
///
/// Every answer has the request's id in `x-request-id`, as those of the layer
/// ([`request_id`](crate::request_id)).
///
/// The value that a condition compares a header with is shown as `***`, because
/// it may be a key, unless [the header is listed](Self::show_header).
#[derive(Clone, Debug)]
pub struct Admin {
    table: RouteTableHandle,
    access: Access,
    reading: Reading,
    recent: Option<Recent>,
    lints: Lints,
}

impl Admin {
    /// Shows `table`, a [`RouteTable`](crate::RouteTable) or a
    /// [`RouteTableHandle`] through which it may be replaced.
    ///
    /// [`ModelRouteLayer::admin`](crate::ModelRouteLayer::admin) also uses the layer's options to
    /// explain requests.
    pub fn new(table: impl Into<RouteTableHandle>) -> Self {
        Self {
            table: table.into(),
            access: Access::default(),
            reading: Reading::default(),
            recent: None,
            lints: Lints::default(),
        }
    }

    /// Makes the view read-only: `_drain` and `_undrain` are answered with 403
    /// `read_only`, and the page has no buttons for them.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.access.is_read_only = true;
        self
    }

    /// Shows `table` and explains requests by the layer's own options.
    pub(crate) fn of_layer(
        table: RouteTableHandle,
        admission: Admission,
        extract: Arc<dyn ExtractModel>,
        without_model: Option<WithoutModel>,
    ) -> Self {
        Self {
            reading: Reading {
                admission,
                extract,
                without_model,
            },
            ..Self::new(table)
        }
    }

    /// Shows what the gateway has done in the last minute: requests a second, percentiles of times,
    /// tokens a second, errors, and decisions of limits. Give `recent` to the layer as an observer
    /// too; see [`Recent`]. Without it the page has no such section, and `recent` in `/_routes` is
    /// null.
    #[must_use]
    pub fn recent(mut self, recent: Recent) -> Self {
        self.recent = Some(recent);
        self
    }

    /// The extractor of the layer
    /// ([`ModelRouteLayer::extract_model`](crate::ModelRouteLayer::extract_model)), with
    /// which requests are explained;
    /// [`ModelSources::standard`](crate::ModelSources::standard) by default. A question has
    /// no extensions, so an extractor that reads them sees none.
    #[must_use]
    pub fn extract_model(mut self, extract: impl ExtractModel) -> Self {
        self.reading.extract = Arc::new(extract);
        self
    }

    /// What the layer does with requests that name no model, if it is set on the layer
    /// ([`ModelRouteLayer::without_model`](crate::ModelRouteLayer::without_model)).
    #[must_use]
    pub fn without_model(mut self, what: WithoutModel) -> Self {
        self.reading.without_model = Some(what);
        self
    }

    /// The paths that the layer lets through in addition to those of the table
    /// ([`ModelRouteLayer::paths`](crate::ModelRouteLayer::paths));
    /// [`ApiPaths::standard`] by default.
    #[must_use]
    pub fn paths(mut self, paths: ApiPaths) -> Self {
        self.reading.admission.paths = paths;
        self
    }

    /// Accepts this host name too, such as `ops.example.com`, with any port.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        if let Hosts::Named(names) = &mut self.access.hosts {
            Arc::make_mut(names).push(name.into().to_ascii_lowercase());
        }
        self
    }

    /// Accepts every host name, for use behind a server that checks it.
    #[must_use]
    pub fn any_host(mut self) -> Self {
        self.access.hosts = Hosts::Any;
        self
    }

    /// Shows the values of this header in conditions and explanations, such as `user-type`.
    ///
    /// Those of `authorization`, `cookie`, `x-api-key` and the like stay masked.
    #[must_use]
    pub fn show_header(mut self, name: impl Into<String>) -> Self {
        let name = name.into().to_ascii_lowercase();
        Arc::make_mut(&mut self.access.headers).push(name);
        self
    }
}

/// What the admin service serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Page,
    Routes,
    Explain,
    Drain,
    Undrain,
}

impl Resource {
    fn of(path: &str) -> Option<Self> {
        match path.rsplit('/').next()? {
            "_" => Some(Self::Page),
            "_routes" => Some(Self::Routes),
            "_explain" => Some(Self::Explain),
            "_drain" => Some(Self::Drain),
            "_undrain" => Some(Self::Undrain),
            _ => None,
        }
    }
}

impl<B: Body> Service<Request<B>> for Admin {
    type Response = Response<AdminBody>;
    type Error = Infallible;
    type Future = AdminFuture<B>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> AdminFuture<B> {
        let resource = Resource::of(request.uri().path());
        let answer = match resource {
            _ if !self.access.allows(&request) => answer::misdirected(),
            Some(Resource::Page) => answer::to_get(request.method(), page::answer),
            Some(Resource::Routes) => answer::to_get(request.method(), || {
                let recent = self.recent.as_ref();
                view::answer(
                    &self.table,
                    &self.access,
                    &self.reading,
                    recent,
                    &self.lints,
                )
            }),
            Some(_) if request.method() != Method::POST => answer::not_allowed("POST"),
            Some(_) if !is_json(request.headers()) => answer::not_json(),
            Some(Resource::Explain) => {
                let asked = Asked::Explanation {
                    headers: request.headers().clone(),
                    table: self.table.table(),
                    access: self.access.clone(),
                    reading: Box::new(self.reading.clone()),
                };
                return AdminFuture::read(asked, request);
            }
            Some(Resource::Drain | Resource::Undrain) if self.access.is_read_only => {
                answer::read_only()
            }
            Some(Resource::Drain | Resource::Undrain) => {
                let asked = Asked::Cordon {
                    table: self.table.clone(),
                    is_draining: resource == Some(Resource::Drain),
                };
                return AdminFuture::read(asked, request);
            }
            None => answer::not_found(),
        };
        AdminFuture::ready(answer, request)
    }
}

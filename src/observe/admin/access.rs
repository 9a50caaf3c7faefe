//! Who may ask the admin view, and what it shows.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, Request, header::CONTENT_TYPE, header::HOST, uri::Authority};

use crate::observe::explain::Shown;

/// Who may ask, and what is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    /// `None` for every host.
    pub(super) hosts: Hosts,
    /// The headers whose values in conditions are shown, in lower case.
    pub(super) headers: Arc<Vec<String>>,
    /// Whether endpoints can't be taken out of service here.
    pub(super) is_read_only: bool,
}

/// The names by which the view may be asked.
#[derive(Clone, Debug)]
pub(super) enum Hosts {
    Any,
    /// These, besides addresses and localhost.
    Named(Arc<Vec<String>>),
}

impl Default for Hosts {
    fn default() -> Self {
        Self::Named(Arc::default())
    }
}

impl Access {
    pub(super) fn shown(&self) -> Shown<'_> {
        Shown::only(&self.headers)
    }

    /// Whether a browser may have sent the request for a page of this host.
    ///
    /// A page of another site can have its own name resolve to this server (DNS rebinding); its
    /// browser then sends that name.
    pub(super) fn allows<B>(&self, request: &Request<B>) -> bool {
        let Hosts::Named(names) = &self.hosts else {
            return true;
        };
        let authority = request.uri().authority();
        let hosts = request.headers().get_all(HOST).iter();
        let fields = hosts.map(|host| Authority::try_from(host.as_bytes()).ok());
        authority
            .cloned()
            .map(Some)
            .into_iter()
            .chain(fields)
            .all(|host| host.is_some_and(|host| is_allowed(host.host(), names)))
    }
}

fn is_allowed(host: &str, names: &[String]) -> bool {
    let host = host.to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok()
        || host == "localhost"
        || host.ends_with(".localhost")
        || names.contains(&host)
}

/// Whether the Content-Type is JSON. A page of another site can't say so without being
/// allowed to (CORS).
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return false;
    };
    let essence = only.to_str().ok().and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

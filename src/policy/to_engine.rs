//! The head of a request that the gateway itself makes to an engine.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Uri, request::Parts, uri::PathAndQuery};

use crate::{
    server::{Endpoint, Server},
    wire::{ForModelServer, rewrite},
};

/// Addresses `head` to this path below the endpoint's own, with the headers of its ModelServer and
/// these; `None` if that is too long.
pub(super) fn to_engine(
    head: &mut Parts,
    path: &PathAndQuery,
    (endpoint, server): (&Endpoint, &Server),
    headers: &[(HeaderName, HeaderValue)],
) -> Option<()> {
    head.uri = Uri::from(path.clone());
    rewrite::address(head, &endpoint.address).ok()?;
    rewrite::overwrite(head, &server.headers);
    rewrite::overwrite(head, headers);
    let server = ForModelServer::new(Arc::clone(&server.name));
    head.extensions.insert(server);
    Some(())
}

//! A request for one of the addresses of a host.

use std::net::SocketAddr;

use http::{request::Parts, uri::Authority};

use crate::config::Address;

/// Where to connect to: in the extensions of a request to one of several addresses of a name.
///
/// An endpoint that [resolves](crate::Endpoint::resolve) is one endpoint for each address. Over
/// `http` the request's URI has the address, so that any client goes there; `Host` is the name as
/// configured. Over `https` the URI has the name, since the certificate is for that, and only a
/// client that obeys this connects to the right address. `engine_client` (feature `client`) does,
/// and also uses the [name](Self::authority) in HTTP/2's `:authority`. A client of your own that
/// ignores it sends all `https` requests to an address that it resolves itself, whatever the
/// endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtAddress {
    socket: SocketAddr,
    authority: Authority,
}

impl AtAddress {
    /// Where to connect to.
    pub fn socket(&self) -> SocketAddr {
        self.socket
    }

    /// The host and the port as configured: what `Host`, `:authority` and TLS name.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Puts it into a request to such an endpoint.
    pub(super) fn mark(head: &mut Parts, to: &Address) {
        if let Some(at) = &to.at {
            let socket = at.socket;
            let authority = to.authority.clone();
            head.extensions.insert(Self { socket, authority });
        }
    }

    /// Takes that of an earlier attempt out.
    pub(super) fn forget(head: &mut Parts) {
        head.extensions.remove::<Self>();
    }
}

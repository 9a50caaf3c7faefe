//! Connection pools, one for each set of options.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use http::{Request, Uri, uri::Scheme};
use hyper_util::{
    client::legacy::{Client, ResponseFuture},
    rt::{TokioExecutor, TokioTimer},
};

use super::connector::{Connecting, Connector, Versions};
use crate::{
    attempt::RouteBody,
    pieces::lock,
    wire::{AtAddress, FreshConnection, rewrite},
};

/// The connections of this many addresses are kept apart; beyond that, those go that were
/// not used for the longest time.
const MOST: usize = 4096;

type Hyper = Client<Connector, RouteBody>;

/// The connections to all engines, except those for which an address of a name was chosen.
///
/// hyper keeps connections apart by what a URI names. Where the address is not what the URI has to
/// name, which TLS and HTTP/2 take from it, each address has a client of its own.
pub(super) struct Pools {
    common: Clients,
    options: Options,
    at: Mutex<HashMap<SocketAddr, At>>,
}

/// How connections are made and kept.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) connecting: Connecting,
    pub(super) idle_timeout: Duration,
}

struct Clients {
    pooled: Hyper,
    /// Keeps no connection.
    fresh: Hyper,
    /// Keeps none either, and speaks no HTTP/2, which has no `Upgrade` (RFC 9113 section 8.6).
    upgrading: Hyper,
}

/// Which connection a request wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    Fresh,
    Upgrading,
}

impl Wanted {
    fn by(request: &Request<RouteBody>) -> Self {
        if rewrite::asks_for_websocket(request.method(), request.headers()) {
            Self::Upgrading
        } else if request.extensions().get::<FreshConnection>().is_some() {
            Self::Fresh
        } else {
            Self::Any
        }
    }
}

struct At {
    clients: Clients,
    used: Instant,
}

impl Pools {
    pub(super) fn new(options: Options) -> Self {
        Self {
            common: options.clients(None),
            options,
            at: Mutex::default(),
        }
    }

    /// With the same options, and no connection yet.
    pub(super) fn empty(&self) -> Self {
        Self::new(self.options.clone())
    }

    /// Sends a request, whose URI then names what is to be spoken of. If it asks for a WebSocket, says
    /// also in what versions the engine is spoken to otherwise.
    pub(super) fn send(
        &self,
        mut request: Request<RouteBody>,
    ) -> (ResponseFuture, Option<Versions>) {
        let wanted = Wanted::by(&request);
        let upgrades = (wanted == Wanted::Upgrading).then_some(self.options.connecting.versions);
        let response = match self.address_of(&mut request) {
            Some(at) => self.at(at, wanted).request(request),
            None => self.common.of(wanted).request(request),
        };
        (response, upgrades)
    }

    /// The address to which only its own client connects.
    fn address_of(&self, request: &mut Request<RouteBody>) -> Option<SocketAddr> {
        let at = request.extensions().get::<AtAddress>()?;
        let is_plain = request.uri().scheme() == Some(&Scheme::HTTP);
        if is_plain && self.options.connecting.versions != Versions::Http2 {
            // The URI has the address, and Host the name.
            return None;
        }
        let (socket, authority) = (at.socket(), at.authority().clone());
        let mut parts = request.uri().clone().into_parts();
        parts.authority = Some(authority);
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        Some(socket)
    }

    fn at(&self, socket: SocketAddr, wanted: Wanted) -> Hyper {
        let now = Instant::now();
        let mut all = lock(&self.at);
        if let Some(at) = all.get_mut(&socket) {
            at.used = now;
            return at.clients.of(wanted).clone();
        }
        let clients = self.options.clients(Some(socket));
        // No connection of theirs is idle any more.
        all.retain(|_, at| now.saturating_duration_since(at.used) <= self.options.kept_for());
        if all.len() >= MOST {
            let last = all.iter().min_by_key(|(_, at)| at.used);
            if let Some(last) = last.map(|(socket, _)| *socket) {
                all.remove(&last);
            }
        }
        let client = clients.of(wanted).clone();
        all.insert(socket, At { clients, used: now });
        client
    }
}

impl Clients {
    fn of(&self, wanted: Wanted) -> &Hyper {
        match wanted {
            Wanted::Any => &self.pooled,
            Wanted::Fresh => &self.fresh,
            Wanted::Upgrading => &self.upgrading,
        }
    }
}

impl Options {
    fn clients(&self, at: Option<SocketAddr>) -> Clients {
        let connector = |versions| Connector::new(&self.connecting, versions, at);
        let versions = self.connecting.versions;
        let usual = connector(versions);
        Clients {
            pooled: self.client(usual.clone(), versions, !self.idle_timeout.is_zero()),
            fresh: self.client(usual, versions, false),
            upgrading: self.client(connector(Versions::Http1), Versions::Http1, false),
        }
    }

    fn client(&self, connector: Connector, versions: Versions, keeps_idle: bool) -> Hyper {
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.idle_timeout)
            .pool_max_idle_per_host(if keeps_idle { usize::MAX } else { 0 })
            .timer(TokioTimer::new())
            .http2_only(versions == Versions::Http2)
            .http2_max_header_list_size(HEADER_BYTES)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PONG_WITHIN)
            .build(connector)
    }

    /// How long the client of an address is kept that is not used: HTTP/2's connections are shared,
    /// and not idle while an answer is under way.
    fn kept_for(&self) -> Duration {
        self.idle_timeout.saturating_add(Duration::from_secs(60))
    }
}

/// As much as hyper reads of an HTTP/1.1 head.
const HEADER_BYTES: u32 = 8_192 + 4_096 * 100;
/// How much of an answer may wait in memory for its client: as much as of one over HTTP/1.1.
const STREAM_WINDOW: u32 = HEADER_BYTES;
/// The most that there can be (RFC 9113 section 6.9.1): clients that read nothing must not take the
/// window of the others on their connection.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// A connection on which requests wait is asked whether it is alive after this time of silence, and
/// given up if it does not say so within the other. Requests share it, so that each further one would
/// wait on a dead one, where over HTTP/1.1 it opens a new one.
const PING_AFTER: Duration = Duration::from_secs(15);
const PONG_WITHIN: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::client::tls::Certificates;

    fn pools(idle_timeout: Duration) -> Pools {
        Pools::new(Options {
            connecting: Connecting {
                tls: Certificates::default().config().unwrap(),
                timeout: Duration::from_secs(1),
                versions: Versions::Any,
            },
            idle_timeout,
        })
    }

    fn socket(n: usize) -> SocketAddr {
        (IpAddr::from((n as u32).to_be_bytes()), 80).into()
    }

    #[test]
    fn of_many_addresses_those_are_forgotten_that_were_not_used() {
        let pools = pools(Duration::from_secs(4));
        for n in 0..MOST {
            pools.at(socket(n), Wanted::Any);
        }
        pools.at(socket(0), Wanted::Any);
        pools.at(socket(MOST), Wanted::Any);
        let all = lock(&pools.at);
        let has = |n| all.contains_key(&socket(n));
        assert_eq!(all.len(), MOST);
        assert!(has(0) && !has(1) && has(2) && has(MOST));
    }
}

//! One address of a ModelServer's engines.

/// The address of an engine, with its weight among the endpoints of its
/// [`ModelServer`](crate::ModelServer).
///
/// A URI alone is an endpoint of weight 1, so a string can be used wherever an
/// endpoint is taken:
///
/// ```
/// use tower_model_route::{Endpoint, ModelServer};
///
/// let server = ModelServer::new("small")
///     .endpoint("http://10.0.0.7:8000")
///     .endpoint(Endpoint::new("http://10.0.0.8:8000").weight(3));
/// assert_eq!(server.get_endpoints()[0].get_weight(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[must_use]
pub struct Endpoint {
    uri: String,
    weight: u32,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "std::ops::Not::not"))]
    resolve: bool,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    zone: Option<String>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    name: Option<String>,
}

impl Endpoint {
    /// An endpoint of weight 1.
    ///
    /// `uri` is an absolute `http` or `https` URI. Its path, if it has one, is
    /// prepended to each request's path. User information, a query or a
    /// fragment is a mistake.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            weight: 1,
            resolve: false,
            zone: None,
            name: None,
        }
    }

    /// Its share of the load relative to its siblings: by default 1, at least 1.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Whether each address of its host name is an endpoint of its own. Off by default: then the
    /// HTTP client chooses among the addresses, and usually takes the first.
    ///
    /// Each address has this endpoint's weight, and its own counts, health and latency. In
    /// snapshots and answers it is named `http://engines:8000#10.0.0.7`. Requests to it keep the
    /// name in `Host` and TLS; see [`AtAddress`](crate::AtAddress) for clients other than
    /// `engine_client`.
    ///
    /// The addresses come from `Dns` (feature `dns`) or from
    /// [`RouteTableHandle::set_addresses`](crate::RouteTableHandle::set_addresses). Until they are
    /// known, the name is one endpoint, as without this. It has no effect on a host that is an IP
    /// address.
    pub fn resolve(mut self, on: bool) -> Self {
        self.resolve = on;
        self
    }

    /// The zone that it is in, such as `eu-1a`: by default none is known.
    ///
    /// It matters if the ModelServer [prefers](crate::TrafficPolicy::prefer_zone) the gateway's
    /// [own zone](crate::RouteTableBuilder::zone).
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// A name for people, such as that of its Pod. By default it has none.
    ///
    /// It is shown beside the URI, and has one other effect: if a new table has another name for
    /// the same URI, that is a different process, which does not take over the old one's health,
    /// counts and latency. If several ModelServers have the URI, the first name counts. An empty
    /// name is none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// The URI as it was given.
    pub fn get_uri(&self) -> &str {
        &self.uri
    }

    /// The weight.
    pub fn get_weight(&self) -> u32 {
        self.weight
    }

    /// The zone that it is in, if that is known.
    pub fn get_zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Its name for people, if it has one.
    pub fn get_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether each address of its host name is an endpoint of its own.
    pub fn get_resolve(&self) -> bool {
        self.resolve
    }
}

impl From<&str> for Endpoint {
    fn from(uri: &str) -> Self {
        Self::new(uri)
    }
}

impl From<String> for Endpoint {
    fn from(uri: String) -> Self {
        Self::new(uri)
    }
}

impl From<&String> for Endpoint {
    fn from(uri: &String) -> Self {
        Self::new(uri)
    }
}

//! Resolvers of names.

use std::{error::Error, net::IpAddr, time::Duration};

/// Finds the addresses of a host name for [`Dns`](crate::Dns).
///
/// ```
/// use std::{collections::HashMap, error::Error, net::IpAddr};
/// use tower_model_route::{Resolve, Resolved};
///
/// /// Knows what it was told.
/// struct Known(HashMap<String, Vec<IpAddr>>);
///
/// impl Resolve for Known {
///     async fn resolve(&self, host: &str) -> Result<Resolved, Box<dyn Error + Send + Sync>> {
///         let addresses = self.0.get(host).ok_or("no such host")?;
///         Ok(Resolved::new(addresses.iter().copied()))
///     }
/// }
/// ```
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`, in any order.
    ///
    /// It may take as long as [`Dns::timeout`](crate::Dns::timeout). An error, or an answer
    /// without addresses, leaves the endpoints as they are.
    fn resolve(
        &self,
        host: &str,
    ) -> impl Future<Output = Result<Resolved, Box<dyn Error + Send + Sync>>> + Send;
}

/// What a name has resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Resolved {
    addresses: Vec<IpAddr>,
    time_to_live: Option<Duration>,
}

impl Resolved {
    /// These addresses; the name is resolved again after [`Dns::interval`](crate::Dns::interval).
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            addresses: addresses.into_iter().collect(),
            time_to_live: None,
        }
    }

    /// How long the answer is valid: the name is resolved again after this time instead of the
    /// interval, but at the earliest after a second and at the latest after five minutes.
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = Some(time);
        self
    }

    /// The addresses.
    pub fn get_addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// How long the answer is valid, if that is known.
    pub fn get_time_to_live(&self) -> Option<Duration> {
        self.time_to_live
    }
}

/// The machine's resolver (`getaddrinfo`), with its hosts file and search list; it does not say how
/// long an answer is valid. Each look-up occupies a thread of tokio's blocking pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> Result<Resolved, Box<dyn Error + Send + Sync>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(Resolved::new(found.map(|socket| socket.ip())))
    }
}

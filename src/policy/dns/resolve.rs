//! Who resolves names.

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
    /// It is given the time of [`Dns::timeout`](crate::Dns::timeout). An error, and an answer
    /// without addresses, leave the endpoints as they are.
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
    /// These addresses; when the name is resolved again, [`Dns::interval`](crate::Dns::interval) says.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            addresses: addresses.into_iter().collect(),
            time_to_live: None,
        }
    }

    /// For how long it holds: the name is resolved again after this time in place of the interval,
    /// but after a second at the earliest and five minutes at the latest.
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = Some(time);
        self
    }

    /// The addresses.
    pub fn get_addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// For how long it holds, if that is known.
    pub fn get_time_to_live(&self) -> Option<Duration> {
        self.time_to_live
    }
}

/// The machine's resolver (`getaddrinfo`), with its hosts file and search list; it does not say for
/// how long an answer holds. Each look-up occupies a thread of tokio's pool for blocking tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> Result<Resolved, Box<dyn Error + Send + Sync>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(Resolved::new(found.map(|socket| socket.ip())))
    }
}

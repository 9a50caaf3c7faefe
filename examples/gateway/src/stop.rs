//! What happens once the gateway is asked to stop.

use std::{collections::HashMap, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower_model_route::{RedisStore, RouteTableHandle, ServerSnapshot, Tunnels};

use crate::{health::Health, print::log, serving::Serving, signals::Signals};

/// How long Redis may take for what it has not been told yet.
const SETTLING: Duration = Duration::from_secs(2);

/// Waits for a signal, and ends when what is in flight has had its time.
///
/// First it goes on as before for the drain delay, with `/readyz` at 503: a load balancer learns of
/// that by its next probe, and a cluster's proxies by the next EndpointSlice, and until then both
/// send requests here, which must not meet a closed port. Then it stops what listens to `stop`.
/// A second signal ends it at once.
pub(crate) async fn time_is_up(
    stop: &CancellationToken,
    mut signals: Signals,
    health: &Health,
    in_flight: &InFlight,
    serving: &Serving,
) {
    signals.next().await;
    health.leave();
    let drain = serving.drain.as_secs();
    log(&match in_flight.count() {
        0 => "Stopping.".to_owned(),
        count => format!("Stopping, {count} in flight: {drain} s to finish."),
    });
    let in_order = async {
        sleep(serving.drain_delay).await;
        stop.cancel();
        sleep(serving.drain).await;
        settled().await;
    };
    tokio::select! {
        () = in_order => {}
        () = signals.next() => {}
    }
}

/// Waits until what ended requests have used is settled in Redis, if that answers in time.
pub(crate) async fn settled() {
    _ = timeout(SETTLING, RedisStore::settled()).await;
}

/// The last words.
pub(crate) fn stopped(in_flight: &InFlight) {
    log(&match in_flight.count() {
        0 => "Stopped.".to_owned(),
        cut => format!("Stopped, with {cut} in flight cut."),
    });
}

/// What is under way to engines.
pub(crate) struct InFlight {
    pub(crate) table: RouteTableHandle,
    pub(crate) tunnels: Tunnels,
}

impl InFlight {
    /// Returns once there is nothing, also of those whose connections have been handed over, such
    /// as WebSockets.
    pub(crate) async fn none(&self) {
        while self.count() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// As far as is known: of the endpoints that a reload has removed it is the WebSockets only, and
    /// those in place of others, since it is not known which are whose.
    fn count(&self) -> usize {
        let servers = self.table.table().servers();
        let endpoints = servers.iter().flat_map(ServerSnapshot::endpoints);
        // ModelServers share the endpoints that they have in common.
        let counts: HashMap<_, _> = endpoints
            .map(|endpoint| (endpoint.uri(), endpoint.in_flight()))
            .collect();
        self.tunnels.count().max(counts.values().sum())
    }
}

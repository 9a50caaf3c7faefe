//! What happens once the gateway is asked to stop.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower_model_route::{RouteTableHandle, ServerSnapshot};

use crate::{health::Health, print::log, serving::Serving, signals::Signals};

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
    table: &RouteTableHandle,
    serving: &Serving,
) {
    signals.next().await;
    health.leave();
    let drain = serving.drain.as_secs();
    log(match in_flight(table) {
        0 => "Stopping.".to_owned(),
        count => format!("Stopping, {count} in flight: {drain} s to finish."),
    });
    let in_order = async {
        sleep(serving.drain_delay).await;
        stop.cancel();
        sleep(serving.drain).await;
    };
    tokio::select! {
        () = in_order => {}
        () = signals.next() => {}
    }
}

/// Also those whose connections have been handed over, such as WebSockets.
pub(crate) async fn all_answered(table: &RouteTableHandle) {
    while in_flight(table) > 0 {
        sleep(Duration::from_millis(20)).await;
    }
}

/// The last words.
pub(crate) fn stopped(table: &RouteTableHandle) {
    log(match in_flight(table) {
        0 => "Stopped.".to_owned(),
        cut => format!("Stopped, with {cut} in flight cut."),
    });
}

fn in_flight(table: &RouteTableHandle) -> usize {
    let servers = table.table().servers();
    servers.iter().map(ServerSnapshot::in_flight).sum()
}

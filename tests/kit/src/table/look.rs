//! Snapshots of a table's endpoints.

use std::collections::HashMap;

use tower_model_route::{EndpointSnapshot, RouteTable};

/// The requests in flight to all endpoints.
pub fn in_flight(table: &RouteTable) -> usize {
    let servers = table.servers();
    let endpoints = servers.iter().flat_map(|server| server.endpoints());
    // Several servers may share one.
    let each: HashMap<&str, usize> = endpoints
        .map(|endpoint| (endpoint.uri(), endpoint.in_flight()))
        .collect();
    each.values().sum()
}

/// The failures of all endpoints.
pub fn failures(table: &RouteTable) -> u64 {
    let servers = table.servers();
    let endpoints = servers.iter().flat_map(|server| server.endpoints());
    endpoints.map(|endpoint| endpoint.failures()).sum()
}

/// The endpoint of this URI.
#[track_caller]
pub fn endpoint(table: &RouteTable, uri: &str) -> EndpointSnapshot {
    let servers = table.servers();
    let mut endpoints = servers.iter().flat_map(|server| server.endpoints());
    endpoints
        .find(|endpoint| endpoint.uri() == uri)
        .unwrap()
        .clone()
}

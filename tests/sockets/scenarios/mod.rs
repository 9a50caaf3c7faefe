//! The four scenarios: a client, the gateway, and mock engines behind it.
//!
//! Each runs through axum's server and through bare hyper, from clients that speak HTTP/1.1
//! and h2c, to engines that are asked over HTTP/1.1.

mod ask;
mod engines;
mod gateway;

mod adapters;
mod all_at_once;
mod cancelled;
mod event_by_event;
mod one_name;
mod premium_users;
mod weights;

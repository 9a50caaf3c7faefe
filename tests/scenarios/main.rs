//! The four scenarios on real sockets: a client, the gateway, and mock engines behind it.
//!
//! Each runs through axum's server and through bare hyper, from clients that speak HTTP/1.1
//! and h2c, to engines that are asked over HTTP/1.1.

mod ask;
mod cancel;
mod concurrent;
mod engines;
mod event_by_event;
mod gateway;
mod header;
mod lora;
mod simple;
mod weighted;

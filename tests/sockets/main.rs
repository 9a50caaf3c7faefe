//! Real sockets on loopback, and real time.
//!
//! Each module is named after what it shows to be so; `tests/PROMISES.md` says where that is
//! promised. What they share is in `tests/kit`.

mod adapters;
#[cfg(feature = "admin")]
mod admin;
mod client;
mod failover;
mod limits;
mod reload;
mod reported;
mod scenarios;
mod uploads;
mod websockets;
mod wire;

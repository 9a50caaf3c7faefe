//! Failover: what is tried again and where, health, time limits, limits on load.
//!
//! Most of it without sockets and without real time: the engines are scripts, and the clock is
//! paused. `sockets` is on loopback, with engines that die, hang, reset and stall.

mod kit;
mod script;

mod answers;
mod budget;
mod capacity;
mod deadlines;
mod ejection;
mod fallbacks;
mod health_check;
mod layers;
mod models;
mod order;
mod properties;
mod queue;
mod retries;
mod retry_after;
mod silence;
mod sockets;
mod split;
mod stack;
mod uploads;

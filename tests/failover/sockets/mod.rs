//! On loopback: engines that die under load, hang, reset, refuse and stall.

mod engine;
mod gateway;
mod killed;
mod single;

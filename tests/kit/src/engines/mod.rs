//! Engines without sockets, each of which follows its script.

mod act;
mod attempt;
mod scripted;
mod service;

pub use act::{Act, answers, fails, resets, says, status, streams, times_out};
pub use attempt::Attempt;
pub use scripted::Engines;
pub use service::EngineService;

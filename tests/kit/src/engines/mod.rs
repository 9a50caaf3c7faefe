//! Engines without sockets: each does with a request what a test has told it to.

mod act;
mod attempt;
mod scripted;
mod service;

pub use act::{Act, answers, fails, says, status, times_out};
pub use attempt::Attempt;
pub use scripted::Engines;
pub use service::EngineService;

//! Bodies that a test writes and reads.

mod read;
mod script;
mod scripted;

pub use read::{read_on, text};
pub use script::{Script, script, script_of};
pub use scripted::{Scripted, Step};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

//! Bodies that a test writes and reads.

mod read;
mod script;

pub use read::{read_on, text};
pub use script::{Script, Scripted, Step, script, script_of};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

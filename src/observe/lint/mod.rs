//! Warnings about configurations that are valid but probably not what was meant.

mod limits;
mod names;
mod reach;
mod regex;
mod servers;
mod streams;
mod table;
mod times;
mod warning;

pub use self::warning::{Lint, LintKind};

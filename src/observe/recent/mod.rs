//! What a gateway has done in the last minute, for the admin view: in bounded memory, without a lock
//! that a request waits for.
//!
//! - [`histogram`]: durations, and their percentiles.
//! - [`ring`]: the last minute of anything, in slots.
//! - [`figures`]: what a request counts in.
//! - [`rows`]: the figures of each route and ModelServer that the table has.
//! - [`recorder`]: the observer.
//! - [`json`]: it as JSON.

mod figures;
mod histogram;
mod json;
mod recorder;
mod ring;
mod rows;

pub(super) use self::json::RecentJson;
pub use self::recorder::Recent;

//! Replacing the table while requests are under way.

mod changed_at_run_time;
#[cfg(feature = "watch")]
mod files_are_watched;
mod queue_follows_the_table;
mod state_is_carried_over;
#[cfg(feature = "manifest")]
mod unchanged_is_shared;

//! Several replicas, many Pods, many changes.

mod memory_is_flat;
mod replicas_agree;
mod rolled_under_load;

/// Those that need the machine for themselves come one after the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

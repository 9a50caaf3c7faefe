//! Uploads that are forwarded while they arrive, with every cut and every pause chosen.

mod forward;

mod clones_send_the_same;
mod forwarded_once_named;
mod memory_is_bounded;
mod never_half_rewritten;
mod only_client_time_counts;
mod rest_is_drained;
mod total_is_bounded;

//! What one applies to a cluster.

mod every_file_is_valid;
mod rights_are_enough;

//! Replacing the table while requests are under way.

mod carried;
mod kit;
mod load;
mod watch;

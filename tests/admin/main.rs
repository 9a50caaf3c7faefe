//! The admin view: its page, its JSON, explanations, and what it refuses.

mod auto_traits;
mod explain;
mod mounted;
mod page;
mod routes;
mod support;

//! The admin view: its page, its JSON, explanations, and what it refuses.

mod explain;
mod mounted;
mod page;
mod routes;
mod support;

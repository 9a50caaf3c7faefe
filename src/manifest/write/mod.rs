//! Writing: from a table to manifests.

mod document;
mod limits;
mod names;
mod policy;
mod route;
mod server;
mod table;

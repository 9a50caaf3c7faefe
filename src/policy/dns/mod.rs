//! Endpoints with several addresses: names are resolved, again and again.

mod names;
mod options;
mod resolve;

pub use self::{
    options::{Dns, DnsHandle},
    resolve::{Resolve, Resolved, SystemResolver},
};

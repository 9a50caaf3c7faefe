//! Endpoints of several addresses: names resolved, and resolved again.

mod names;
mod options;
mod resolve;

pub use self::{
    options::{Dns, DnsHandle},
    resolve::{Resolve, Resolved, SystemResolver},
};

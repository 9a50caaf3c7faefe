//! The admin view: the table, the state of its engines, and why a request goes where it goes.

mod access;
mod answer;
mod asked;
mod body;
mod cordon;
mod future;
mod lints;
mod page;
mod question;
mod reading;
mod rest;
mod service;
mod view;

pub use self::{body::AdminBody, future::AdminFuture, service::Admin};

//! The client's side: receiving a request body within limits, and forwarding it as it arrives.

mod drain;
mod inbound;
mod kept;
mod memory;
mod pace;
mod receive;
mod shared;
mod trailers;
mod wait;

pub(crate) use self::{
    drain::{Drain, DrainLimits},
    inbound::{Inbound, Limits, receive},
    memory::{Memory, Share},
    pace::Pace,
    receive::{Buffering, Receive, Received, Refused},
    shared::{Reader, Upload},
    trailers::{may_be_trailer, retain_trailers},
};

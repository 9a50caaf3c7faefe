//! The bodies: receiving the request's, forwarding it, streaming the answer.

mod chunks;
mod inbound;
mod kept;
mod receive;
mod request;
mod response;
mod silence;
mod splice;
mod upload;
mod wait;

pub(crate) use self::{
    chunks::Chunks,
    inbound::{Inbound, Limits, receive},
    receive::{Buffering, Receive, Received},
    response::Held,
    splice::{Edit, Edits, Splice},
    upload::Upload,
};
pub use self::{request::RouteBody, response::ResponseBody};

//! The bodies: reading the request's, forwarding it, streaming the answer.

mod buffer;
mod receive;
mod request;
mod response;

pub(crate) use self::{buffer::Received, receive::Receive, response::Held};
pub use self::{request::RouteBody, response::ResponseBody};

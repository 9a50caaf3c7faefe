//! The bodies: reading the request's, forwarding it, streaming the answer.

mod buffer;
mod receive;
mod request;
mod response;

use self::buffer::BodyBuffer;
pub(crate) use self::{receive::Receive, response::Held};
pub use self::{request::RouteBody, response::ResponseBody};

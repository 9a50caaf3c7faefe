//! Loopback: clients and engines down to the bytes, and gateways between them.
//!
//! The clients and the engines are written by hand, so that every byte can be chosen on one side
//! and seen on the other, and so that no library's leniency hides what the gateway sends.

mod between;
mod bytes;
mod h2;
mod halves;
mod head;
mod http;
mod message;
mod parser;
mod peer;
mod reply;
mod retry;
mod server;
mod stacked;
mod upstream;
mod wire;

pub use between::Between;
pub use bytes::{
    LAST_CHUNK, chunk, chunked_head, head, head_with_length, post, post_chunked, post_to, post_with,
};
pub use h2::{H2Body, H2Client, frames, h2_post, whole};
pub use halves::{Reader, Writer};
pub use http::{HttpClient, http_client};
pub use message::{Framing, Kind, Message, latin1};
pub use parser::Parser;
pub use peer::Peer;
pub use reply::Reply;
pub use server::Server;
pub use stacked::Stacked;
pub use upstream::Upstream;
pub use wire::Wire;

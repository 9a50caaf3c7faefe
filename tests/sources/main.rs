//! The places where a request names its model, each from the client's request to the engine's.

mod custom;
mod duplicates;
mod header;
mod kit;
mod multipart;
mod path;
mod realtime;

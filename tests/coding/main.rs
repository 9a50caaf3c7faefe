//! Compressed request bodies, from the client's request to the engine's.

mod bombs;
mod codecs;
mod custom;
mod damaged;
mod duplicates;
mod forwarded;
mod kit;
mod members;
mod memory;
mod multipart;
mod pieces;
mod retried;
mod unsupported;

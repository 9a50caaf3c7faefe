//! How 64 bytes become bitmasks, as fast as this machine can.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod machine;
pub(super) mod questions;
#[cfg(target_arch = "x86_64")]
mod sse2;

pub(super) use self::machine::Machine;

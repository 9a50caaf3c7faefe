//! Which endpoint of a ModelServer takes the next request.

pub(super) mod affinity;
pub(super) mod balancer;
pub(super) mod ewma;
mod ring;
mod shares;

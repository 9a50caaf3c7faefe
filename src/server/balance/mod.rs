//! Which endpoint of a ModelServer takes the next request.

mod affinity;
pub(super) mod balancer;
pub(super) mod ewma;
mod prefixes;
pub(super) mod prompt;
mod ring;
pub(super) mod scene;
mod scoring;
mod shares;
#[cfg(test)]
mod tests;

//! Buckets that are kept outside of the process.

use std::{error::Error, fmt, pin::Pin, sync::Arc, time::Duration};

use crate::error::BoxError;

/// What a [`LimitStore`] answers, when it does.
pub type StoreFuture = Pin<Box<dyn Future<Output = Result<Vec<StoreLevel>, BoxError>> + Send>>;

/// Keeps the buckets of limits where several gateways can share them.
///
/// The crate has one for Redis (feature `redis`). For another, implement this and give it to
/// [`ModelRouteLayer::limit_store`](crate::ModelRouteLayer::limit_store).
///
/// A bucket holds [`capacity`](StoreTake::capacity) units and fills evenly, all of it in
/// [`period`](StoreTake::period); one that is not known is full. It may hold less than nothing.
pub trait LimitStore: fmt::Debug + Send + Sync + 'static {
    /// Takes what one request asks for, and says of each bucket, in their order, what is left.
    ///
    /// If one that is [`enforced`](StoreTake::enforced) does not hold what is asked of it, nothing
    /// is taken from any. One that is not enforced is taken from if it holds enough.
    ///
    /// The gateway waits for 50 ms at the most, and then drops the future. After a failure the
    /// store is left alone for a second.
    fn reserve(&self, takes: Arc<[StoreTake]>) -> StoreFuture;

    /// Takes the [`amount`](StoreTake::amount) whatever is left, or gives it back if it is
    /// negative: a bucket never holds more than its capacity.
    ///
    /// It is called when an answer ends, also from `Drop`: it must not block.
    fn settle(&self, take: StoreTake);
}

/// What is asked of a bucket in a [`LimitStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreTake {
    /// The bucket's name. What all limits of a ModelRoute share stands in braces, so that Redis
    /// Cluster keeps them together. What a client sent is in it only as a hash.
    pub key: Arc<str>,
    /// How much it holds.
    pub capacity: u64,
    /// In which time it fills.
    pub period: Duration,
    /// How much is asked for.
    pub amount: i64,
    /// Whether the request may go on only if there is so much.
    pub enforced: bool,
}

/// What a bucket in a [`LimitStore`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreLevel {
    /// Whether it held what was asked for.
    pub fits: bool,
    /// What it holds now; below zero in debt.
    pub left: i64,
}

impl StoreLevel {
    /// A bucket that held what was asked for, or did not, and holds this now.
    pub fn new(fits: bool, left: i64) -> Self {
        Self { fits, left }
    }
}

/// A [`LimitStore`] fails with it where only the buckets that it was asked for are at fault: it
/// goes on being asked for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnusableBucket;

impl fmt::Display for UnusableBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key of a limit holds something else")
    }
}

impl Error for UnusableBucket {}

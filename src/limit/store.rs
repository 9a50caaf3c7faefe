//! Buckets that are kept outside of the process.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use crate::error::BoxError;

/// The future of a [`LimitStore`]'s answer.
pub type StoreFuture = Pin<Box<dyn Future<Output = Result<Vec<StoreLevel>, BoxError>> + Send>>;

/// Keeps the buckets of limits where several gateways can share them.
///
/// The crate has one for Redis (feature `redis`). For another, implement this and give it to
/// [`ModelRouteLayer::limit_store`](crate::ModelRouteLayer::limit_store).
///
/// A bucket holds [`capacity`](StoreTake::capacity) units and refills evenly, completely in one
/// [`period`](StoreTake::period). An unknown bucket is full. Its level may be below zero.
pub trait LimitStore: fmt::Debug + Send + Sync + 'static {
    /// Takes what one request asks for, and returns for each bucket, in order, what is left.
    ///
    /// If an [`enforced`](StoreTake::enforced) bucket does not hold the amount, nothing is taken
    /// from any. From one that is not enforced, the amount is taken if it holds enough. One that
    /// the store can't use is [`Unusable`](StoreLevel::Unusable), and changes nothing for the
    /// others.
    ///
    /// A request waits for at most 50 ms. If it then goes on without an answer, or its client has
    /// left, a task polls the future for another 5 s, and gives back what was taken through
    /// [`settle`](Self::settle). After a failure the store is not asked for a second.
    fn reserve(&self, takes: Arc<[StoreTake]>) -> StoreFuture;

    /// Takes the [`amount`](StoreTake::amount), whatever is left, or gives it back if it
    /// is negative. A bucket never holds more than its capacity.
    ///
    /// It is called when an answer ends, sometimes from `Drop`, so it must not
    /// block.
    fn settle(&self, take: StoreTake);
}

/// What is asked of a bucket in a [`LimitStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreTake {
    /// The bucket's name. What all limits of a ModelRoute share is in braces, so that Redis
    /// Cluster keeps them together. What a client sent is in it only as a hash.
    pub key: Arc<str>,
    /// How much it holds.
    pub capacity: u64,
    /// The time in which it refills.
    pub period: Duration,
    /// How long it is remembered from now on even if it is full earlier: zero, except for
    /// Kthena's. Until it is full it is always remembered.
    pub kept: Duration,
    /// How much is asked for.
    pub amount: i64,
    /// Whether the request may go on only if the bucket holds this much.
    pub enforced: bool,
}

/// What a [`LimitStore`] says about a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreLevel {
    /// It held the amount, and holds this now.
    Fits(i64),
    /// It did not hold the amount, and holds this; below zero in debt.
    Short(i64),
    /// The store answers, but can't use this bucket, for example because something else has its
    /// name. Its limit follows its [`on_store_failure`](crate::RateLimit::on_store_failure).
    Unusable,
}

impl StoreTake {
    /// An enforced take of `amount` from a bucket that holds `capacity`, refills in `period`, and
    /// is not kept for longer than that. The layer makes these itself; this is for testing your
    /// own store.
    pub fn new(key: &str, capacity: u64, period: Duration, amount: i64) -> Self {
        Self {
            key: key.into(),
            capacity,
            period,
            kept: Duration::ZERO,
            amount,
            enforced: true,
        }
    }

    /// The same, given back.
    pub(super) fn given_back(&self) -> Self {
        Self {
            amount: self.amount.saturating_neg(),
            ..self.clone()
        }
    }
}

/// Whether a store that has answered so has taken nothing.
pub(super) fn is_refused(takes: &[StoreTake], levels: &[StoreLevel]) -> bool {
    let mut answers = takes.iter().zip(levels);
    answers.any(|(take, level)| take.enforced && matches!(level, StoreLevel::Short(_)))
}

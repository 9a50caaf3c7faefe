//! Buckets that are kept outside of the process.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

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
    /// is taken from any. One that is not enforced is taken from if it holds enough. One that the
    /// store can't use is [`Unusable`](StoreLevel::Unusable), and changes nothing for the others.
    ///
    /// A request waits for 50 ms at the most. If it has gone on then, or its client has left, a task
    /// polls the future for 5 s more, and gives back by [`settle`](Self::settle) what was taken.
    /// After a failure the store is left alone for a second.
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
    /// The bucket's name. What all limits of a ModelRoute share is in braces, so that Redis
    /// Cluster keeps them together. What a client sent is in it only as a hash.
    pub key: Arc<str>,
    /// How much it holds.
    pub capacity: u64,
    /// In which time it fills.
    pub period: Duration,
    /// How long it is remembered after this, if it fills earlier: not at all, but for Kthena's.
    /// While it fills it is remembered in any case.
    pub kept: Duration,
    /// How much is asked for.
    pub amount: i64,
    /// Whether the request may go on only if there is so much.
    pub enforced: bool,
}

/// What a [`LimitStore`] says of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreLevel {
    /// It held what was asked for, and holds this now.
    Fits(i64),
    /// It did not, and holds this; below zero in debt.
    Short(i64),
    /// The store answers, but can't use this bucket: something else has its name, say. Its limit
    /// follows its [`on_store_failure`](crate::RateLimit::on_store_failure).
    Unusable,
}

impl StoreTake {
    /// So much of a bucket that holds `capacity` and fills in `period`, enforced, and not kept for
    /// longer than it fills. The layer makes them; this is for trying your own store.
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

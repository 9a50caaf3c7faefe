//! Limits on what requests may use: buckets, where they are kept, and what a request takes of them.
//!
//! A [`RateLimit`](crate::RateLimit) becomes a [`LiveLimit`] in the table. When a request's route is
//! decided, the gateway names the [`Asked`] of each, and [`Asked::reserve`] takes all or nothing: it gives a
//! [`Reservation`], or a [`Refusal`]. The reservation is settled when the request ends.
//!
//! - [`bucket`]: one bucket in memory, a word and a clock.
//! - [`keyed`]: the buckets of a limit with keys, bounded.
//! - [`estimate`]: how much a request will probably use.
//! - [`reservation`]: what a request has taken, and how it is settled.
//! - [`standing`]: what is left, as answers say it.
//! - [`store`]: buckets that are kept elsewhere.
//! - [`bindings`]: bindings of sessions that are kept where buckets can be.

mod bindings;
mod bucket;
mod estimate;
mod keyed;
mod live;
#[cfg(feature = "redis")]
mod redis;
mod reservation;
mod shared;
mod standing;
mod store;

#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
#[cfg(feature = "redis")]
pub(crate) use self::redis::{SessionStore, store_of};
pub use self::store::{LimitStore, StoreFuture, StoreLevel, StoreTake};
#[cfg(not(feature = "redis"))]
pub(crate) use self::{bindings::SessionStore, shared::store_of};
pub(crate) use self::{
    bindings::{Bind, Bound},
    estimate::{BYTES_PER_TOKEN, Estimate, Estimates, TYPICAL_OUTPUT},
    live::{Left, LiveLimit},
    reservation::{Asked, LimitDecision, Pending, Refusal, Reservation, Spent, Used, Verdict},
    shared::SharedStore,
    standing::Standings,
};

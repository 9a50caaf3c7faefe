//! Guides: what the documentation of single items can't tell.
//!
//! | guide | what it tells |
//! |---|---|
//! | [`semantics`] | what happens to a request, rule by rule; every status and error code |
//! | [`layer_order`] | which layer goes where, and why; layers of your own; names for the service |
//! | [`mounting`] | axum's `fallback_service`, `route_service` and `nest_service`; bare hyper |
//! | [`extractors`] | reading the model out of an API of your own |
//! | [`operating`] | TLS and keys, discovery, reload, health checks, what to watch, capacity |
//! | [`engines`] | what is known of an engine's load and from where, what each signal costs, when to use it |
//! | [`balancing`] | which balance for what, what each counts, keys, prefix caches, figures |
//! | [`observing`] | observers, metrics and their labels, the access log, spans, usage |
//! | [`limits`] | token and request limits: what a request costs, tenants, Redis, Kthena's |
//! | [`addresses`] | host names of several addresses: each an endpoint; clients, TLS; zones |
//! | [`adapters`] | LoRA adapters where they are loaded, loading them, contexts of different lengths |
//! | [`streams`] | when a streamed attempt counts, what is progress, how the client learns of the end |
//! | [`sessions`] | which requests belong together, what an engine keeps, requests without a model |
//! | [`kthena`] | moving from Kthena Router, field by field |
//! | [`scale`] | large clusters: what a new table, memory and watches cost, what replicas agree on |
//! | [`kubernetes`] | a gateway in a cluster: beside Kthena, then instead of it; rights, probes, replicas |

#[doc = include_str!("../docs/guides/adapters.md")]
pub mod adapters {}

#[doc = include_str!("../docs/guides/addresses.md")]
pub mod addresses {}

#[doc = include_str!("../docs/guides/balancing.md")]
pub mod balancing {}

#[doc = include_str!("../docs/guides/engines.md")]
pub mod engines {}

#[doc = include_str!("../docs/guides/extractors.md")]
pub mod extractors {}

#[doc = include_str!("../docs/guides/kthena.md")]
pub mod kthena {}

#[doc = include_str!("../docs/guides/kubernetes.md")]
pub mod kubernetes {}

#[doc = include_str!("../docs/guides/layer_order.md")]
pub mod layer_order {}

#[doc = include_str!("../docs/guides/limits.md")]
pub mod limits {}

#[doc = include_str!("../docs/guides/mounting.md")]
pub mod mounting {}

#[doc = include_str!("../docs/guides/observing.md")]
pub mod observing {}

#[doc = include_str!("../docs/guides/operating.md")]
pub mod operating {}

#[doc = include_str!("../docs/guides/scale.md")]
pub mod scale {}

#[doc = include_str!("../docs/guides/semantics.md")]
pub mod semantics {}

#[doc = include_str!("../docs/guides/sessions.md")]
pub mod sessions {}

#[doc = include_str!("../docs/guides/streams.md")]
pub mod streams {}

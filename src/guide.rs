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

/// Documents a module for each guide. In the guides, links to another guide name its file, so that
/// they work on GitHub; of two definitions of a link the first counts, so here those of
/// `guide_links.md` do.
macro_rules! guides {
    ($($name:ident)*) => {
        $(
            #[doc = include_str!("../docs/guide_links.md")]
            #[doc = include_str!(concat!("../docs/guides/", stringify!($name), ".md"))]
            pub mod $name {}
        )*
    };
}

guides! {
    adapters
    addresses
    balancing
    engines
    extractors
    kthena
    kubernetes
    layer_order
    limits
    mounting
    observing
    operating
    scale
    semantics
    sessions
    streams
}

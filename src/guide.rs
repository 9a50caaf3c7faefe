//! Guides: what does not fit into the documentation of single items.
//!
//! | guide | what it covers |
//! |---|---|
//! | [`semantics`] | what happens to a request, rule by rule; every status and error code |
//! | [`layer_order`] | which layer goes where, and why; layers of your own; names for the service |
//! | [`mounting`] | axum's `fallback_service`, `route_service` and `nest_service`; bare hyper |
//! | [`extractors`] | reading the model out of an API of your own |
//! | [`operating`] | TLS and keys, discovery, reload, health checks, what to watch, capacity |
//! | [`engines`] | what is known about an engine's load and from where, what each signal costs, when to use it |
//! | [`balancing`] | which balance for what, what each counts, keys, prefix caches, figures |
//! | [`observing`] | observers, metrics and their labels, the access log, spans, usage |
//! | [`limits`] | token and request limits: what a request costs, tenants, Redis, sharing with Kthena |
//! | [`addresses`] | host names with several addresses, each an endpoint; clients and TLS; zones |
//! | [`adapters`] | sending LoRA adapters' requests to engines that have them, loading adapters, contexts of different lengths |
//! | [`streams`] | when a streamed attempt counts as a success, what is progress, how the client learns of a broken stream |
//! | [`sessions`] | sticky sessions, objects that an engine keeps, requests without a model |
//! | [`kthena`] | moving from Kthena Router, field by field |
//! | [`scale`] | large clusters: the cost of a new table, memory and watches; what replicas agree on |
//! | [`kubernetes`] | a gateway in a cluster, beside Kthena, then instead of it: permissions, probes, replicas |

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

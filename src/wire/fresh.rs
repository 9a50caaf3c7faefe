//! A request for a connection of its own.

/// In a request's extensions: send it on a fresh connection, never on one that has been idle.
///
/// The layers add it when they send a request again because its first connection turned out to be
/// stale, since other pooled connections often are too; and when the engine closed the connection
/// without processing the request, and no other engine can take it. `engine_client` (feature
/// `client`) obeys it; other clients can ignore it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FreshConnection;

//! A request for a connection of its own.

/// In a request's extensions: it is to be sent on a fresh connection, never on one that has been
/// idle.
///
/// The layers put it there when they send a request again because its first connection turned
/// out to be stale: its neighbours in the client's pool often are too. So they do where the engine
/// has given up the connection without processing the request, and no other engine can take it. `engine_client` (feature
/// `client`) obeys it; clients that don't know it are not disturbed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FreshConnection;

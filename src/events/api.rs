//! The API that a client speaks.

use http::{Method, request::Parts};

use super::dialect::Dialect;
use crate::error::Shape;

/// What the client's own head says about the answer. (Later the path is the engine's, with the prefix
/// of its endpoint.)
#[derive(Clone, Copy, Debug)]
pub(crate) struct Api {
    /// That of its errors.
    pub(crate) shape: Shape,
    /// That of its streams.
    pub(crate) dialect: Dialect,
    /// Whether the answer may be a generation: only a POST asks for one. What a GET reads out has
    /// begun long ago.
    pub(crate) generates: bool,
}

impl Api {
    /// The shape of errors is known before.
    pub(crate) fn of(shape: Shape, head: &Parts) -> Self {
        Self {
            shape,
            dialect: Dialect::in_shape(shape, head.uri.path()),
            generates: head.method == Method::POST,
        }
    }
}

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
    /// begun long ago, and below the path of a generation tokens are counted, and responses cancelled.
    pub(crate) generates: bool,
}

impl Api {
    /// The shape of errors is known before.
    pub(crate) fn of(shape: Shape, head: &Parts) -> Self {
        let path = head.uri.path();
        let dialect = Dialect::in_shape(shape, path);
        Self {
            shape,
            dialect,
            generates: head.method == Method::POST && !is_below_generations(dialect, path),
        }
    }
}

fn is_below_generations(dialect: Dialect, path: &str) -> bool {
    let above = match dialect {
        Dialect::Messages => "/v1/messages/",
        Dialect::Responses => "/responses/",
        _ => return false,
    };
    path.trim_end_matches('/').contains(above)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn only_a_post_to_its_own_path_generates() {
        let generates = |method, path| {
            let request = Request::builder().method(method).uri(path);
            let (head, ()) = request.body(()).unwrap().into_parts();
            Api::of(Shape::of_path(path), &head).generates
        };
        for (path, expected) in [
            ("/v1/chat/completions", true),
            ("/v1/responses", true),
            ("/prefix/v1/responses/", true),
            ("/v1/messages", true),
            ("/v1/messages/", true),
            (
                "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
                true,
            ),
            ("/v1/messages/count_tokens", false),
            ("/v1/messages/batches/", false),
            ("/v1/responses/input_tokens", false),
            ("/v1/responses/r/cancel", false),
        ] {
            assert_eq!(generates(Method::POST, path), expected, "{path}");
            assert!(!generates(Method::GET, path), "{path}");
        }
    }
}

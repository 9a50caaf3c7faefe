//! From a received request to the one that is sent: extract, decide, rewrite.

use bytes::Bytes;
use http::request::Parts;

use crate::{
    RouteDecision,
    body::{Received, RouteBody},
    error::{RouteError, RouteErrorKind},
    layer::Config,
    rewrite,
    server::Lease,
};

/// What goes to the engine beside the rewritten head.
pub(crate) struct Dispatch {
    pub(crate) body: RouteBody,
    pub(crate) decision: RouteDecision,
    pub(crate) lease: Lease,
}

/// Makes `head` and `body` those of the request to the engine that was chosen.
///
/// On an error nothing is sent, and the head's path is still the client's.
pub(crate) fn dispatch(
    config: &Config,
    head: &mut Parts,
    Received { data, trailers }: Received,
) -> Result<Dispatch, RouteError> {
    let model = config.extract.extract(head, &data)?;
    let decision = config.table.decide(head, &model.name)?;
    let lease = decision.lease();
    let pieces = match (decision.rewrite(), model.span) {
        (Some(real), Some(span)) => {
            rewrite::splice(&data, span, real.json.clone()).ok_or_else(span_outside_body)?
        }
        _ => [data, Bytes::new(), Bytes::new()],
    };
    let length = pieces.iter().map(|piece| piece.len() as u64).sum();
    rewrite::request_head(head, lease.endpoint(), length, trailers.as_deref())?;
    Ok(Dispatch {
        body: RouteBody::buffered(pieces, trailers),
        decision,
        lease,
    })
}

fn span_outside_body() -> RouteError {
    RouteError::new(
        RouteErrorKind::ExtractorFault,
        "the model was found in a place outside the request body",
    )
}

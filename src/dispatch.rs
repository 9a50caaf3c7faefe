//! From a request whose model is known to the one that is sent: decide, rewrite.

use bytes::Bytes;
use http::{Uri, header::CONTENT_ENCODING, request::Parts};

use crate::{
    RouteDecision,
    body::{Edit, Edits, Received, RouteBody, Upload},
    coding::recode,
    error::{RouteError, RouteErrorKind},
    layer::Config,
    model::{ExtractedModel, Place, Written},
    rewrite,
    server::Lease,
};

/// What goes to the engine beside the rewritten head.
pub(crate) struct Dispatch {
    pub(crate) body: RouteBody,
    pub(crate) uploading: Option<Uploading>,
    pub(crate) decision: RouteDecision,
    pub(crate) lease: Lease,
}

/// A body that is still arriving when the request is sent.
pub(crate) struct Uploading {
    pub(crate) upload: Upload,
    /// The client's, for the shape of the answer where the upload fails.
    pub(crate) uri: Uri,
}

/// Makes `head` and what was received those of the request to the engine that was chosen.
///
/// On an error nothing is sent, and the head's path is still the client's.
pub(crate) fn dispatch(
    config: &Config,
    head: &mut Parts,
    received: Received,
) -> Result<Dispatch, RouteError> {
    let Received {
        mut chunks,
        mut inbound,
        whole,
    } = received;
    let scan = inbound.as_mut().scan();
    let mut plain = match scan.decoder() {
        Some(decoder) if scan.reads_whole() => Some(decoder.undo(chunks.clone())?),
        _ => None,
    };
    let model = scan.locate(head, plain.as_mut().unwrap_or(&mut chunks))?;
    let decision = config.table.decide(head, &model.name)?;
    let lease = decision.lease();
    if let Some(real) = decision.rewrite() {
        rewrite::model_in_head(head, &model, &real.name)?;
    }
    let mut edits = edits(&decision, model);
    if !edits.is_none()
        && let Some(decoder) = inbound.scan.decoder()
    {
        let plain = match plain {
            Some(plain) => plain,
            None => decoder.undo(chunks)?,
        };
        chunks = if config.recompress {
            recode(decoder.encoding, plain, std::mem::take(&mut edits))?
        } else {
            head.headers.remove(CONTENT_ENCODING);
            plain
        };
    }
    if !edits.are_within(chunks.len()) {
        return Err(span_outside_body());
    }
    let replay_bytes = config.replay_bytes;
    let (body, uploading) = if whole {
        let trailers = inbound.as_mut().take_trailers();
        let length = edits.apply_to_len(chunks.len());
        let framing = rewrite::Framing::of(length, trailers.as_deref());
        rewrite::request_head(head, lease.endpoint(), framing)?;
        let body = RouteBody::whole(chunks, trailers, edits, replay_bytes);
        (body, None)
    } else {
        let uri = head.uri.clone();
        let total = inbound.total();
        let length = total.map(|total| edits.apply_to_len(total));
        let framing = length.map_or(rewrite::Framing::Open, rewrite::Framing::Length);
        rewrite::request_head(head, lease.endpoint(), framing)?;
        let upload = Upload::new(chunks, inbound, replay_bytes);
        let body = RouteBody::upload(upload.reader(), total, edits, replay_bytes);
        (body, Some(Uploading { upload, uri }))
    };
    Ok(Dispatch {
        body,
        uploading,
        decision,
        lease,
    })
}

/// What changes in the body: the model, and the values of its doubles.
fn edits(decision: &RouteDecision, model: ExtractedModel) -> Edits {
    let Place::Body {
        written,
        span,
        others,
    } = model.place
    else {
        return Edits::None;
    };
    let value = match (decision.rewrite(), written) {
        (None, _) if others.is_empty() => return Edits::None,
        (Some(real), Written::Json) => real.json.clone(),
        (Some(real), Written::Plain) => Bytes::copy_from_slice(real.name.as_bytes()),
        (None, Written::Json) => Bytes::from(serde_json::Value::from(model.name).to_string()),
        (None, Written::Plain) => Bytes::from(model.name),
    };
    if others.is_empty() {
        return Edits::One(Edit { span, value });
    }
    let mut spans = others;
    spans.push(span);
    spans.sort_by_key(|span| span.start);
    let edit = |span| Edit {
        span,
        value: value.clone(),
    };
    spans.into_iter().map(edit).collect::<Vec<_>>().into()
}

fn span_outside_body() -> RouteError {
    RouteError::new(
        RouteErrorKind::ExtractorFault,
        "the model was found in a place outside the request body",
    )
}

//! What the client asked for: that from which the request of each attempt is made.

use bytes::Bytes;
use http::{
    HeaderValue, Request, Uri,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
    request::Parts,
    uri::PathAndQuery,
};

use super::rewrite;
use crate::{
    attempt::RouteBody,
    coding::{Decoder, recode},
    error::RouteError,
    model::{ExtractedModel, Place, Written},
    pieces::{Chunks, Edit, Edits},
    route::RouteDecision,
    server::Endpoint,
};

pub(crate) struct Origin {
    /// None where it is sent once: copying it is not for nothing.
    path: Option<PathAndQuery>,
    model: ExtractedModel,
    /// The length of its body, where it is known and said.
    total: Option<u64>,
    coded: Option<Coded>,
}

/// A body that came compressed.
pub(crate) struct Coded {
    pub(crate) decoder: Box<Decoder>,
    pub(crate) recompress: bool,
    pub(crate) body: Chunks,
    pub(crate) plain: Option<Chunks>,
}

/// What a body is made of.
pub(crate) struct Payload {
    pub(crate) chunks: Chunks,
    pub(crate) edits: Edits,
    /// Whether it is still compressed.
    coded: bool,
}

impl Origin {
    pub(crate) fn new(
        path: Option<PathAndQuery>,
        model: ExtractedModel,
        total: Option<u64>,
        coded: Option<Coded>,
    ) -> Self {
        Self {
            path,
            model,
            total,
            coded,
        }
    }

    /// Writes what the decision changes into the client's `head`; and what the body becomes.
    pub(crate) fn prepare(
        &self,
        head: &mut Parts,
        chunks: Chunks,
        decision: &RouteDecision,
    ) -> Result<Payload, RouteError> {
        let payload = self.payload(chunks, decision)?;
        if let Some(real) = decision.rewrite() {
            rewrite::model_in_uri(head, &self.model, &real.name)?;
            rewrite::model_in_header(head, &self.model, &real.name);
        }
        if let Some(coded) = &self.coded {
            coded.describe(head, &payload);
        }
        Ok(payload)
    }

    /// The body for the engine; `chunks` are the client's, unless it came compressed.
    fn payload(&self, chunks: Chunks, decision: &RouteDecision) -> Result<Payload, RouteError> {
        let edits = self.edits(decision);
        match &self.coded {
            None => Ok(Payload {
                chunks,
                edits,
                coded: false,
            }),
            Some(coded) => coded.payload(edits),
        }
    }

    /// Makes `request`, which was one to another endpoint, one to `endpoint`.
    pub(crate) fn readdress(
        &self,
        request: &mut Request<RouteBody>,
        decision: &RouteDecision,
        endpoint: &Endpoint,
    ) -> Result<(), RouteError> {
        let payload = self.payload(Chunks::default(), decision)?;
        let (mut head, mut body) = std::mem::take(request).into_parts();
        head.uri = self.path.clone().map(Uri::from).unwrap_or_default();
        if decision.rewrite().is_some() {
            rewrite::model_in_uri(&mut head, &self.model, decision.model())?;
        }
        rewrite::model_in_header(&mut head, &self.model, decision.model());
        rewrite::address(&mut head, &endpoint.address)?;
        let mut total = self.total;
        if let Some(coded) = &self.coded {
            coded.describe(&mut head, &payload);
            total = total.map(|_| payload.chunks.len());
            body.replace(payload.chunks);
        }
        body.edit(payload.edits, total);
        if head.headers.contains_key(CONTENT_LENGTH)
            && let Some(length) = http_body::Body::size_hint(&body).exact()
        {
            head.headers
                .insert(CONTENT_LENGTH, rewrite::decimal(length));
        }
        *request = Request::from_parts(head, body);
        Ok(())
    }

    /// What changes in the body: the model, and the values of its doubles.
    fn edits(&self, decision: &RouteDecision) -> Edits {
        let Place::Body {
            written,
            span,
            others,
        } = &self.model.place
        else {
            return Edits::None;
        };
        let name = &self.model.name;
        let value = match (decision.rewrite(), written) {
            (None, _) if others.is_empty() => return Edits::None,
            (Some(real), Written::Json) => real.json.clone(),
            (Some(real), Written::Plain) => Bytes::copy_from_slice(real.name.as_bytes()),
            (None, Written::Json) => Bytes::from(serde_json::Value::from(&**name).to_string()),
            (None, Written::Plain) => Bytes::copy_from_slice(name.as_bytes()),
        };
        let edit = |span: &std::ops::Range<u64>| Edit {
            span: span.clone(),
            value: value.clone(),
        };
        if others.is_empty() {
            return Edits::One(edit(span));
        }
        let mut edits: Vec<_> = others.iter().chain([span]).map(edit).collect();
        edits.sort_by_key(|edit| edit.span.start);
        edits.into()
    }
}

impl Coded {
    fn payload(&self, edits: Edits) -> Result<Payload, RouteError> {
        if edits.is_none() {
            return Ok(Payload {
                chunks: self.body.clone(),
                edits,
                coded: true,
            });
        }
        let plain = match &self.plain {
            Some(plain) => plain.clone(),
            None => self.decoder.undo(self.body.clone())?,
        };
        if self.recompress {
            return Ok(Payload {
                chunks: recode(self.decoder.encoding, plain, edits)?,
                edits: Edits::None,
                coded: true,
            });
        }
        Ok(Payload {
            chunks: plain,
            edits,
            coded: false,
        })
    }

    /// Says in the head how the body comes.
    fn describe(&self, head: &mut Parts, payload: &Payload) {
        if payload.coded {
            let name = HeaderValue::from_static(self.decoder.encoding.name());
            head.headers.entry(CONTENT_ENCODING).or_insert(name);
        } else {
            head.headers.remove(CONTENT_ENCODING);
        }
    }
}

//! From a request whose model is known to the one that is sent: chooses the rule
//! and the endpoint, then rewrites the request.
//!
//! [`Matched::dispatch`] hands the endpoint's lease to the exchange, which owns
//! it from then on.

use std::sync::Arc;

use http::{HeaderMap, request::Parts};
use http_body::Body;
use tokio::time::Instant;

use super::options::Options;
use crate::{
    attempt::{Dispatched, Exchange, Retries, RouteBody},
    coding::Decoder,
    error::RouteError,
    model::{BodyKeys, ExtractedModel},
    observe::RequestSpan,
    pieces::{Chunks, Edits},
    route::{Chosen, CompiledTable, RouteDecision, Selection, Unavailable},
    server::{Caller, Lease, Server},
    upload::{Inbound, Received, Upload},
    wire::{Coded, Origin, rewrite},
};

/// A request whose rule is known.
pub(super) struct Matched {
    table: Arc<CompiledTable>,
    selection: Selection,
    model: ExtractedModel,
    chunks: Chunks,
    /// The decompressed body, if it was needed to find the model or to read the
    /// hash keys of the endpoint choice.
    plain: Option<Chunks>,
    inbound: Inbound,
    whole: bool,
    keys: BodyKeys,
}

/// Whether the request can be sent now, or has to wait for an endpoint.
pub(super) enum Turn {
    Now(Chosen),
    /// All endpoints are full; waits for one of this target.
    Later(u32),
}

impl Matched {
    /// Extracts the model and finds the rule.
    pub(super) fn new(
        table: Arc<CompiledTable>,
        head: &Parts,
        received: Received,
    ) -> Result<Self, RouteError> {
        let Received {
            mut chunks,
            mut inbound,
            whole,
            ..
        } = received;
        let total = inbound.total().filter(|_| !whole);
        let scan = inbound.as_mut().scan();
        let mut plain = match scan.decoder() {
            Some(decoder) if scan.reads_whole() => Some(decoder.undo(chunks.clone())?),
            _ => None,
        };
        let readable = plain.as_mut().unwrap_or(&mut chunks);
        let model = scan.locate(head, readable, total)?;
        let selection = table.select(head, &model.name)?;
        let keys = if !table.reads_body_of(&model.name) {
            BodyKeys::default()
        } else {
            if let Some(decoder) = scan.decoder()
                && plain.is_none()
            {
                plain = Some(decoder.undo(chunks.clone())?);
            }
            let text = plain.as_mut().unwrap_or(&mut chunks).contiguous();
            BodyKeys::read(text, table.needed_keys)
        };
        Ok(Self {
            keys,
            table,
            selection,
            model,
            chunks,
            plain,
            inbound,
            whole,
        })
    }

    /// Chooses a target and takes a lease of an endpoint, if one is free.
    pub(super) fn choose(&self, head: &Parts) -> Result<Turn, RouteError> {
        let rule = self.table.rule(self.selection);
        match self.table.choose(rule, self.caller(head), Lease::new) {
            Ok(chosen) => Ok(Turn::Now(chosen)),
            Err(Unavailable::Full(Some(target))) => Ok(Turn::Later(target)),
            Err(unavailable) => Err(RouteError::unavailable(&self.model.name, &unavailable)),
        }
    }

    /// Waits for an endpoint of this target to become free.
    pub(super) fn wait(
        &self,
        head: &Parts,
        target: u32,
    ) -> impl Future<Output = Option<Lease>> + Send + use<> {
        Arc::clone(self.server(target)).wait(self.caller(head), Vec::new())
    }

    fn caller<'a>(&'a self, head: &'a Parts) -> Caller<'a> {
        Caller {
            headers: &head.headers,
            extensions: &head.extensions,
            body: &self.keys,
        }
    }

    pub(super) fn server(&self, target: u32) -> &Arc<Server> {
        self.table.server(self.selection, target)
    }

    /// The error if the queue was full, or no endpoint became free in time.
    pub(super) fn overloaded(&self) -> RouteError {
        RouteError::overloaded(&self.model.name)
    }

    /// Turns `head` and the received body into the request to the chosen engine.
    ///
    /// On an error nothing must be sent, and the head still has the client's path.
    pub(super) fn dispatch(
        self,
        options: &Options,
        head: &mut Parts,
        (target, lease): Chosen,
        deadline: Option<Instant>,
        span: &RequestSpan,
    ) -> Result<(RouteBody, Arc<Exchange>), RouteError> {
        let Self {
            table,
            selection,
            model,
            chunks,
            plain,
            mut inbound,
            whole,
            keys,
        } = self;
        let server = Arc::clone(lease.server());
        let may_send_again =
            server.policy.get_max_retries() > 0 || table.has_elsewhere(selection, &server);
        let decision = RouteDecision::new(table, selection, target, server, lease.position());
        let replay_bytes = options.replay_bytes;
        let trailers = inbound.as_mut().take_trailers().filter(|_| whole);
        let length = match whole {
            true => Some(chunks.len()).filter(|_| trailers.is_none()),
            false => inbound.total(),
        };
        let fingerprint = chunks.fingerprint();
        let decoder = inbound.as_mut().scan().take_decoder();
        let (chunks, coded) = coded(decoder, chunks, plain, options.recompress);
        let path = may_send_again.then(|| head.uri.path_and_query().cloned());
        let mut origin = Origin::new(path.flatten(), model, length, coded);
        rewrite::end_hop(head);
        if let Some(trailers) = &trailers {
            rewrite::announce_trailers(&mut head.headers, trailers);
        }
        origin.keep(head, &decision);
        let payload = origin.prepare(head, &decision, &lease.endpoint().address)?;
        let chunks = payload.chunks.unwrap_or(chunks);
        let upload = (!whole).then_some((inbound, length));
        let (mut body, upload) = sent(chunks, trailers, upload, payload.edits, replay_bytes);
        span.routed(&decision);
        let retries = may_send_again
            .then(|| Retries::new(origin, keys, &head.method, Arc::clone(lease.server())));
        let exchange = Exchange::new(Dispatched {
            decision,
            lease,
            deadline,
            upload,
            has_body: !body.is_end_stream(),
            fingerprint,
            retries,
        });
        body.attach(Arc::clone(&exchange));
        Ok((body, exchange))
    }
}

/// The body for the engine: of these chunks, or of an upload that goes on after them and has
/// this length.
fn sent(
    chunks: Chunks,
    trailers: Option<Box<HeaderMap>>,
    upload: Option<(Inbound, Option<u64>)>,
    edits: Edits,
    replay_bytes: u64,
) -> (RouteBody, Option<Upload>) {
    let Some((inbound, length)) = upload else {
        let body = RouteBody::whole(chunks, trailers, edits, replay_bytes);
        return (body, None);
    };
    let upload = Upload::new(chunks, inbound, replay_bytes);
    let body = RouteBody::upload(upload.reader(), length, edits, replay_bytes);
    (body, Some(upload))
}

/// The client's chunks and `None`; if the body is compressed, no chunks and the
/// compressed body.
fn coded(
    decoder: Option<Box<Decoder>>,
    body: Chunks,
    plain: Option<Chunks>,
    recompress: bool,
) -> (Chunks, Option<Coded>) {
    let Some(decoder) = decoder else {
        return (body, None);
    };
    let coded = Coded {
        decoder,
        recompress,
        body,
        plain,
    };
    (Chunks::default(), Some(coded))
}

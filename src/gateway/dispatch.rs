//! From a request whose model is known to the one that is sent: decide, rewrite.

use std::sync::Arc;

use http::request::Parts;
use tokio::time::Instant;

use super::options::Config;
use crate::{
    attempt::{Exchange, RouteBody},
    error::{RouteError, Shape},
    model::{BodyKeys, ExtractedModel},
    observe::RequestSpan,
    pieces::Chunks,
    route::{Chosen, CompiledTable, RouteDecision, Selection, Unavailable},
    server::{Caller, Lease, Server},
    upload::{Inbound, Received, Upload},
    wire::{Coded, Framing, Origin, Payload, rewrite},
};

/// A request whose rule is known.
pub(crate) struct Matched {
    table: Arc<CompiledTable>,
    selection: Selection,
    model: ExtractedModel,
    chunks: Chunks,
    /// The body without its coding, where it had to be undone to find the model.
    plain: Option<Chunks>,
    inbound: Inbound,
    whole: bool,
    keys: BodyKeys,
}

/// Where it goes, or how it has to wait for that.
pub(crate) enum Turn {
    Now(Chosen),
    /// For this target.
    Later(u32),
}

/// What goes to the engine beside the rewritten head.
pub(crate) struct Dispatch {
    pub(crate) body: RouteBody,
    pub(crate) exchange: Arc<Exchange>,
    /// What the client's errors look like.
    pub(crate) shape: Shape,
}

impl Matched {
    /// Finds the rule.
    pub(crate) fn new(
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
        let at_hand = plain.as_mut().unwrap_or(&mut chunks);
        let model = scan.locate(head, at_hand, total)?;
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

    /// Takes a target and an endpoint, if there is a free one.
    pub(crate) fn choose(&self, head: &Parts) -> Result<Turn, RouteError> {
        let rule = self.table.rule(self.selection);
        match self.table.choose(rule, self.caller(head), Lease::new) {
            Ok(chosen) => Ok(Turn::Now(chosen)),
            Err(Unavailable::Full(Some(target))) => Ok(Turn::Later(target)),
            Err(unavailable) => Err(RouteError::unavailable(&self.model.name, &unavailable)),
        }
    }

    /// Waits for an endpoint of this target to become free.
    pub(crate) fn wait(
        &self,
        head: &Parts,
        target: u32,
    ) -> impl Future<Output = Option<Lease>> + Send + use<> {
        Arc::clone(self.server(target)).wait(self.caller(head))
    }

    fn caller<'a>(&'a self, head: &'a Parts) -> Caller<'a> {
        Caller {
            headers: &head.headers,
            extensions: &head.extensions,
            body: &self.keys,
        }
    }

    pub(crate) fn server(&self, target: u32) -> &Arc<Server> {
        self.table.server(self.selection, target)
    }

    /// There was no free endpoint in time.
    pub(crate) fn overloaded(&self) -> RouteError {
        RouteError::overloaded(&self.model.name)
    }

    /// Makes `head` and what was received those of the request to the engine that was chosen.
    ///
    /// On an error nothing is sent, and the head's path is still the client's.
    pub(crate) fn dispatch(
        self,
        config: &Config,
        head: &mut Parts,
        (target, lease): Chosen,
        deadline: Option<Instant>,
        span: &RequestSpan,
    ) -> Result<Dispatch, RouteError> {
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
        let shape = Shape::of(head.uri.path());
        let decision = RouteDecision::new(table, selection, target, lease.position());
        let replay_bytes = config.replay_bytes;
        let trailers = inbound.as_mut().take_trailers().filter(|_| whole);
        let total = match whole {
            true => Some(chunks.len()).filter(|_| trailers.is_none()),
            false => inbound.total(),
        };
        let (chunks, coded) = match inbound.as_mut().scan().take_decoder() {
            None => (chunks, None),
            Some(decoder) => {
                let coded = Coded {
                    decoder,
                    recompress: config.recompress,
                    body: chunks,
                    plain,
                };
                (Chunks::default(), Some(coded))
            }
        };
        let may_retry = lease.server().policy.get_max_retries() > 0;
        let path = may_retry.then(|| head.uri.path_and_query().cloned());
        let origin = Origin::new(path.flatten(), model, total, coded);
        let Payload { chunks, edits, .. } = origin.prepare(head, chunks, &decision)?;
        let (mut body, upload) = if whole {
            let framing = Framing::of(edits.apply_to_len(chunks.len()), trailers.as_deref());
            rewrite::request_head(head, &lease.endpoint().address, framing)?;
            (
                RouteBody::whole(chunks, trailers, edits, replay_bytes),
                None,
            )
        } else {
            let length = total.map(|total| edits.apply_to_len(total));
            let framing = length.map_or(Framing::Open, Framing::Length);
            rewrite::request_head(head, &lease.endpoint().address, framing)?;
            let upload = Upload::new(chunks, inbound, replay_bytes);
            let body = RouteBody::upload(upload.reader(), total, edits, replay_bytes);
            (body, Some(upload))
        };
        span.routed(&decision);
        head.extensions.insert(decision.clone());
        let again = may_retry.then_some((origin, keys));
        let exchange = Exchange::new(decision, lease, deadline, upload, again);
        body.attach(Arc::clone(&exchange));
        Ok(Dispatch {
            body,
            exchange,
            shape,
        })
    }
}

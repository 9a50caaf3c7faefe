//! From a request whose model is known to the one that is sent: chooses the rule
//! and the endpoint, then rewrites the request.
//!
//! [`Matched::dispatch`] hands the endpoint's lease to the exchange, which owns
//! it from then on.

use std::{pin::Pin, sync::Arc};

use http::{HeaderMap, request::Parts};
use http_body::Body;
use tokio::time::Instant;

use super::{
    authorize::RuleMatch,
    limits::Settling,
    options::Options,
    read::{Plain, Read},
};
use crate::{
    attempt::{Dispatched, Exchange, Fixed, Retries, RouteBody},
    error::{Asker, RouteError},
    events::{Api, Dialect, Made},
    limit::{Estimate, LimitDecision, Pending, Refusal, Reservation, Standings, Verdict},
    model::{BodyKeys, ExtractedModel, NeededKeys, ask_for_usage},
    observe::{LimitFacts, LimitVerdict, Report},
    pieces::{Chunks, Edit},
    route::{Chosen, CompiledTable, RouteDecision, Selection, Unavailable, all_but_home},
    server::{Caller, Home, Lease, Server, Wanted},
    upload::{Inbound, Received, Refused, Share, Upload},
    wire::{Fields, Origin, Payload, PayloadContent, load_report, rewrite},
};

/// A request whose rule is known.
pub(super) struct Matched {
    table: Arc<CompiledTable>,
    selection: Selection,
    message: Message,
    /// What was left of the limits of its route, if that has any.
    standings: Option<Box<Standings>>,
    /// Whether the answer is to be read for them.
    is_metered: bool,
    /// Where the object that it asks for is kept.
    home: Option<Arc<Home>>,
}

/// What was received of it.
struct Message {
    model: ExtractedModel,
    chunks: Chunks,
    /// The body without its coding, if that was kept.
    plain: Option<Box<Plain>>,
    inbound: Inbound,
    whole: bool,
    keys: Option<Box<BodyKeys>>,
    /// Counts the bytes of `chunks` and `plain`.
    share: Share,
}

/// A message that is ready to be sent to any endpoint.
struct Packed {
    origin: Origin,
    /// No chunks if the body is compressed: each attempt has its own.
    chunks: Chunks,
    trailers: Option<Box<HeaderMap>>,
    length: Option<u64>,
    fingerprint: u64,
    /// `None` if the chunks are all of the body.
    rest: Option<Inbound>,
    /// What further attempts need to know about it.
    known: (Option<Box<BodyKeys>>, Estimate),
    share: Share,
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
        mut received: Received,
        options: &Options,
    ) -> Result<Self, Refused> {
        match Read::new(&table, head, &mut received, options) {
            Err(error) => Err((error, received.into_rest())),
            Ok(read) => Ok(Self {
                table,
                selection: read.selection,
                standings: None,
                is_metered: false,
                home: read.home,
                message: Message {
                    model: read.model,
                    keys: read.keys,
                    plain: read.plain,
                    chunks: received.chunks,
                    inbound: received.inbound,
                    whole: received.whole,
                    share: received.share,
                },
            }),
        }
    }

    /// The part of the body that was not read.
    pub(super) fn into_rest(self) -> Option<Inbound> {
        (!self.message.whole).then_some(self.message.inbound)
    }

    /// Reports the route, the rule and the model.
    pub(super) fn tell(&self, report: &mut Report) {
        report.ruled(&self.table, self.selection, &self.message.model);
    }

    /// Fails if the caller may not use this model.
    pub(super) fn authorize(&self, head: &Parts, options: &Options) -> Result<(), RouteError> {
        let to = RuleMatch::new(&self.table, self.selection, &self.message.model);
        options.authorize.check(head, &to)
    }

    /// Whether its route has limits, or its ModelServer learns from its answers.
    pub(super) fn is_metered(&self) -> bool {
        let rule = self.table.rule(self.selection);
        !self.table.limits_by(rule).is_empty() || self.table.weighs_tokens_by(rule)
    }

    /// Reserves what it will probably use of the limits of its route.
    pub(super) fn reserve(
        &self,
        head: &Parts,
        options: &Options,
    ) -> Result<Result<Reservation, Box<Refusal>>, Pending> {
        let rule = self.table.rule(self.selection);
        let limits = self.table.limits_by(rule);
        if limits.is_empty() {
            return Ok(Ok(Reservation::default()));
        }
        let to = RuleMatch::new(&self.table, self.selection, &self.message.model);
        let (server, estimate) = (self.table.main_server(rule), self.message.estimate());
        options.limits.reserve(limits, head, &to, server, &estimate)
    }

    /// From now on what it has taken is settled when it ends.
    pub(super) fn set_reservation(
        &mut self,
        reservation: Reservation,
        head: &Parts,
        asker: &Asker,
        report: &mut Report,
    ) {
        self.standings = Some(Box::new(reservation.standings));
        reservation
            .decisions()
            .for_each(|decision| self.tell_limit(&decision, report));
        let learns = self.table.weighs_tokens_by(self.table.rule(self.selection));
        if learns || !reservation.is_empty() {
            self.is_metered = learns || reservation.holds_tokens();
            let made = Made::by(head.uri.path());
            let settling = Settling::new(reservation, self.message.estimate(), made, learns);
            report.settled_by(Box::new(settling), head, asker);
        }
    }

    /// Reports the decision of a limit.
    pub(super) fn tell_limit(&self, decision: &LimitDecision, report: &Report) {
        report.limited(&LimitFacts {
            name: &decision.limit.name,
            route: self.table.route_name(self.selection),
            verdict: match decision.verdict {
                Verdict::Allowed => LimitVerdict::Allowed,
                Verdict::Refused => LimitVerdict::Refused,
                Verdict::Observed => LimitVerdict::Observed,
            },
            store: decision.store,
        });
    }

    /// What an answer is to say of its limits.
    pub(super) fn standings(&self, options: &Options) -> Option<&Standings> {
        let says = options.limits.says_what_is_left;
        self.standings.as_deref().filter(|_| says)
    }

    /// Asks where the session is bound, if it has one that is not known here and may be elsewhere: in
    /// each ModelServer that the split may choose.
    pub(super) fn recall(&self, head: &Parts) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        if !self.table.shares_sessions(self.selection) {
            return None;
        }
        let unknown = self
            .table
            .unknown_sessions(self.selection, self.caller(head));
        if unknown.is_empty() {
            return None;
        }
        Some(Box::pin(async move {
            for session in unknown {
                session.recall().await;
            }
        }))
    }

    /// Chooses a target and takes a lease of an endpoint, if one is free.
    pub(super) fn choose(&self, head: &Parts) -> Result<Turn, RouteError> {
        let (home, caller) = (self.home.as_deref(), self.caller(head));
        let at_home = |home| {
            let rule = self.table.rule(self.selection);
            self.table.choose_home(rule, home, caller)
        };
        let chosen = home
            .and_then(at_home)
            .unwrap_or_else(|| self.table.choose(self.selection, &caller, Lease::new));
        match chosen {
            Ok(chosen) => Ok(Turn::Now(chosen)),
            Err(Unavailable::Full(Some(target))) => Ok(Turn::Later(target)),
            Err(unavailable) => Err(RouteError::unavailable(
                self.message.model.shown(),
                &unavailable,
            )),
        }
    }

    /// Whether the answer has ids that are to be remembered.
    pub(super) fn learns_ids(&self, head: &Parts) -> bool {
        self.table.homes.learns_from(head)
    }

    /// Waits for an endpoint of this target to become free.
    pub(super) fn wait(
        &self,
        head: &Parts,
        target: u32,
    ) -> impl Future<Output = Option<Lease>> + Send + use<> {
        let server = self.server(target);
        let home = self.home.as_deref();
        let others = home.map(|home| all_but_home(server, home));
        Arc::clone(server).wait(self.caller(head), others.unwrap_or_default())
    }

    /// What engines are asked for.
    fn wanted(&self) -> Wanted<'_> {
        Wanted::of(&self.message.model, self.selection.lora)
    }

    fn caller<'a>(&'a self, head: &'a Parts) -> Caller<'a> {
        Caller {
            uri: &head.uri,
            headers: &head.headers,
            extensions: &head.extensions,
            body: self.message.keys(),
            estimate: self.message.estimate(),
            model: self.wanted(),
        }
    }

    /// Whether the body asks for a stream, as far as that was needed to know.
    pub(super) fn asks_for_stream(&self) -> bool {
        self.message.keys().stream == Some(true)
    }

    pub(super) fn server(&self, target: u32) -> &Arc<Server> {
        self.table.server(self.selection, target)
    }

    /// The error if the queue was full, or no endpoint became free in time.
    pub(super) fn overloaded(&self) -> RouteError {
        RouteError::overloaded(self.message.model.shown())
    }

    /// Turns `head` and the received body into the request to the chosen engine.
    ///
    /// On an error nothing must be sent, and the head still has the client's path.
    pub(super) fn dispatch(
        self,
        options: &Options,
        (head, fields): (&mut Parts, Fields),
        api: Api,
        (target, lease): Chosen,
        deadline: Option<Instant>,
        report: &mut Report,
    ) -> Result<(RouteBody, Arc<Exchange>), Refused> {
        let Self {
            table,
            selection,
            mut message,
            is_metered,
            ..
        } = self;
        let server = lease.server();
        let may_send_again =
            server.policy.get_max_retries() > 0 || table.has_another_way(selection, server);
        let decision =
            RouteDecision::leased(table, selection, target, &lease).named(&message.model);
        options.admission.via.add(head.version, &mut head.headers);
        options.forwarded.set(head);
        let (fixed, usage) = message.asks(api, (head, options), &decision, &lease);
        if is_metered || fixed.can_ask_for_usage {
            rewrite::ask_for_plain(&mut head.headers);
        }
        let mut packed = message.pack((head, fields), may_send_again, usage);
        let payload = match packed.payload(head, &decision, &lease) {
            Ok(payload) => payload,
            Err(error) => return Err((error, packed.rest)),
        };
        if fixed.asks_for_load {
            packed.origin.ask_for_load(head);
        }
        let (mut body, upload) = packed.send(payload, options.replay_bytes);
        let attempts = report.sent(&decision);
        let retries = may_send_again.then(|| {
            let server = Arc::clone(lease.server());
            Retries::new(packed.origin, packed.known, &head.method, server)
        });
        let exchange = Exchange::new(Dispatched {
            decision,
            lease,
            deadline,
            upload,
            fingerprint: packed.fingerprint,
            retries,
            held: packed.share,
            report: attempts,
            fixed: Fixed {
                has_body: !body.is_end_stream(),
                ..fixed
            },
        });
        body.attach(Arc::clone(&exchange));
        Ok((body, exchange))
    }
}

impl Message {
    fn keys(&self) -> &BodyKeys {
        self.keys.as_deref().unwrap_or(BodyKeys::NONE)
    }

    /// How much it will probably use.
    fn estimate(&self) -> Estimate {
        let Some(tokens) = self.keys().tokens else {
            return Estimate::default();
        };
        let (read, all) = match &self.plain {
            Some(plain) => (plain.read(), plain.chunks.len()),
            None if self.whole => (self.chunks.len(), 0),
            None => (self.chunks.len(), self.inbound.total().unwrap_or(0)),
        };
        tokens.estimate(read, all.saturating_sub(read))
    }

    /// What the gateway has to know of it, or adds to it, for the sake of its answer; and what makes
    /// its body ask for usage.
    fn asks(
        &mut self,
        api: Api,
        (head, options): (&Parts, &Options),
        decision: &RouteDecision,
        lease: &Lease,
    ) -> (Fixed, Option<Edit>) {
        let is_gated = decision.policy().holds_first_event();
        let stream = is_gated.then(|| self.asks_for_stream()).flatten();
        let usage = decision
            .may_force_usage()
            .then(|| self.usage_edit(api.dialect));
        let usage = usage.flatten();
        let fixed = Fixed {
            has_body: true,
            asks_for_stream: stream,
            can_ask_for_usage: usage.is_some(),
            asks_for_load: self.asks_for_load(api, head, lease),
            api,
            span_level: options.span_level,
        };
        (fixed, usage)
    }

    /// Whether the body asks for a stream, if all of it is there to be read, and all engines read it
    /// alike.
    fn asks_for_stream(&mut self) -> Option<bool> {
        let needed = NeededKeys {
            stream: true,
            ..NeededKeys::default()
        };
        BodyKeys::read(self.text()?, needed).stream
    }

    /// Whether the engine is to report its load in the answer: if that is of use, engines do so for
    /// such a request, the client has not asked itself, and it was not done a moment ago.
    fn asks_for_load(&mut self, api: Api, head: &Parts, lease: &Lease) -> bool {
        let server = lease.server();
        server.uses_reports
            && server.endpoints.len() > 1
            && api.generates
            && matches!(api.dialect, Dialect::Chat | Dialect::Completions)
            && !load_report::asks(&head.headers)
            && self.asks_for_stream() == Some(false)
            && lease.endpoint().may_be_asked()
    }

    /// What makes a chat's or a completion's stream end with its usage, if all of the body is there
    /// to be read.
    fn usage_edit(&mut self, dialect: Dialect) -> Option<Edit> {
        let has_option = matches!(dialect, Dialect::Chat | Dialect::Completions);
        has_option.then(|| ask_for_usage(self.text()?)).flatten()
    }

    /// The body without its coding, if all of it is there to be read.
    fn text(&mut self) -> Option<&[u8]> {
        if let Some(plain) = &mut self.plain {
            return plain.whole();
        }
        let is_plain = self.inbound.as_mut().scan().decoder().is_none();
        (self.whole && is_plain).then(|| &**self.chunks.contiguous())
    }

    /// Takes the fields of the client's connection off `head`.
    fn pack(
        self,
        (head, fields): (&mut Parts, Fields),
        may_send_again: bool,
        usage: Option<Edit>,
    ) -> Packed {
        let estimate = self.estimate();
        let Self {
            model,
            chunks,
            plain,
            mut inbound,
            whole,
            keys,
            share,
        } = self;
        let trailers = inbound.as_mut().take_trailers().filter(|_| whole);
        let length = match whole {
            true => Some(chunks.len()).filter(|_| trailers.is_none()),
            false => inbound.total(),
        };
        let fingerprint = chunks.fingerprint();
        let decoder = inbound.as_mut().scan().take_decoder();
        let (chunks, coded) = match decoder {
            Some(decoder) => {
                let coded = decoder.coded(chunks, plain.map(|plain| plain.chunks));
                (Chunks::default(), Some(Box::new(coded)))
            }
            None => (chunks, None),
        };
        let path = may_send_again.then(|| head.uri.path_and_query().cloned());
        rewrite::end_hop(head, fields);
        match &trailers {
            Some(trailers) => rewrite::announce_trailers(&mut head.headers, trailers),
            None if length.is_some() => rewrite::end_trailers(&mut head.headers, fields),
            None => rewrite::pass_announcement(&mut head.headers, fields),
        }
        Packed {
            origin: Origin::new(path.flatten(), model, length, coded, usage, fields),
            chunks,
            trailers,
            length,
            fingerprint,
            rest: (!whole).then_some(inbound),
            known: (keys, estimate),
            share,
        }
    }
}

impl Packed {
    /// What the first attempt sends; `head` becomes its head.
    fn payload(
        &mut self,
        head: &mut Parts,
        decision: &RouteDecision,
        lease: &Lease,
    ) -> Result<Payload, RouteError> {
        self.origin.keep(head, decision);
        let to = &lease.endpoint().address;
        let payload = self.origin.prepare(head, decision, to)?;
        if let Some(left) = self.origin.let_go(&payload, decision) {
            self.share.shrink_to(left);
        }
        Ok(payload)
    }

    /// The body for the engine, and the upload if the body goes on after the chunks.
    fn send(&mut self, payload: Payload, replay_bytes: u64) -> (RouteBody, Option<Upload>) {
        let chunks = std::mem::take(&mut self.chunks);
        let Some(rest) = self.rest.take() else {
            let trailers = self.trailers.take();
            let body = match payload.content {
                None => RouteBody::whole(chunks, trailers, payload.edits, replay_bytes),
                Some(PayloadContent::Made(chunks)) => {
                    RouteBody::whole(chunks, trailers, payload.edits, replay_bytes)
                }
                Some(PayloadContent::Making(recast)) => {
                    let Payload { edits, length, .. } = payload;
                    RouteBody::making(recast, trailers, edits, length, replay_bytes)
                }
            };
            return (body, None);
        };
        let share = std::mem::take(&mut self.share);
        let upload = Upload::new(chunks, rest, replay_bytes, share);
        let reader = upload.reader();
        let body = RouteBody::upload(reader, self.length, payload.edits, replay_bytes);
        (body, Some(upload))
    }
}

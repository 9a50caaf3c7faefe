//! The client's original request, from which the request of each attempt is made.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Uri, header::CONTENT_ENCODING, request::Parts, uri::PathAndQuery,
};

use super::{at_address::AtAddress, fields::Fields, load_report, rewrite};
use crate::{
    coding::{Coded, Recast},
    config::Address,
    error::RouteError,
    model::{ExtractedModel, InBody, Location, Written},
    pieces::{Chunks, Edit, Edits},
    route::RouteDecision,
    server::RealModel,
};

pub(crate) struct Origin {
    /// `None` if the request can't be retried, to save the copy.
    path: Option<PathAndQuery>,
    model: ExtractedModel,
    /// The length of the client's body, if it is known and announced.
    length: Option<u64>,
    /// In a box, as few bodies are.
    coded: Option<Box<Coded>>,
    /// What makes the body ask for usage.
    usage: Option<Edit>,
    /// Whether the client's head has a digest of the body.
    has_digest: bool,
    /// The client's fields that an attempt may have overwritten.
    overwritten: Vec<(HeaderName, Vec<HeaderValue>)>,
}

/// The parts of the body of one attempt.
#[derive(Debug)]
pub(crate) struct Payload {
    /// Replaces the chunks of the client's body, if it was sent compressed.
    pub(crate) content: Option<PayloadContent>,
    pub(crate) edits: Edits,
    /// The length after the edits, if it is known and announced.
    pub(crate) length: Option<u64>,
}

/// What is made of a body that was sent compressed.
#[derive(Debug)]
pub(crate) enum PayloadContent {
    Made(Chunks),
    /// It takes a while.
    Making(Box<Recast>),
}

impl Origin {
    pub(crate) fn new(
        path: Option<PathAndQuery>,
        model: ExtractedModel,
        length: Option<u64>,
        coded: Option<Box<Coded>>,
        usage: Option<Edit>,
        fields: Fields,
    ) -> Self {
        Self {
            path,
            model,
            length,
            coded,
            usage,
            has_digest: fields.has(Fields::DIGEST),
            overwritten: Vec::new(),
        }
    }

    /// Keeps what `head` has of the fields that some attempt may set.
    pub(crate) fn keep(&mut self, head: &Parts, decision: &RouteDecision) {
        if decision.all_headers().is_empty() {
            return;
        }
        let names = decision.all_headers().iter();
        let kept = names.map(|name| {
            let values = head.headers.get_all(name).into_iter();
            (name.clone(), values.cloned().collect())
        });
        self.overwritten = kept.collect();
    }

    /// Has the engine of the first attempt report its load; `head` is that attempt's.
    pub(crate) fn ask_for_load(&mut self, head: &mut Parts) {
        load_report::ask(&mut head.headers);
        // The client has not asked, and the other attempts don't.
        self.overwritten.push((load_report::FORMAT, Vec::new()));
    }

    /// Turns `head` into that of the attempt described by `decision`, which goes
    /// to the address `to`, and returns the parts of its body.
    ///
    /// `head` is the client's, without the fields of its connection, or that of
    /// an earlier attempt. On an error it must not be sent.
    pub(crate) fn prepare(
        &self,
        head: &mut Parts,
        decision: &RouteDecision,
        to: &Address,
    ) -> Result<Payload, RouteError> {
        let usage = self.usage.as_ref();
        let real = decision.rewrite();
        let edits = match usage.filter(|_| decision.policy().get_force_usage()) {
            Some(usage) => self.edits(real).and(usage.clone()),
            None => self.edits(real),
        };
        let payload = match &self.coded {
            None => Payload {
                length: self.length.map(|length| edits.apply_to_len(length)),
                content: None,
                edits,
            },
            Some(coded) => {
                let is_accepted = decision.accepts(coded.encoding);
                let is_announced = self.length.is_some();
                payload(coded, edits, is_accepted, is_announced, head)
            }
        };
        let is_again = decision.attempts() > 1;
        if is_again {
            head.uri = self.path.clone().map(Uri::from).unwrap_or_default();
            rewrite::restore(head, &self.overwritten);
            AtAddress::forget(head);
        }
        if let Some(real) = real {
            rewrite::model_in_uri(head, &self.model, &real.name)?;
        }
        if is_again || real.is_some() {
            rewrite::model_in_header(head, &self.model, decision.engine_model());
        }
        rewrite::overwrite(head, decision.headers());
        rewrite::address(head, to)?;
        rewrite::frame(head, payload.length);
        if self.has_digest && !(payload.edits.is_none() && payload.content.is_none()) {
            rewrite::remove_digests(&mut head.headers);
        }
        Ok(payload)
    }

    /// Lets the body without its coding go, if the `first` attempt sends it as it came: another that
    /// needs it inflates it again. Returns how many bytes are then left of it.
    pub(crate) fn let_go(&mut self, first: &Payload, decision: &RouteDecision) -> Option<u64> {
        let coded = self.coded.as_mut()?;
        let is_made = matches!(first.content, Some(PayloadContent::Made(_)));
        let is_as_sent = is_made && decision.accepts(coded.encoding);
        is_as_sent.then(|| {
            coded.plain = None;
            coded.body.len()
        })
    }

    /// The edits to the body: every occurrence of the model gets the same value, that of `real` if
    /// the engine knows it by another name.
    fn edits(&self, real: Option<&RealModel>) -> Edits {
        let Location::Body {
            written,
            span,
            others,
        } = &self.model.location
        else {
            let beside = self.model.beside.as_deref();
            return beside.map_or(Edits::None, |beside| self.edits_beside(beside, real));
        };
        let name = self.model.asked();
        let value = match (real, written) {
            (None, _) if others.is_empty() => return Edits::None,
            (Some(real), Written::Json) => real.json.clone(),
            (Some(real), Written::Plain) => Bytes::copy_from_slice(real.name.as_bytes()),
            (Some(real), Written::Member { is_only }) => member(&real.json, *is_only),
            (None, Written::Member { .. }) => return Edits::None,
            (None, Written::Json) => Bytes::from(serde_json::Value::from(name).to_string()),
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

    /// The edits to the body of a request whose path or query is rewritten too.
    fn edits_beside(&self, beside: &InBody, real: Option<&RealModel>) -> Edits {
        if real.is_none() && beside.is_settled {
            return Edits::None;
        }
        let name = real.map_or(self.model.asked(), |real| &real.name);
        let name = format!("{}{name}", beside.prefix);
        let value = match beside.written {
            Written::Json => Bytes::from(serde_json::Value::from(name).to_string()),
            Written::Plain | Written::Member { .. } => Bytes::from(name),
        };
        let edit = |span: &std::ops::Range<u64>| Edit {
            span: span.clone(),
            value: value.clone(),
        };
        Edits::from(beside.spans.iter().map(edit).collect::<Vec<_>>())
    }
}

/// The brace of an object and its first member, the model.
fn member(json: &[u8], is_only: bool) -> Bytes {
    let end: &[u8] = if is_only { b"" } else { b"," };
    [b"{\"model\":", json, end].concat().into()
}

/// The body for the engine, in the client's coding if the engine reads that; also sets its
/// Content-Encoding in `head`.
fn payload(
    coded: &Coded,
    edits: Edits,
    is_accepted: bool,
    is_announced: bool,
    head: &mut Parts,
) -> Payload {
    if is_accepted {
        let name = HeaderValue::from_static(coded.encoding.name());
        head.headers.entry(CONTENT_ENCODING).or_insert(name);
    } else {
        head.headers.remove(CONTENT_ENCODING);
    }
    let (content, edits, len) = match (is_accepted, &coded.plain) {
        (true, _) if edits.is_none() => {
            let body = coded.body.clone();
            let len = body.len();
            (PayloadContent::Made(body), edits, Some(len))
        }
        // Its length is known once it is made.
        (true, _) => {
            let redo = Box::new(coded.redo(edits));
            (PayloadContent::Making(redo), Edits::None, None)
        }
        (false, Some(plain)) => {
            let plain = PayloadContent::Made(plain.clone());
            (plain, edits, Some(coded.plain_len))
        }
        (false, None) => {
            let undo = PayloadContent::Making(Box::new(coded.undo()));
            (undo, edits, Some(coded.plain_len))
        }
    };
    Payload {
        length: len
            .filter(|_| is_announced)
            .map(|len| edits.apply_to_len(len)),
        content: Some(content),
        edits,
    }
}

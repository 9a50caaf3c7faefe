//! What a request asks for: its model and rule, the keys in its body, what it wants to have back.

use std::sync::Arc;

use http::request::Parts;

use super::options::Options;
use crate::{
    coding::Decoder,
    config::WithoutModel,
    error::{RouteError, RouteErrorKind},
    model::{BodyKeys, ExtractedModel, NeededKeys, Scan},
    pieces::Chunks,
    route::{CompiledTable, Selection},
    server::Home,
    upload::{Received, Share},
};

pub(super) struct Read {
    pub(super) selection: Selection,
    pub(super) model: ExtractedModel,
    /// `None` if none are needed, as for most.
    pub(super) keys: Option<Box<BodyKeys>>,
    /// The decompressed body, if something of it was read here.
    pub(super) plain: Option<Chunks>,
    /// Where that is kept which it names.
    pub(super) home: Option<Arc<Home>>,
}

/// A body that may be compressed, to be read here.
struct Text<'a> {
    chunks: &'a mut Chunks,
    plain: Option<Chunks>,
    share: &'a mut Share,
}

impl Text<'_> {
    fn inflate(&mut self, decoder: Option<&Decoder>) -> Result<(), RouteError> {
        if let Some(decoder) = decoder
            && self.plain.is_none()
        {
            let plain = decoder.undo(self.chunks.clone())?;
            self.share.grow(plain.len())?;
            self.plain = Some(plain);
        }
        Ok(())
    }

    /// About how many tokens the prompt has, if a rule of the table depends on it; `total` is the
    /// length of a body that is not whole.
    fn tokens(
        &mut self,
        table: &CompiledTable,
        decoder: Option<&Decoder>,
        total: Option<u64>,
    ) -> Result<Option<u64>, RouteError> {
        if !table.routes.counts_prompts {
            return Ok(None);
        }
        self.inflate(decoder)?;
        let needed = NeededKeys {
            tokens: true,
            ..NeededKeys::default()
        };
        let text = self.readable().contiguous();
        let tokens = BodyKeys::read(text, needed).tokens;
        let read = text.len() as u64;
        let rest = total.unwrap_or(0).saturating_sub(read);
        Ok(tokens.map(|tokens| tokens.of_prompt(read, rest)))
    }

    fn readable(&mut self) -> &mut Chunks {
        self.plain.as_mut().unwrap_or(&mut *self.chunks)
    }
}

impl Read {
    pub(super) fn new(
        table: &CompiledTable,
        head: &Parts,
        received: &mut Received,
        options: &Options,
    ) -> Result<Self, RouteError> {
        let is_whole = received.whole;
        let total = received.inbound.total().filter(|_| !is_whole);
        let scan = received.inbound.as_mut().scan();
        let mut text = Text {
            chunks: &mut received.chunks,
            plain: None,
            share: &mut received.share,
        };
        if scan.reads_whole() {
            text.inflate(scan.decoder())?;
        }
        let tokens = text.tokens(table, scan.decoder(), total)?;
        let (model, selection) = match scan.locate(head, text.readable(), total) {
            Ok(model) => {
                let selection = table.select(head, (&model.name, model.shown()), tokens)?;
                (model, selection)
            }
            Err(error) if error.kind() == RouteErrorKind::MissingModel => {
                let what = options.without_model(table, head);
                let (model, selection) = unnamed(&what, table, (head, tokens), error)?;
                let is_inserted = matches!(*what, WithoutModel::Insert(_)) && is_whole;
                let model = match is_inserted {
                    true => inserted(scan, &mut text, model)?,
                    false => model,
                };
                (model, selection)
            }
            Err(error) => return Err(error),
        };
        let needed = table.needed_by(table.rule(selection));
        let names_home = table.homes.reads_body(head);
        let mut home = table.homes.of_path(head);
        let mut keys = None;
        if !needed.is_none() || names_home {
            text.inflate(scan.decoder())?;
            let text = text.readable().contiguous();
            if names_home && home.is_none() {
                home = table.homes.of_body(text);
            }
            keys = Some(Box::new(BodyKeys::read(text, needed)));
        }
        Ok(Self {
            selection,
            model,
            keys,
            plain: text.plain,
            home,
        })
    }
}

/// What a request that names no model is routed by; `error` if it isn't routed.
fn unnamed(
    what: &WithoutModel,
    table: &CompiledTable,
    (head, tokens): (&Parts, Option<u64>),
    error: RouteError,
) -> Result<(ExtractedModel, Selection), RouteError> {
    let selection = match what {
        WithoutModel::Model(name) | WithoutModel::Insert(name) => {
            table.select(head, (name, name), tokens)?
        }
        WithoutModel::Route(name) => table.select_route(head, name, tokens)?,
        _ => return Err(error),
    };
    let model = ExtractedModel::of_unnamed(table.requested(selection));
    Ok((model, selection))
}

/// The model, with its place in the body, if that is a JSON object in which engines look for it.
fn inserted(
    scan: &Scan,
    text: &mut Text<'_>,
    model: ExtractedModel,
) -> Result<ExtractedModel, RouteError> {
    if !scan.reads_member() {
        return Ok(model);
    }
    text.inflate(scan.decoder())?;
    let body = text.readable().contiguous();
    let mark = if body.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    };
    let mut rest = body.iter().enumerate().skip(mark);
    let mut next = || rest.find(|(_, byte)| !byte.is_ascii_whitespace());
    Ok(match (next(), next()) {
        (Some((brace, b'{')), Some((_, after))) => {
            ExtractedModel::inserted(model.name(), brace as u64, *after == b'}')
        }
        _ => model,
    })
}

//! What a request asks for: its model and rule, the keys in its body, the answer that it wants.

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
    upload::Received,
};

pub(super) struct Read {
    pub(super) selection: Selection,
    pub(super) model: ExtractedModel,
    /// `None` if none are needed, as for most.
    pub(super) keys: Option<Box<BodyKeys>>,
    /// The body without its coding, if it has one and that was kept.
    pub(super) plain: Option<Box<Plain>>,
    /// Where the object that it names is kept.
    pub(super) home: Option<Arc<Home>>,
}

/// A body without the coding in which it came.
///
/// Of a large one only the beginning is read, as of one that was sent uncompressed: joining and
/// reading all of it would keep other requests waiting.
pub(super) struct Plain {
    pub(super) chunks: Chunks,
    limit: u64,
}

impl Plain {
    /// How many bytes of it are read.
    pub(super) fn read(&self) -> u64 {
        self.chunks.len().min(self.limit)
    }

    fn beginning(&mut self) -> &[u8] {
        self.chunks.leading(self.limit)
    }

    /// All of it, if that is read.
    pub(super) fn whole(&mut self) -> Option<&[u8]> {
        (self.chunks.len() <= self.limit).then(|| self.beginning())
    }
}

/// Whether the gateway reads more of a request's body than the model that `scan` looks for.
pub(super) fn reads_on(
    table: &CompiledTable,
    head: &Parts,
    scan: &Scan,
    options: &Options,
) -> bool {
    scan.reads_whole()
        || table.reads_bodies()
        || table.homes.reads_body(head)
        || matches!(*options.without_model(table, head), WithoutModel::Insert(_))
}

/// A body that may be compressed, to be read here.
struct Text<'a> {
    chunks: &'a mut Chunks,
    plain: Option<Box<Plain>>,
    is_coded: bool,
}

impl Text<'_> {
    /// What is read of it: nothing if it is compressed, and was not expected to be read.
    fn beginning(&mut self) -> &[u8] {
        match &mut self.plain {
            Some(plain) => plain.beginning(),
            None if self.is_coded => &[],
            None => self.chunks.contiguous(),
        }
    }

    /// About how many tokens the prompt has, if a rule of the table depends on it; `total` is the
    /// length of a body that is not whole.
    fn tokens(&mut self, table: &CompiledTable, total: Option<u64>) -> Option<u64> {
        if !table.routes.counts_prompts {
            return None;
        }
        let needed = NeededKeys {
            tokens: true,
            ..NeededKeys::default()
        };
        let text = self.beginning();
        let tokens = BodyKeys::read(text, needed).tokens?;
        let read = text.len() as u64;
        let total = total.unwrap_or_else(|| self.all().len());
        Some(tokens.of_prompt(read, total.saturating_sub(read)))
    }

    fn all(&mut self) -> &mut Chunks {
        match &mut self.plain {
            Some(plain) => &mut plain.chunks,
            None => self.chunks,
        }
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
        let kept = scan.decoder_mut().and_then(Decoder::take_kept);
        let mut text = Text {
            chunks: &mut received.chunks,
            plain: kept.map(|chunks| {
                let limit = options.replay_bytes;
                Box::new(Plain { chunks, limit })
            }),
            is_coded: scan.decoder().is_some(),
        };
        let tokens = text.tokens(table, total);
        let (model, selection) = match scan.locate(head, text.all(), total) {
            Ok(model) => {
                let selection = table.select(head, (&model.name, model.shown()), tokens)?;
                (model, selection)
            }
            Err(error) if error.kind() == RouteErrorKind::MissingModel => {
                let what = options.without_model(table, head);
                let (model, selection) = unnamed(&what, table, (head, tokens), error)?;
                let is_inserted = matches!(*what, WithoutModel::Insert(_)) && is_whole;
                let model = match is_inserted {
                    true => inserted(scan, &mut text, model),
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
            let text = text.beginning();
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
fn inserted(scan: &Scan, text: &mut Text<'_>, model: ExtractedModel) -> ExtractedModel {
    if !scan.reads_member() {
        return model;
    }
    let body = text.beginning();
    let mark = if body.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    };
    let mut rest = body.iter().enumerate().skip(mark);
    let mut next = || rest.find(|(_, byte)| !byte.is_ascii_whitespace());
    match (next(), next()) {
        (Some((brace, b'{')), Some((_, after))) => {
            ExtractedModel::inserted(model.name(), brace as u64, *after == b'}')
        }
        _ => model,
    }
}

//! A rule of the table: its conditions, its targets, and what it sees of a request.

use std::{borrow::Cow, cell::OnceCell, ops::Range, sync::Arc};

use http::{HeaderName, header::HOST, request::Parts};
use percent_encoding::percent_decode_str;

use super::{matcher::Matcher, picks::Picks, split::Split};

/// A [`Rule`](crate::Rule) with its names resolved, in one cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct CompiledRule {
    pub(crate) name: Arc<str>,
    pub(super) route: u32,
    pub(super) conditions: Box<[CompiledCondition]>,
    pub(super) targets: Targets,
    pub(crate) picks: Arc<Picks>,
}

#[derive(Clone, Debug)]
pub(super) enum CompiledCondition {
    Header(HeaderName, Matcher),
    Uri(Matcher),
    BodyModel(Box<str>),
    PromptTokens { min: u64, max: u64 },
}

/// The targets of a rule.
#[derive(Clone, Debug)]
pub(super) enum Targets {
    /// To one ModelServer, by its position in the table's `servers`.
    One(u32),
    Split(Box<SplitTargets>),
}

#[derive(Clone, Debug)]
pub(super) struct SplitTargets {
    /// Positions in the table's `servers`: the targets' and then the fallbacks'.
    pub(super) servers: Box<[u32]>,
    /// The weighted split of the targets.
    pub(super) split: Arc<Split>,
    /// The targets, the heaviest first, and then the fallbacks.
    pub(super) order: Box<[u32]>,
}

impl Targets {
    /// In a table that is never used, because its mistakes are reported instead.
    pub(super) const NONE: Self = Self::One(0);
}

impl CompiledRule {
    /// The position of a target's ModelServer.
    pub(super) fn server(&self, target: usize) -> u32 {
        match &self.targets {
            Targets::One(server) => *server,
            Targets::Split(targets) => targets.servers[target],
        }
    }

    /// The position of the ModelServer that all its requests go to, if it matches all requests.
    pub(super) fn only_server(&self) -> Option<u32> {
        match self.targets {
            Targets::One(server) if self.conditions.is_empty() => Some(server),
            _ => None,
        }
    }

    /// The number of targets that are not fallbacks.
    pub(crate) fn own_targets(&self) -> usize {
        match &self.targets {
            Targets::One(_) => 1,
            Targets::Split(targets) => targets.split.targets(),
        }
    }

    /// The positions of all targets.
    pub(super) fn all(&self) -> Range<usize> {
        match &self.targets {
            Targets::One(_) => 0..1,
            Targets::Split(targets) => 0..targets.servers.len(),
        }
    }

    pub(super) fn fallbacks(&self) -> Range<usize> {
        self.own_targets()..self.all().end
    }

    /// The positions of all targets: the heaviest first, the fallbacks last.
    pub(super) fn by_weight(&self) -> impl Iterator<Item = usize> {
        let order: &[u32] = match &self.targets {
            Targets::One(_) => &[0],
            Targets::Split(targets) => &targets.order,
        };
        order.iter().map(|&target| target as usize)
    }

    /// The positions of all targets, in the order in which a request that was
    /// sent to `current` tries them.
    pub(super) fn starting_at(&self, current: u32) -> impl Iterator<Item = usize> {
        let current = current as usize;
        let others = self.by_weight().filter(move |&target| target != current);
        std::iter::once(current).chain(others)
    }

    /// Whether a condition depends on the tokens of a prompt.
    pub(super) fn counts_prompts(&self) -> bool {
        let is = |condition: &_| matches!(condition, CompiledCondition::PromptTokens { .. });
        self.conditions.iter().any(is)
    }

    pub(super) fn matches(&self, request: &RequestView<'_>) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.holds(request))
    }
}

impl CompiledCondition {
    pub(super) fn holds(&self, request: &RequestView<'_>) -> bool {
        match self {
            Self::Header(name, value) => {
                request.values(name).any(|(found, _)| value.is_match(found))
            }
            Self::Uri(path) => path.is_match(request.path()),
            Self::BodyModel(model) => **model == *request.model,
            Self::PromptTokens { min, max } => request
                .tokens
                .is_some_and(|tokens| (min..=max).contains(&&tokens)),
        }
    }
}

/// The parts of a request that rules look at.
pub(super) struct RequestView<'a> {
    pub(super) head: &'a Parts,
    pub(super) model: &'a str,
    /// About how many tokens the prompt has, if that is known.
    pub(super) tokens: Option<u64>,
    path: OnceCell<Cow<'a, [u8]>>,
}

impl<'a> RequestView<'a> {
    pub(super) fn new(head: &'a Parts, model: &'a str, tokens: Option<u64>) -> Self {
        Self {
            head,
            model,
            tokens,
            path: OnceCell::new(),
        }
    }

    /// The values of a header, each with whether it is sensitive.
    ///
    /// `host` is the authority of the URI where that has one: in HTTP/2, and in HTTP/1.1's
    /// absolute form (RFC 9113 section 8.3.1, RFC 9112 section 3.2.2).
    pub(super) fn values(
        &self,
        name: &HeaderName,
    ) -> impl Iterator<Item = (&'a [u8], bool)> + use<'a> {
        let authority = self.head.uri.authority().filter(|_| *name == HOST);
        let fields = self.head.headers.get_all(name).iter();
        let fields = fields.filter(move |_| authority.is_none());
        let host = authority.map(|authority| {
            let host = authority.as_str();
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            (host.as_bytes(), false)
        });
        let fields = fields.map(|value| (value.as_bytes(), value.is_sensitive()));
        host.into_iter().chain(fields)
    }

    /// The path, percent-decoded when the first rule asks for it.
    pub(super) fn path(&self) -> &[u8] {
        self.path
            .get_or_init(|| percent_decode_str(self.head.uri.path()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_its_size() {
        assert_eq!(size_of::<CompiledRule>(), 64);
    }
}

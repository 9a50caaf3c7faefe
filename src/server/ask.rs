//! The inputs of the choice among a ModelServer's endpoints.

use std::sync::Arc;

use super::balance::prompt::Prompt;

/// What a request asks of a ModelServer, as far as its balance wants to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    /// By which requests belong together.
    pub(super) key: Option<u64>,
    /// Its session, if those are bound to endpoints.
    pub(super) session: Option<u64>,
    /// Whether its tokens count.
    pub(super) is_weighed: bool,
    pub(super) tokens: Tokens,
    /// What an engine may have in its cache.
    pub(super) prompt: Option<Prompt>,
    /// The model, for a balance of the user's.
    pub(super) model: Option<Arc<str>>,
}

impl Ask {
    /// That of a ModelServer which wants to know nothing.
    pub(super) fn nothing() -> &'static Self {
        static NOTHING: Ask = Ask {
            key: None,
            session: None,
            is_weighed: false,
            tokens: Tokens {
                prompt: 0,
                output: 0,
            },
            prompt: None,
            model: None,
        };
        &NOTHING
    }
}

/// The tokens that a request will probably cost an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(super) prompt: u64,
    pub(super) output: u64,
}

/// Of how many output tokens one weighs as much as a token of the prompt.
///
/// Engines compute a prompt at ten thousands of tokens a second and take all of an endpoint's
/// answers forward together, so that one more answer slows the others little. The simulator in
/// `benches/simulate` has the least waiting with 4 to 16.
const OUTPUT_PER_PROMPT: u64 = 8;

impl Tokens {
    /// What is in flight before the first content: the prompt and the output.
    pub(super) fn all(self) -> u64 {
        self.prompt.saturating_add(self.rest())
    }

    /// What is in flight after the first content.
    pub(super) fn rest(self) -> u64 {
        self.output.div_ceil(OUTPUT_PER_PROMPT)
    }

    /// Without what the engine has in its cache.
    pub(super) fn without(self, cached: u64) -> Self {
        Self {
            prompt: self.prompt.saturating_sub(cached),
            ..self
        }
    }
}

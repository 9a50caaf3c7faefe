//! The operation of a request, in the terms of OpenTelemetry's GenAI
//! conventions.

use crate::{error::Shape, events::Dialect};

/// A well-known value of `gen_ai.operation.name`, or none, and the API that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Operation {
    name: Option<&'static str>,
    dialect: Dialect,
}

impl Operation {
    /// Of a request for `path`, whose errors have this shape.
    pub(super) fn new(shape: Shape, path: &str) -> Self {
        let path = path.trim_end_matches('/');
        let dialect = Dialect::in_shape(shape, path);
        let last = path.rsplit(['/', ':']).next().unwrap_or_default();
        let name = match (dialect, last) {
            (Dialect::Chat | Dialect::Responses | Dialect::Messages, _) => Some("chat"),
            (Dialect::Completions, _) => Some("text_completion"),
            (Dialect::Gemini, "generateContent" | "streamGenerateContent") => {
                Some("generate_content")
            }
            (Dialect::Ollama | Dialect::Cohere, "chat") => Some("chat"),
            (Dialect::Ollama, "generate") => Some("text_completion"),
            (_, "embeddings" | "embed" | "embedContent" | "batchEmbedContents") => {
                Some("embeddings")
            }
            _ => None,
        };
        Self { name, dialect }
    }

    pub(super) fn name(self) -> Option<&'static str> {
        self.name
    }

    /// For a label, which every series has.
    #[cfg(feature = "metrics")]
    pub(super) fn as_str(self) -> &'static str {
        self.name.unwrap_or("other")
    }

    /// The API that clients speak, as `gen_ai.provider.name` has it: engines of one's own are
    /// known by that only.
    pub(super) fn provider(self) -> &'static str {
        match self.dialect {
            Dialect::Messages => "anthropic",
            Dialect::Gemini => "gcp.gemini",
            Dialect::Ollama => "ollama",
            Dialect::Cohere => "cohere",
            _ => "openai",
        }
    }

    pub(super) fn dialect(self) -> Dialect {
        self.dialect
    }
}

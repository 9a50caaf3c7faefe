//! What is known about an engine by its name.

/// The software that serves the model.
///
/// Requests are the same for all. It matters for what only some engines can do:
/// [`ModelServer::load_reports`](crate::ModelServer::load_reports).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineKind {
    /// `vLLM`.
    VLlm,
    /// `SGLang`.
    SgLang,
    /// `TensorRT-LLM`: its own server, or Triton.
    TensorRtLlm,
    /// `llama.cpp`.
    LlamaCpp,
    /// `Ollama`.
    Ollama,
}

impl EngineKind {
    #[cfg(feature = "manifest")]
    const ALL: [Self; 5] = [
        Self::VLlm,
        Self::SgLang,
        Self::TensorRtLlm,
        Self::LlamaCpp,
        Self::Ollama,
    ];

    /// The names, as manifests have them.
    #[cfg(feature = "manifest")]
    pub(crate) const NAMES: [&'static str; 5] = [
        Self::VLlm.name(),
        Self::SgLang.name(),
        Self::TensorRtLlm.name(),
        Self::LlamaCpp.name(),
        Self::Ollama.name(),
    ];

    /// Its name, such as `vLLM`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VLlm => "vLLM",
            Self::SgLang => "SGLang",
            Self::TensorRtLlm => "TensorRT-LLM",
            Self::LlamaCpp => "llama.cpp",
            Self::Ollama => "Ollama",
        }
    }

    #[cfg(feature = "manifest")]
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it may report its load in the heads of its answers.
    pub(crate) fn reports_load(self) -> bool {
        matches!(self, Self::VLlm | Self::TensorRtLlm)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for EngineKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

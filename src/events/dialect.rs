use crate::error::Shape;

/// The API whose streams a path has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI's chat completions: ends with a `finish_reason`, or `[DONE]`.
    Chat,
    /// OpenAI's text completions: ends as chats do.
    Completions,
    /// OpenAI's responses: ends with `response.completed`, `response.incomplete`,
    /// `response.failed` or `response.cancelled`.
    Responses,
    /// Anthropic's messages: ends with a `stop_reason`, or `message_stop`.
    Messages,
    /// Gemini: ends with a `finishReason`, or with a `blockReason` for the prompt.
    Gemini,
    /// Ollama: ends with `"done": true`.
    Ollama,
    /// Cohere's chat (v2): ends with `message-end`.
    Cohere,
    /// Anything else (audio, images, embeddings, engines' own): a clean end is an end, and every
    /// event is content unless it is an error or a terminal.
    Other,
}

impl Dialect {
    #[cfg(any(test, fuzzing))]
    pub(super) const ALL: [Self; 8] = [
        Self::Chat,
        Self::Completions,
        Self::Responses,
        Self::Messages,
        Self::Gemini,
        Self::Ollama,
        Self::Cohere,
        Self::Other,
    ];

    /// The API of a request's path, which may be mounted under any prefix.
    pub fn of(path: &str) -> Self {
        Self::in_shape(Shape::of_path(path), path)
    }

    /// The same where the shape of its errors is known.
    pub(crate) fn in_shape(shape: Shape, path: &str) -> Self {
        // (A single character as the pattern is searched for through the whole path.)
        let path = path.trim_end_matches(['/']);
        match shape {
            Shape::Anthropic => Self::Messages,
            Shape::Google => of_google(path),
            Shape::Text if is_ollama(path) => Self::Ollama,
            Shape::Text => Self::Other,
            Shape::OpenAi if path.ends_with("/chat/completions") => Self::Chat,
            Shape::OpenAi if path.ends_with("/completions") => Self::Completions,
            Shape::OpenAi if path.ends_with("/responses") || path.contains("/responses/") => {
                Self::Responses
            }
            Shape::Cohere if path.ends_with("/v2/chat") => Self::Cohere,
            Shape::OpenAi | Shape::Bedrock | Shape::Cohere => Self::Other,
        }
    }

    /// Whether it is known how its streams end.
    pub fn has_terminal(self) -> bool {
        self != Self::Other
    }

    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::Messages => Shape::Anthropic,
            Self::Gemini => Shape::Google,
            Self::Ollama => Shape::Text,
            Self::Cohere => Shape::Cohere,
            Self::Chat | Self::Completions | Self::Responses | Self::Other => Shape::OpenAi,
        }
    }
}

/// Vertex passes requests to models of other publishers on as they are: its errors are Google's, and
/// the streams those of the publisher's API.
fn of_google(path: &str) -> Dialect {
    let Some((model, "rawPredict" | "streamRawPredict")) = path.rsplit_once(':') else {
        return Dialect::Gemini;
    };
    let publisher = model.split_once("/publishers/").map(|(_, behind)| behind);
    match publisher.and_then(|behind| behind.split('/').next()) {
        Some("anthropic") => Dialect::Messages,
        Some("mistralai" | "ai21") => Dialect::Chat,
        _ => Dialect::Other,
    }
}

fn is_ollama(path: &str) -> bool {
    path.rsplit('/').nth(1) == Some("api")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_its_apis_dialect() {
        for (path, dialect) in [
            ("/v1/chat/completions", Dialect::Chat),
            ("/any/prefix/v1/chat/completions/", Dialect::Chat),
            ("/openai/deployments/m/chat/completions", Dialect::Chat),
            ("/v1beta/openai/chat/completions", Dialect::Chat),
            ("/v1/completions", Dialect::Completions),
            ("/v1/responses", Dialect::Responses),
            ("/v1/responses/resp_1", Dialect::Responses),
            ("/v1/messages", Dialect::Messages),
            ("/anthropic/v1/messages", Dialect::Messages),
            ("/v1beta/models/m:streamGenerateContent", Dialect::Gemini),
            ("/api/chat", Dialect::Ollama),
            ("/api/generate", Dialect::Ollama),
            ("/v2/chat", Dialect::Cohere),
            ("/cohere/v2/chat", Dialect::Cohere),
            (
                "/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict",
                Dialect::Messages,
            ),
            (
                "/v1/projects/p/locations/l/publishers/mistralai/models/m:rawPredict",
                Dialect::Chat,
            ),
            (
                "/v1/projects/p/locations/l/publishers/meta/models/m:rawPredict",
                Dialect::Other,
            ),
            (
                "/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent",
                Dialect::Gemini,
            ),
            ("/model/m/converse-stream", Dialect::Other),
            ("/v2/models/m/generate_stream", Dialect::Other),
            ("/v1/audio/speech", Dialect::Other),
            ("/v1/embeddings", Dialect::Other),
            ("/invocations", Dialect::Other),
            ("", Dialect::Other),
        ] {
            assert_eq!(Dialect::of(path), dialect, "{path}");
        }
    }
}

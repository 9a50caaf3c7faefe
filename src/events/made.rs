//! The kinds of output that engines make.

/// What an engine makes for a request, as far as the path says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// Text, or what is not known.
    Text,
    /// Images and audio: their length says nothing about tokens.
    Media,
    /// Vectors, scores, ids of tokens: no output that is generated.
    Numbers,
}

impl Made {
    /// By the last segment of the path, or the verb behind it.
    pub(crate) fn by(path: &str) -> Self {
        let operation = path.trim_end_matches('/').rsplit(['/', ':']).next();
        match operation.unwrap_or_default() {
            "embeddings" | "embed" | "embedContent" | "batchEmbedContents" | "rerank" | "score"
            | "classify" | "pooling" | "moderations" | "tokenize" | "detokenize"
            | "countTokens" | "count_tokens" => Self::Numbers,
            "speech" | "generations" | "edits" | "variations" => Self::Media,
            _ => Self::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operation_says_it_below_any_prefix() {
        for (path, made) in [
            ("/v1/chat/completions", Made::Text),
            ("/generate", Made::Text),
            ("/model/m/converse", Made::Text),
            ("/v1/audio/transcriptions", Made::Text),
            // Of whatever model.
            ("/v1/models/m:predict", Made::Text),
            ("/any/v1/embeddings/", Made::Numbers),
            ("/v1beta/models/m:embedContent", Made::Numbers),
            ("/v1/messages/count_tokens", Made::Numbers),
            ("/v1/images/generations", Made::Media),
            ("/v1/audio/speech", Made::Media),
            ("", Made::Text),
        ] {
            assert_eq!(Made::by(path), made, "{path}");
        }
    }
}

//! The keys that matter, of all dialects in one tree.

use super::{event_error::Part, usage::Count};

/// What the value at a path of keys means. Arrays are transparent: what holds for `choices` holds
/// for each of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Nothing, nor does anything in it.
    Other,
    /// An object with keys that matter.
    In(Inner),
    /// Output, if it is not empty.
    Text,
    Role,
    /// Why the generation ended, if it is not null.
    Finish,
    /// Whether the generation has ended.
    Done,
    Type,
    Object,
    BlockType,
    Modality,
    ModalityCount,
    Count(Count),
    Said(Part),
    /// It says nothing, and is another in each event.
    Varying,
}

/// An object with keys that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inner {
    Root,
    Choices,
    /// `choices[].delta`, `choices[].message`.
    ChoiceDelta,
    /// Anthropic's and Cohere's object; the responses' text.
    Delta,
    /// `content_block`, `item`.
    Block,
    /// Anthropic's, Cohere's and Ollama's object; an error's text.
    Message,
    /// The responses' object, and the interactions'; Ollama's text.
    Response,
    Candidates,
    CandidateContent,
    Parts,
    Feedback,
    Meta,
    Usage,
    InputDetails,
    OutputDetails,
    UsageMetadata,
    InputModalities,
    OutputModalities,
    /// An object; a text.
    Error,
}

impl Inner {
    /// What a key in it means.
    #[inline]
    pub(super) fn child(self, key: &[u8]) -> Node {
        match self {
            Self::Root => root(key),
            Self::Choices => choice(key),
            Self::ChoiceDelta => choice_delta(key),
            Self::Delta => delta(key),
            Self::Block => block(key),
            Self::Message => message(key),
            Self::Response => response(key),
            Self::Candidates => candidate(key),
            Self::CandidateContent if key == b"parts" => Node::In(Self::Parts),
            Self::Parts => part(key),
            Self::Feedback if key == b"blockReason" => Node::Finish,
            Self::Meta if matches!(key, b"tokens" | b"billed_units") => Node::In(Self::Usage),
            Self::Usage => usage(key),
            Self::InputDetails => details(key, Count::InputAudio),
            Self::OutputDetails => details(key, Count::OutputAudio),
            Self::UsageMetadata => usage_metadata(key),
            Self::InputModalities | Self::OutputModalities => modality(key),
            Self::Error => error(key),
            Self::CandidateContent | Self::Feedback | Self::Meta => Node::Other,
        }
    }
}

fn root(key: &[u8]) -> Node {
    match key {
        b"choices" => Node::In(Inner::Choices),
        b"delta" => Node::In(Inner::Delta),
        b"type" | b"event_type" => Node::Type,
        b"object" => Node::Object,
        // SGLang's own API has it in `meta_info`.
        b"usage" | b"meta_info" => Node::In(Inner::Usage),
        b"usageMetadata" => Node::In(Inner::UsageMetadata),
        b"error" => Node::In(Inner::Error),
        b"message" => Node::In(Inner::Message),
        b"code" => Node::Said(Part::Code),
        b"response" | b"interaction" => Node::In(Inner::Response),
        b"candidates" => Node::In(Inner::Candidates),
        b"promptFeedback" => Node::In(Inner::Feedback),
        b"content_block" | b"item" => Node::In(Inner::Block),
        b"stop_reason" => Node::Finish,
        b"done" => Node::Done,
        b"prompt_eval_count" => Node::Count(Count::Input),
        b"eval_count" => Node::Count(Count::Output),
        b"meta" => Node::In(Inner::Meta),
        b"sequence_number" | b"created_at" | b"obfuscation" => Node::Varying,
        // The responses' pieces and wholes, Ollama's thoughts, and whole answers of any API.
        b"text" | b"arguments" | b"refusal" | b"transcript" | b"partial_image_b64"
        | b"thinking" | b"content" | b"output" | b"data" | b"embedding" | b"embeddings"
        | b"results" => Node::Text,
        _ => Node::Other,
    }
}

fn choice(key: &[u8]) -> Node {
    match key {
        b"delta" | b"message" => Node::In(Inner::ChoiceDelta),
        b"text" => Node::Text,
        b"finish_reason" => Node::Finish,
        b"index" => Node::Varying,
        _ => Node::Other,
    }
}

fn choice_delta(key: &[u8]) -> Node {
    match key {
        b"content" | b"tool_calls" | b"reasoning_content" | b"reasoning" | b"reasoning_details"
        | b"thinking_blocks" | b"refusal" | b"function_call" | b"audio" | b"images" => Node::Text,
        b"role" => Node::Role,
        _ => Node::Other,
    }
}

fn delta(key: &[u8]) -> Node {
    match key {
        b"text" | b"partial_json" | b"thinking" | b"citation" => Node::Text,
        b"stop_reason" => Node::Finish,
        // Cohere's.
        b"message" => Node::In(Inner::Message),
        b"finish_reason" => Node::Finish,
        b"usage" => Node::In(Inner::Usage),
        b"error" => Node::In(Inner::Error),
        _ => Node::Other,
    }
}

fn block(key: &[u8]) -> Node {
    match key {
        b"type" => Node::BlockType,
        b"text" | b"thinking" | b"data" => Node::Text,
        _ => Node::Other,
    }
}

fn message(key: &[u8]) -> Node {
    match key {
        b"usage" => Node::In(Inner::Usage),
        b"content" | b"thinking" | b"tool_calls" | b"tool_plan" | b"images" => Node::Text,
        _ => Node::Other,
    }
}

fn response(key: &[u8]) -> Node {
    match key {
        b"usage" => Node::In(Inner::Usage),
        b"error" => Node::In(Inner::Error),
        _ => Node::Other,
    }
}

fn candidate(key: &[u8]) -> Node {
    match key {
        b"content" => Node::In(Inner::CandidateContent),
        b"finishReason" => Node::Finish,
        _ => Node::Other,
    }
}

fn part(key: &[u8]) -> Node {
    match key {
        b"text"
        | b"functionCall"
        | b"inlineData"
        | b"fileData"
        | b"executableCode"
        | b"codeExecutionResult" => Node::Text,
        _ => Node::Other,
    }
}

fn usage(key: &[u8]) -> Node {
    Node::Count(match key {
        b"prompt_tokens" | b"input_tokens" | b"inputTokens" | b"total_input_tokens" => Count::Input,
        b"completion_tokens" | b"output_tokens" | b"outputTokens" | b"total_output_tokens" => {
            Count::Output
        }
        b"total_tokens" | b"totalTokens" => Count::Total,
        b"cache_read_input_tokens"
        | b"prompt_cache_hit_tokens"
        | b"cacheReadInputTokens"
        | b"cached_tokens"
        | b"total_cached_tokens" => Count::Cached,
        b"cache_creation_input_tokens" | b"cacheWriteInputTokens" => Count::CacheWritten,
        // SGLang's, and that of Google's interactions.
        b"reasoning_tokens" | b"total_thought_tokens" => Count::Reasoning,
        // Cohere's.
        b"tokens" => return Node::In(Inner::Usage),
        b"prompt_tokens_details" | b"input_tokens_details" | b"input_token_details" => {
            return Node::In(Inner::InputDetails);
        }
        b"completion_tokens_details" | b"output_tokens_details" | b"output_token_details" => {
            return Node::In(Inner::OutputDetails);
        }
        _ => return Node::Other,
    })
}

fn details(key: &[u8], audio: Count) -> Node {
    Node::Count(match key {
        b"cached_tokens" => Count::Cached,
        b"cache_write_tokens" | b"created_cache_tokens" => Count::CacheWritten,
        b"reasoning_tokens" | b"thinking_tokens" => Count::Reasoning,
        b"audio_tokens" => audio,
        _ => return Node::Other,
    })
}

fn usage_metadata(key: &[u8]) -> Node {
    Node::Count(match key {
        b"promptTokenCount" => Count::Input,
        b"candidatesTokenCount" => Count::Output,
        b"totalTokenCount" => Count::Total,
        b"cachedContentTokenCount" => Count::Cached,
        b"thoughtsTokenCount" => Count::Reasoning,
        b"promptTokensDetails" => return Node::In(Inner::InputModalities),
        b"candidatesTokensDetails" => return Node::In(Inner::OutputModalities),
        _ => return Node::Other,
    })
}

fn modality(key: &[u8]) -> Node {
    match key {
        b"modality" => Node::Modality,
        b"tokenCount" => Node::ModalityCount,
        _ => Node::Other,
    }
}

fn error(key: &[u8]) -> Node {
    match key {
        b"message" => Node::Said(Part::Message),
        b"type" | b"status" => Node::Said(Part::Kind),
        b"code" => Node::Said(Part::Code),
        _ => Node::Other,
    }
}

/// What the `type` of an event says, in its JSON or in the field `event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    None,
    Start,
    Ping,
    Terminal,
    Failed,
    Error,
    Other,
}

impl Type {
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"" => Self::None,
            b"message_start"
            | b"message-start"
            | b"response.created"
            | b"response.queued"
            | b"response.in_progress" => Self::Start,
            b"ping" | b"keepalive" => Self::Ping,
            b"message_stop"
            | b"message-end"
            | b"response.completed"
            | b"response.incomplete"
            | b"response.cancelled"
            | b"interaction.completed" => Self::Terminal,
            b"response.failed" => Self::Failed,
            b"error" => Self::Error,
            _ => Self::Other,
        }
    }
}

/// Whether a block of this type is output by being there: a call has a name, a text is empty at
/// first.
pub(super) fn is_output(block_type: &[u8]) -> bool {
    !matches!(
        block_type,
        b"" | b"text" | b"thinking" | b"redacted_thinking" | b"message" | b"reasoning"
    )
}

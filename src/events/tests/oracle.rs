//! The same by other means: an event is parsed into a tree, and the paths that matter are a list.

use serde_json::Value;

use crate::events::Kinds;

const OUTPUT: [&str; 44] = [
    "text",
    "arguments",
    "refusal",
    "transcript",
    "partial_image_b64",
    "thinking",
    "content",
    "output",
    "data",
    "embedding",
    "embeddings",
    "results",
    "choices.text",
    "choices.delta.content",
    "choices.delta.tool_calls",
    "choices.delta.reasoning_content",
    "choices.delta.reasoning",
    "choices.delta.refusal",
    "choices.delta.function_call",
    "choices.delta.audio",
    "choices.delta.images",
    "delta.text",
    "delta.partial_json",
    "delta.thinking",
    "content_block.text",
    "content_block.thinking",
    "content_block.data",
    "item.text",
    "item.thinking",
    "item.data",
    "message.content",
    "message.thinking",
    "message.tool_calls",
    "candidates.content.parts.text",
    "candidates.content.parts.functionCall",
    "candidates.content.parts.inlineData",
    "candidates.content.parts.executableCode",
    "candidates.content.parts.codeExecutionResult",
    "candidates.content.parts.fileData",
    "choices.delta.reasoning_details",
    "choices.delta.thinking_blocks",
    "delta.citation",
    "message.images",
    "message.tool_plan",
];

/// Output only as a string.
const OUTPUT_TEXT: [&str; 3] = ["delta", "response", "interaction"];

/// Blocks that are output only with a text.
const SILENT: [&str; 5] = [
    "text",
    "thinking",
    "redacted_thinking",
    "message",
    "reasoning",
];

const ROLES: [&str; 1] = ["choices.delta.role"];

const FINISHES: [&str; 6] = [
    "choices.finish_reason",
    "stop_reason",
    "delta.stop_reason",
    "delta.finish_reason",
    "candidates.finishReason",
    "promptFeedback.blockReason",
];

const COUNTS: [&str; 21] = [
    "usage.prompt_tokens",
    "usage.input_tokens",
    "usage.output_tokens",
    "usage.outputTokens",
    "usage.cacheReadInputTokens",
    "usage.cached_tokens",
    "usage.reasoning_tokens",
    "usage.total_input_tokens",
    "usage.total_output_tokens",
    "usage.total_cached_tokens",
    "usage.total_thought_tokens",
    "usage.prompt_tokens_details.cached_tokens",
    "usage.prompt_tokens_details.reasoning_tokens",
    "usage.prompt_tokens_details.thinking_tokens",
    "usage.prompt_tokens_details.created_cache_tokens",
    "usage.completion_tokens_details.cached_tokens",
    "usage.completion_tokens_details.reasoning_tokens",
    "usage.completion_tokens_details.thinking_tokens",
    "usage.completion_tokens_details.created_cache_tokens",
    "usageMetadata.promptTokenCount",
    "eval_count",
];

/// Where usage is beside the top level.
const USAGES: [&str; 7] = [
    "delta.usage",
    "response.usage",
    "interaction.usage",
    "message.usage",
    "meta.tokens",
    "meta_info",
    "usage.tokens",
];

/// The keys of all these paths.
pub(super) fn keys() -> Vec<&'static str> {
    let paths = OUTPUT
        .into_iter()
        .chain(OUTPUT_TEXT)
        .chain(ROLES)
        .chain(FINISHES)
        .chain(COUNTS)
        .chain(USAGES);
    let mut keys: Vec<_> = paths.flat_map(|path| path.split('.')).collect();
    keys.extend([
        "message", "type", "object", "error", "done", "id", "index", "x",
    ]);
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// What an object is in a dialect whose terminal is known.
pub(super) fn kinds(value: &Value) -> Kinds {
    let mut kinds = Kinds::NONE;
    walk(value, "", &mut kinds);
    kinds |= match value["type"].as_str() {
        Some("message_start" | "message-start") => Kinds::START,
        Some("ping") => Kinds::PING,
        Some("message_stop" | "message-end") => Kinds::TERMINAL,
        Some("response.failed") => Kinds::TERMINAL | Kinds::ERROR,
        Some("error") => Kinds::ERROR,
        _ => Kinds::NONE,
    };
    if value["done"] == true {
        kinds |= Kinds::FINISH | Kinds::TERMINAL;
    }
    if kinds.is_empty() {
        Kinds::METADATA
    } else {
        kinds
    }
}

/// Whether an object at this path has keys that matter: an array there is transparent.
fn has_members(path: &str) -> bool {
    let paths = OUTPUT.into_iter().chain(FINISHES).chain(COUNTS);
    let is_below = |other: &str| {
        other
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    [
        "",
        "error",
        "response",
        "response.error",
        "interaction",
        "interaction.error",
        "delta.error",
        "item",
        "meta",
    ]
    .contains(&path)
        || paths.into_iter().any(is_below)
}

fn walk(value: &Value, path: &str, kinds: &mut Kinds) {
    // A message in one piece is as a delta.
    let path = path.replace("choices.message", "choices.delta");
    // Cohere's is within a delta.
    let path = match path.strip_prefix("delta.message") {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => format!("message{rest}"),
        _ => path,
    };
    let path = &path[..];
    let usage = USAGES.iter().find_map(|usage| path.strip_prefix(usage));
    let path = &usage.map_or(path.to_owned(), |rest| format!("usage{rest}"))[..];
    let is = |paths: &[&str]| paths.contains(&path);
    let is_text = matches!(value, Value::String(text) if !text.is_empty());
    if is(&OUTPUT) {
        let is_full = match value {
            Value::Array(list) => !list.is_empty(),
            Value::Object(object) => !object.is_empty(),
            _ => is_text,
        };
        if is_full {
            *kinds |= Kinds::CONTENT;
        }
        return;
    }
    let says = [
        (is_text && is(&OUTPUT_TEXT), Kinds::CONTENT),
        (is_text && is(&ROLES), Kinds::START),
        (is_text && is(&FINISHES), Kinds::FINISH),
        (value.is_u64() && is(&COUNTS), Kinds::USAGE),
        (*value == "error" && is(&["object"]), Kinds::ERROR),
        (
            is(&[
                "error",
                "response.error",
                "interaction.error",
                "delta.error",
            ]) && (value.is_u64() || is_text || value.is_object()),
            Kinds::ERROR,
        ),
        (
            is_text
                && is(&["content_block.type", "item.type"])
                && !SILENT.contains(&value.as_str().unwrap()),
            Kinds::CONTENT,
        ),
    ];
    for (_, kind) in says.into_iter().filter(|(is, _)| *is) {
        *kinds |= kind;
    }
    match value {
        Value::Array(list) if has_members(path) => {
            list.iter().for_each(|value| walk(value, path, kinds));
        }
        Value::Object(object) => {
            for (key, value) in object {
                let dot = if path.is_empty() { "" } else { "." };
                walk(value, &format!("{path}{dot}{key}"), kinds);
            }
        }
        _ => {}
    }
}

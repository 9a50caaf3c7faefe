//! The paths of inference APIs, the only ones that may reach an engine.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use super::mistake::{BuildError, MistakeKind};

/// Which paths may reach an engine: by default only those of the inference APIs.
///
/// Engines also have paths that no client should reach: `/flush_cache`, `/sleep`,
/// `/update_weights_from_disk`, `/v1/load_lora_adapter`. A request for a path
/// that is not on the list is answered with 404 and the code `unknown_path`.
///
/// A path is on the list if it *ends* like one of the patterns, so that the
/// APIs may be mounted under any prefix. A single trailing slash is allowed. In
/// a pattern, `{version}` is one segment such as `v1` or `v1beta`; any other
/// name in braces is one or more segments, because the names of models have
/// slashes. Braces before a colon (`{model}:{verb}`) need a colon in the last
/// segment.
///
/// The [standard list](Self::standard):
///
/// | API | paths |
/// |---|---|
/// | OpenAI | `/{version}/chat/completions`, `/{version}/completions`, `/{version}/embeddings`, `/{version}/responses`, `/{version}/responses/{rest}`, `/{version}/moderations`, `/{version}/audio/{rest}`, `/{version}/images/{rest}`, `/{version}/realtime`, `/{version}/realtime/{rest}`, `/{version}/files`, `/{version}/files/{rest}`, `/{version}/batches`, `/{version}/batches/{rest}`, `/{version}/videos`, `/{version}/videos/{rest}`, `/{version}/decisions` |
/// | vLLM, SGLang | `/{version}/chat/completions/{rest}`, `/{version}/completions/render`, `/{version}/completions/derender`, `/{version}/score`, `/score`, `/{version}/rerank`, `/rerank`, `/{version}/pooling`, `/pooling`, `/{version}/classify`, `/classify`, `/{version}/tokenize`, `/tokenize`, `/{version}/detokenize`, `/detokenize`, `/{version}/systemone`, `/generative_scoring`, `/{version}/meshes`, `/{version}/meshes/{rest}`, `/encode`, `/generate`, `/inference/v1/generate`, `/invocations` |
/// | Anthropic | `/{version}/messages`, `/{version}/messages/{rest}` |
/// | Gemini, KServe | `/{version}/models/{model}:{verb}`, `/{version}/tunedModels/{model}:{verb}`, `/{version}/openai/chat/completions`, `/{version}/openai/embeddings`, `/{version}/interactions`, `/{version}/interactions/{rest}` |
/// | Vertex AI | `/{version}/projects/{rest}:{verb}`, `/{version}/publishers/{rest}:{verb}`, `/{version}/projects/{rest}/chat/completions` |
/// | Bedrock | `/model/{model}/invoke`, `/model/{model}/invoke-with-response-stream`, `/model/{model}/converse`, `/model/{model}/converse-stream`, `/model/{model}/count-tokens` |
/// | Ollama | `/api/chat`, `/api/generate`, `/api/embed`, `/api/embeddings`, `/api/show` |
/// | Azure | `/openai/deployments/{model}/chat/completions`, `/openai/deployments/{model}/completions`, `/openai/deployments/{model}/embeddings`, `/openai/deployments/{model}/audio/speech`, `/openai/deployments/{model}/audio/transcriptions`, `/openai/deployments/{model}/audio/translations`, `/openai/deployments/{model}/images/generations`, `/openai/deployments/{model}/images/edits`, `/openai/deployments/{model}/images/variations`, `/openai/deployments/{model}/responses`, `/openai/deployments/{model}/realtime`, `/openai/responses`, `/openai/responses/{rest}`, `/openai/realtime`, `/openai/files`, `/openai/files/{rest}`, `/openai/batches`, `/openai/batches/{rest}` |
/// | Cohere | `/{version}/chat`, `/{version}/chat/render`, `/{version}/embed`, `/{version}/parse` |
/// | Mistral | `/{version}/fim/completions`, `/{version}/ocr`, `/{version}/classifications`, `/{version}/chat/classifications`, `/{version}/chat/moderations` |
/// | KServe v2, Triton | `/v2/models/{model}/ready`, `/v2/models/{model}/infer`, `/v2/models/{model}/infer_stream`, `/v2/models/{model}/generate`, `/v2/models/{model}/generate_stream` |
/// | to read or delete what belongs to a model (GET, HEAD, DELETE) | `/v1/models/{rest}` |
/// | to read what an Ollama has (GET, HEAD, DELETE) | `/api/tags`, `/api/ps`, `/api/version` |
///
/// A path on the list is not yet a route: the request must still name a model,
/// in its path or its body. Patterns of your own
/// [`PathModel`](crate::PathModel) and [`QueryModel`](crate::QueryModel) are on
/// the list too, and what your own extractor's
/// [`reads_path`](crate::ExtractModel::reads_path) says.
///
/// ```
/// use tower_model_route::{ApiPaths, ModelRouteLayer, RouteTable};
///
/// # fn main() -> Result<(), tower_model_route::BuildError> {
/// # let table = RouteTable::builder().build()?;
/// let layer = ModelRouteLayer::new(table)
///     .paths(ApiPaths::standard().and("/v1/summaries")?);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[must_use]
pub struct ApiPaths {
    base: Base,
    own: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
enum Base {
    #[default]
    Standard,
    None,
    Any,
}

/// The standard list for any method, the most frequent first.
const STANDARD: [&str; 93] = [
    "/{version}/chat/completions",
    "/{version}/completions",
    "/{version}/embeddings",
    "/{version}/responses",
    "/{version}/responses/{rest}",
    "/{version}/messages",
    "/{version}/messages/{rest}",
    "/{version}/moderations",
    "/{version}/audio/{rest}",
    "/{version}/images/{rest}",
    "/{version}/realtime",
    "/{version}/realtime/{rest}",
    "/{version}/files",
    "/{version}/files/{rest}",
    "/{version}/batches",
    "/{version}/batches/{rest}",
    "/{version}/videos",
    "/{version}/videos/{rest}",
    "/{version}/decisions",
    "/{version}/chat/completions/{rest}",
    "/{version}/completions/render",
    "/{version}/completions/derender",
    "/{version}/score",
    "/score",
    "/{version}/rerank",
    "/rerank",
    "/{version}/pooling",
    "/pooling",
    "/{version}/classify",
    "/classify",
    "/{version}/tokenize",
    "/tokenize",
    "/{version}/detokenize",
    "/detokenize",
    "/{version}/systemone",
    "/generative_scoring",
    "/{version}/meshes",
    "/{version}/meshes/{rest}",
    "/encode",
    "/generate",
    "/inference/v1/generate",
    "/invocations",
    "/{version}/models/{model}:{verb}",
    "/{version}/tunedModels/{model}:{verb}",
    "/{version}/openai/chat/completions",
    "/{version}/openai/embeddings",
    "/{version}/interactions",
    "/{version}/interactions/{rest}",
    "/{version}/projects/{rest}:{verb}",
    "/{version}/publishers/{rest}:{verb}",
    "/{version}/projects/{rest}/chat/completions",
    "/model/{model}/invoke",
    "/model/{model}/invoke-with-response-stream",
    "/model/{model}/converse",
    "/model/{model}/converse-stream",
    "/model/{model}/count-tokens",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
    "/api/show",
    "/openai/deployments/{model}/chat/completions",
    "/openai/deployments/{model}/completions",
    "/openai/deployments/{model}/embeddings",
    "/openai/deployments/{model}/audio/speech",
    "/openai/deployments/{model}/audio/transcriptions",
    "/openai/deployments/{model}/audio/translations",
    "/openai/deployments/{model}/images/generations",
    "/openai/deployments/{model}/images/edits",
    "/openai/deployments/{model}/images/variations",
    "/openai/deployments/{model}/responses",
    "/openai/deployments/{model}/realtime",
    "/openai/responses",
    "/openai/responses/{rest}",
    "/openai/realtime",
    "/openai/files",
    "/openai/files/{rest}",
    "/openai/batches",
    "/openai/batches/{rest}",
    "/{version}/chat",
    "/{version}/chat/render",
    "/{version}/embed",
    "/{version}/parse",
    "/{version}/fim/completions",
    "/{version}/ocr",
    "/{version}/classifications",
    "/{version}/chat/classifications",
    "/{version}/chat/moderations",
    "/v2/models/{model}/ready",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/infer_stream",
    "/v2/models/{model}/generate",
    "/v2/models/{model}/generate_stream",
];

/// Those for methods without a body.
const TO_READ: [&str; 4] = ["/v1/models/{rest}", "/api/tags", "/api/ps", "/api/version"];

impl ApiPaths {
    /// The inference APIs; the default.
    pub fn standard() -> Self {
        Self::default()
    }

    /// No path but those that are added.
    pub fn none() -> Self {
        Self {
            base: Base::None,
            own: Vec::new(),
        }
    }

    /// Every path.
    ///
    /// Anyone who can name a model can then reach everything that its engines
    /// serve on that port, administration included.
    pub fn any() -> Self {
        Self {
            base: Base::Any,
            own: Vec::new(),
        }
    }

    /// Adds the paths that end like `pattern`, with any method.
    ///
    /// # Errors
    ///
    /// If the pattern does not begin with a slash, or has an empty segment.
    /// Braces must enclose a whole segment, or one side of its colon. Besides
    /// `{version}`, only one segment may have them.
    pub fn and(mut self, pattern: impl Into<String>) -> Result<Self, BuildError> {
        let pattern = pattern.into();
        match mistake(&pattern) {
            None => {
                self.own.push(pattern);
                Ok(self)
            }
            Some(why) => {
                let mistake = MistakeKind::InvalidPath(why.into());
                Err(BuildError::other("ApiPaths", mistake))
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn standard_patterns() -> impl Iterator<Item = &'static str> {
        STANDARD.into_iter()
    }

    /// Whether requests with this method for `path` pass.
    pub fn has(&self, method: &Method, path: &str) -> bool {
        let reads = || matches!(*method, Method::GET | Method::HEAD | Method::DELETE);
        self.has_for_any(path) || (self.base == Base::Standard && reads() && one_of(&TO_READ, path))
    }

    /// Whether requests for `path` pass with any method.
    pub(crate) fn has_for_any(&self, path: &str) -> bool {
        match self.base {
            Base::Any => true,
            Base::Standard if is_usual(path) || one_of(&STANDARD, path) => true,
            Base::Standard | Base::None => one_of(&self.own, path),
        }
    }

    /// Whether they are every path.
    pub(crate) fn are_all(&self) -> bool {
        self.base == Base::Any
    }

    /// Whether a request can have exactly `path`, if these are added to the standard list.
    pub(crate) fn allow_exactly(&self, path: &str) -> bool {
        self.has_for_any(path) || one_of(&STANDARD, path) || one_of(&TO_READ, path)
    }
}

/// Whether this is one of the paths that nearly all requests have, told by its length and one
/// comparison.
///
/// They are on the standard list, have no model and no id in them, and no segment that may not be
/// there. To find that out by the rules takes some 3,000 instructions a request, of 10,000.
pub(crate) fn is_usual(path: &str) -> bool {
    matches!(
        path,
        "/v1/chat/completions"
            | "/v1/completions"
            | "/v1/embeddings"
            | "/v1/responses"
            | "/v1/messages"
    )
}

fn one_of(patterns: &[impl AsRef<str>], path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    patterns
        .iter()
        .any(|pattern| ends_as(path, pattern.as_ref()))
}

/// Whether the last segments of `path` fit those of `pattern`, compared from the end.
fn ends_as(path: &str, pattern: &str) -> bool {
    let Some((pattern, part)) = pattern.rsplit_once('/') else {
        return true;
    };
    let Some((before, segment)) = path.rsplit_once('/') else {
        return false;
    };
    match Part::of(part) {
        Part::Literal => part == segment && ends_as(before, pattern),
        Part::Version => is_version(segment) && ends_as(before, pattern),
        Part::Verb if !has_verb(segment) => false,
        Part::Verb | Part::Open => {
            let mut cut = Some((before, segment));
            while let Some((before, segment)) = cut {
                if segment.is_empty() {
                    return false;
                }
                if ends_as(before, pattern) {
                    return true;
                }
                cut = before.rsplit_once('/');
            }
            false
        }
    }
}

/// What `path` has that no request may have; `any` if every path passes.
///
/// An empty segment is left out by some servers on the way, nginx among them, and matched by
/// others: past a condition on the path. No inference API has one.
pub(crate) fn bad_segment(path: &str, any: bool) -> Option<&'static str> {
    match path {
        _ if is_usual(path) => None,
        _ if has_dot_segment(path) => Some("a dot segment"),
        _ if !any && path.contains("//") => Some("an empty segment"),
        _ => None,
    }
}

/// Whether `path` has a segment that is `.` or `..`, plain or escaped, once or twice.
///
/// Somewhere on the way it would be resolved (RFC 3986 section 5.2.4): out of an endpoint's
/// prefix, and past a condition on the path. What follows a `;` is not part of the name to some
/// servers, and a backslash is a slash to others.
fn has_dot_segment(path: &str) -> bool {
    let is_dots = |segment: &[u8]| {
        let name = segment.split(|&byte| byte == b';').next();
        matches!(name, Some(b"." | b".."))
    };
    let has_dots = |path: &[u8]| path.split(|byte| matches!(byte, b'/' | b'\\')).any(is_dots);
    if !path.contains('%') {
        return path.contains('.') && has_dots(path.as_bytes());
    }
    let once: Cow<'_, [u8]> = percent_decode_str(path).into();
    let twice: Cow<'_, [u8]> = percent_encoding::percent_decode(&once).into();
    has_dots(&once) || has_dots(&twice)
}

/// What a segment of a pattern stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Literal,
    /// `v1`, `v1beta`.
    Version,
    /// One or more segments.
    Open,
    /// One or more segments, with a colon in the last.
    Verb,
}

impl Part {
    fn of(part: &str) -> Self {
        match part {
            "{version}" => Self::Version,
            _ if !part.starts_with('{') => Self::Literal,
            _ if part.contains("}:{") => Self::Verb,
            _ => Self::Open,
        }
    }
}

pub(crate) fn is_version(segment: &str) -> bool {
    match segment.as_bytes() {
        [b'v', first, rest @ ..] => {
            first.is_ascii_digit()
                && rest
                    .iter()
                    .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        }
        _ => false,
    }
}

fn has_verb(segment: &str) -> bool {
    let split = segment.rsplit_once(':');
    split.is_some_and(|(model, verb)| !model.is_empty() && !verb.is_empty())
}

/// Why this is not a valid pattern.
fn mistake(pattern: &str) -> Option<&'static str> {
    let Some(pattern) = pattern.strip_prefix('/') else {
        return Some("it does not begin with a slash");
    };
    let mut open = 0;
    for part in pattern.split('/') {
        if part.is_empty() {
            return Some("it has an empty segment");
        }
        if part.contains('*') {
            return Some("it has a *, where a name in braces is meant");
        }
        let is_name = |text: &str| {
            let name = text
                .strip_prefix('{')
                .and_then(|text| text.strip_suffix('}'));
            name.is_some_and(|name| !name.is_empty() && !name.contains(['{', '}']))
        };
        match Part::of(part) {
            Part::Version => {}
            Part::Literal if part.contains(['{', '}']) => {
                return Some("its braces do not hold a whole segment");
            }
            Part::Literal => {}
            Part::Open if is_name(part) => open += 1,
            Part::Verb if part.split(':').all(is_name) && part.matches(':').count() == 1 => {
                open += 1;
            }
            Part::Open | Part::Verb => return Some("its braces do not hold a whole segment"),
        }
    }
    (open > 1).then_some("it has more than one name in braces")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(method: &Method, path: &str) -> bool {
        ApiPaths::standard().has(method, path)
    }

    #[test]
    fn usual_paths_pass_by_the_rules_too() {
        let usual = STANDARD
            .into_iter()
            .map(|path| path.replace("{version}", "v1"));
        let usual: Vec<_> = usual.filter(|path| is_usual(path)).collect();
        assert_eq!(usual.len(), 5, "each is on the list");
        for path in usual {
            assert!(!has_dot_segment(&path) && !path.contains("//"), "{path}");
        }
    }

    #[test]
    fn inference_apis_pass_and_what_engines_have_beside_them_does_not() {
        for path in [
            "/v1/chat/completions",
            "/v1/chat/completions/",
            "/any/prefix/v1/chat/completions",
            "/v3/completions",
            "/v1beta/openai/chat/completions",
            "/openai/v1/responses",
            "/v1/responses/resp_1/cancel",
            "/v1/audio/transcriptions",
            "/v1/images/edits",
            "/v1/rerank",
            "/v2/rerank",
            "/rerank",
            "/generate",
            "/v1/messages/count_tokens",
            "/anthropic/v1/messages",
            "/v1beta/models/gemini:streamGenerateContent",
            "/v1alpha/models/org/name:generateContent",
            "/v1beta/tunedModels/t:generateContent",
            "/v1/models/m:predict",
            "/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
            "/v1beta1/projects/p/locations/l/endpoints/openapi/chat/completions",
            "/model/anthropic.claude/invoke",
            "/model/arn:aws:x/inference-profile/y/converse-stream",
            "/api/chat",
            "/api/embed",
            "/openai/deployments/gpt/chat/completions",
            "/openai/deployments/org/name/chat/completions",
            "/openai/deployments/gpt/audio/translations",
            "/v2/chat",
            "/v2/models/m/versions/1/infer",
            "/v1/decisions",
            "/v1/systemone",
            "/generative_scoring",
            "/v1/videos",
            "/v1/videos/video_1/content",
            "/v1beta/interactions",
            "/v1beta/interactions/int_1/cancel",
            "/v1/fim/completions",
            "/v1/ocr",
            "/cohere/v2/chat/render",
            "/api/show",
            "/openai/files",
            "/openai/batches/batch_1/cancel",
        ] {
            assert!(passes(&Method::POST, path), "{path}");
        }
        for path in [
            "/",
            "",
            "*",
            "/flush_cache",
            "/sleep",
            "/abort_request",
            "/abort_requests",
            "/update_weights_from_disk",
            "/v1/load_lora_adapter",
            "/v1/unload_lora_adapter",
            "/start_profile",
            "/metrics",
            "/health",
            "/chat/completions",
            "/completions",
            "/xchat/completions",
            "/v1/xchat/completions",
            "/v1/chat/completionsx",
            "/v1/audio/",
            "/v1/audio",
            "/vx/chat/completions",
            "/v/chat/completions",
            "/api/pull",
            "/api/delete",
            "/api/version",
            "/v1/loads",
            "/inference/v1/abort_requests",
            "/tokenizer_info",
            "/openai/deployments/gpt/flush_cache",
            "/openai/deployments//chat/completions",
            "/v1/models/m/load",
            "/v1/models/m",
            "/v1/models/:predict",
            "/v1/models/m:",
            "/v2/repository/models/m/load",
            "/v2/models/m/trace/setting",
            "/model/m/delete",
        ] {
            assert!(!passes(&Method::POST, path), "{path}");
        }
    }

    #[test]
    fn what_belongs_to_a_model_can_be_read_and_deleted() {
        for method in [Method::GET, Method::HEAD, Method::DELETE] {
            assert!(passes(&method, "/v1/models/org/name/ready"));
        }
        assert!(!passes(&Method::GET, "/v1/models"));
        assert!(!passes(&Method::PUT, "/v1/models/m/ready"));
    }

    #[test]
    fn the_list_can_be_widened_emptied_and_given_up() {
        let wider = ApiPaths::standard()
            .and("/v1/load_lora_adapter")
            .and_then(|paths| paths.and("/own/{model}/{verb}"))
            .map_err(|error| error.to_string());
        assert_eq!(
            wider.unwrap_err(),
            "1 mistake in the options\n\
             - ApiPaths: the path is invalid: it has more than one name in braces"
        );
        let wider = ApiPaths::standard().and("/v1/load_lora_adapter").unwrap();
        assert!(wider.has(&Method::POST, "/v1/load_lora_adapter"));
        assert!(wider.has(&Method::POST, "/v1/completions"));
        let own = ApiPaths::none().and("/own/{model}/run").unwrap();
        assert!(own.has(&Method::POST, "/own/a/b/run"));
        assert!(!own.has(&Method::POST, "/v1/completions"));
        assert!(ApiPaths::any().has(&Method::POST, "/flush_cache"));
    }

    #[test]
    fn what_is_no_pattern_is_a_mistake() {
        for (pattern, why) in [
            ("", "begin with a slash"),
            ("v1/x", "begin with a slash"),
            ("/", "empty segment"),
            ("/v1//x", "empty segment"),
            ("/v1/x/", "empty segment"),
            ("/v1/*", "name in braces is meant"),
            ("/v1/{}", "whole segment"),
            ("/v1/a{b}", "whole segment"),
            ("/v1/{a}b", "whole segment"),
            ("/v1/{a}:{b}:{c}", "whole segment"),
            ("/{a}/{b}", "more than one name"),
        ] {
            let error = ApiPaths::none().and(pattern).unwrap_err().to_string();
            assert!(error.contains(why), "{pattern}: {error}");
        }
        for pattern in STANDARD.into_iter().chain(TO_READ) {
            assert_eq!(mistake(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn the_documentation_has_the_whole_list() {
        let source = include_str!("paths.rs");
        let documented: std::collections::BTreeSet<_> = source
            .lines()
            .filter(|line| line.starts_with("/// | "))
            .flat_map(|line| line.split('`').skip(1).step_by(2))
            .collect();
        let listed: std::collections::BTreeSet<_> = STANDARD.into_iter().chain(TO_READ).collect();
        assert_eq!(documented, listed);
    }

    #[test]
    fn dot_segments_are_seen_in_every_spelling() {
        for path in [
            "/../x",
            "/v1/..",
            "/v1/./x",
            "/%2e%2E/x",
            "/v1/.%2e/x",
            "/v1%2f..%2fx",
            "/v1/%252e%252e/x",
            "/v1/..;a=b/x",
            "/v1/..%3b/x",
            "/v1/..\\x",
            "/v1%5c..%5cx",
        ] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in [
            "/v1/x",
            "/v1/a..b",
            "/v1/...",
            "/v1/.x/y.z",
            "/v1/a%2fb",
            "*",
            "",
        ] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }

    #[test]
    fn empty_segments_are_seen_but_at_the_end() {
        for path in ["//v1/x", "/v1//x", "/v1/x//", "//"] {
            assert_eq!(bad_segment(path, false), Some("an empty segment"), "{path}");
            assert_eq!(bad_segment(path, true), None, "{path}");
        }
        // A name may be a URL.
        for path in [
            "/",
            "/v1/x/",
            "*",
            "",
            "/model/s3:%2f%2Fbucket/invoke",
            "/a:b::c",
        ] {
            assert_eq!(bad_segment(path, false), None, "{path}");
        }
        assert_eq!(bad_segment("/v1//../x", true), Some("a dot segment"));
    }

    /// It would take longer than any test if it were tried at each of its slashes, for each pattern.
    #[test]
    fn a_hostile_path_is_read_once() {
        for path in ["/a".repeat(1 << 20), "/a:b".repeat(1 << 20)] {
            assert!(!passes(&Method::POST, &path));
        }
    }
}

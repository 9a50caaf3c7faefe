//! The paths of known APIs that name the model.

use std::ops::Range;

use http::request::Parts;

use super::{extract::ExtractModel, extraction::Extraction, head::in_path};
use crate::config::is_version;

/// The model in the path of one of the APIs that
/// [`ModelSources::standard`](crate::ModelSources::standard) lists.
#[derive(Clone, Copy, Debug)]
pub(super) struct StandardPaths;

impl ExtractModel for StandardPaths {
    fn begin(&self, head: &Parts) -> Extraction {
        match find(head.uri.path()) {
            Some(span) => in_path(head, span),
            None => Extraction::none(),
        }
    }
}

/// What a path ends in behind the model; `*` is any segment.
type Endings = &'static [&'static str];

/// The most segments of an ending.
const LONGEST: usize = 3;

const AZURE: Endings = &[
    "completions",
    "chat/completions",
    "extensions/chat/completions",
    "embeddings",
    "responses",
    "realtime",
    "audio/speech",
    "audio/transcriptions",
    "audio/translations",
    "images/generations",
    "images/edits",
    "images/variations",
];
/// Amazon's Bedrock.
const BEDROCK: Endings = &[
    "invoke",
    "invoke-with-response-stream",
    "converse",
    "converse-stream",
    "count-tokens",
];
/// The first protocol of KServe, which is TensorFlow Serving's.
const KSERVE_1: Endings = &[
    "ready",
    "metadata",
    "versions/*",
    "versions/*/metadata",
    "labels/*",
    "labels/*/metadata",
];
/// The open inference protocol of KServe and Triton.
const KSERVE_2: Endings = &[
    "ready",
    "infer",
    "infer_stream",
    "generate",
    "generate_stream",
    "stats",
    "config",
    "versions/*",
    "versions/*/ready",
    "versions/*/infer",
    "versions/*/infer_stream",
    "versions/*/generate",
    "versions/*/generate_stream",
    "versions/*/stats",
    "versions/*/config",
];

/// Where Anthropic's SDK for Vertex AI counts tokens: it looks like a model, and the body names it.
const COUNTS_TOKENS: &str = "/publishers/anthropic/models/count-tokens:rawPredict";

/// The model's part of a path, which may be mounted under any prefix, as
/// [`ApiPaths`](crate::ApiPaths) lets it pass.
fn find(path: &str) -> Option<Range<usize>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.ends_with(COUNTS_TOKENS) {
        return None;
    }
    let slashes = path.match_indices('/').map(|(at, _)| at);
    let known = slashes.into_iter().find_map(|at| {
        let span = find_below(path.get(at..)?, at == 0)?;
        Some(at + span.start..at + span.end)
    });
    known.or_else(|| in_resource(path))
}

/// The model's part of a path that begins with the API. What ends in no known operation names one
/// at the root alone: below a prefix it may be anything.
fn find_below(path: &str, is_root: bool) -> Option<Range<usize>> {
    let (first, rest) = path.strip_prefix('/')?.split_once('/')?;
    let any = |rest: &str| rest.find('/').filter(|_| is_root);
    let (len, rest) = match (first, rest.strip_prefix("models/")) {
        ("openai", _) => {
            let rest = rest.strip_prefix("deployments/")?;
            (before_ending(rest, AZURE).or_else(|| any(rest))?, rest)
        }
        ("model", _) => (before_ending(rest, BEDROCK)?, rest),
        ("v2", Some(rest)) if before_method(rest).is_none() => {
            (before_ending(rest, KSERVE_2).or_else(|| any(rest))?, rest)
        }
        ("v1", Some(rest)) => {
            let len = before_ending(rest, KSERVE_1).or_else(|| before_method(rest));
            (len.or_else(|| any(rest))?, rest)
        }
        (version, _) if is_version(version) => {
            let rest = google(rest)?;
            (before_method(rest)?, rest)
        }
        _ => return None,
    };
    let start = path.len() - rest.len();
    (len > 0).then_some(start..start + len)
}

/// Whether a path below `/v1/models/` is more than the name of a model.
pub(crate) fn is_below_model(path: &str) -> bool {
    before_ending(path, KSERVE_1).is_some_and(|len| len > 0)
}

/// Whether a path below one of Google's lists of models ends in a method, such as `:generateContent`.
pub(crate) fn has_method(path: &str) -> bool {
    before_method(path).is_some_and(|len| len > 0)
}

/// The part of one of Google's paths from the model on.
fn google(path: &str) -> Option<&str> {
    if let Some(rest) = path.strip_prefix("tunedModels/") {
        return Some(rest);
    }
    let path = within(path, "projects/").map_or(path, |rest| {
        // (The paths of AI Platform, before Vertex, have none.)
        within(rest, "locations/").unwrap_or(rest)
    });
    within(path, "publishers/")
        .unwrap_or(path)
        .strip_prefix("models/")
}

/// The model's part of any other path of a project or publisher: what is behind the first `models`.
/// All paths with a method pass there, and none should with a model that nobody has looked at.
fn in_resource(path: &str) -> Option<Range<usize>> {
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    let rest = slashes.find_map(|at| {
        let (version, rest) = path.get(at + 1..)?.split_once('/')?;
        is_version(version).then_some(())?;
        within(rest, "projects/").or_else(|| within(rest, "publishers/"))
    })?;
    let mut start = path.len() - rest.len();
    for segment in rest.split('/') {
        start += segment.len() + 1;
        if matches!(segment, "models" | "tunedModels") {
            let len = before_method(path.get(start..)?)?;
            return (len > 0).then_some(start..start + len);
        }
    }
    None
}

/// What is behind an id in this collection.
fn within<'p>(path: &'p str, collection: &str) -> Option<&'p str> {
    path.strip_prefix(collection)?
        .split_once('/')
        .map(|(_, rest)| rest)
}

/// The length of the model before the longest of these endings that fits.
fn before_ending(rest: &str, endings: Endings) -> Option<usize> {
    let slashes = rest.rmatch_indices('/').map(|(at, _)| at);
    let fits = |at: &usize| {
        let behind = rest.get(at + 1..).unwrap_or_default();
        endings.iter().any(|ending| fits(behind, ending))
    };
    // Of a path with very many segments only these are looked at, from each of its segments on.
    slashes.take(LONGEST).filter(fits).last()
}

fn fits(path: &str, ending: &str) -> bool {
    let mut segments = path.split('/');
    let fits = ending.split('/').all(|wanted| {
        segments
            .next()
            .is_some_and(|is| wanted == "*" || wanted == is)
    });
    fits && segments.next().is_none()
}

/// The length of the model before a method such as `:generateContent`.
fn before_method(rest: &str) -> Option<usize> {
    let (before, method) = rest.rsplit_once(':')?;
    (!method.contains('/')).then_some(before.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::ApiPaths;

    fn name(path: &str) -> Option<&str> {
        find(path).map(|span| &path[span])
    }

    #[test]
    fn no_ending_is_longer_than_the_longest() {
        let endings = [AZURE, BEDROCK, KSERVE_1, KSERVE_2].concat();
        let segments = endings.iter().map(|ending| ending.split('/').count());
        assert_eq!(segments.max(), Some(LONGEST));
    }

    #[test]
    fn a_name_ends_where_the_operation_begins() {
        for (path, expected) in [
            ("/openai/deployments/m/chat/completions", Some("m")),
            ("/openai/deployments/org/m/chat/completions", Some("org/m")),
            ("/openai/deployments/a/b/c/embeddings", Some("a/b/c")),
            (
                "/openai/deployments/m/extensions/chat/completions",
                Some("m"),
            ),
            ("/openai/deployments/org/m/unknown", Some("org")),
            ("/openai/deployments/m", None),
            ("/openai/deployments//x", None),
            ("/openai/models/m/x", None),
            ("/v1/models/m:predict", Some("m")),
            ("/v1/models/org/m:generateContent", Some("org/m")),
            ("/v1/models/a:b/predict", Some("a:b")),
            ("/v1/models/m/ready", Some("m")),
            ("/v1/models/org/m/ready", Some("org/m")),
            ("/v1/models/m/versions/3:predict", Some("m")),
            ("/v1/models/org/m/versions/3/metadata", Some("org/m")),
            ("/v1/models/m", None),
            ("/v1alpha/models/m:generateContent", Some("m")),
            ("/v1beta/models/org/a:b:embedContent", Some("org/a:b")),
            ("/v1beta/models/m/x", None),
            ("/v1beta/tunedModels/m:generateContent", Some("m")),
            ("/v1/tunedModels/org/m:generateContent", Some("org/m")),
            (
                "/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
                Some("m"),
            ),
            (
                "/v1beta1/projects/p/locations/l/publishers/x/models/org/m:rawPredict",
                Some("org/m"),
            ),
            ("/v1/publishers/google/models/m:generateContent", Some("m")),
            (
                "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
                None,
            ),
            (
                "/v1/projects/p/locations/l/publishers/x/models/count-tokens:rawPredict",
                Some("count-tokens"),
            ),
            ("/v1/projects/p/models/m:x", Some("m")),
            ("/v1/projects/p/models/org/m:x", Some("org/m")),
            ("/v1/projects/p/tunedModels/m:x", Some("m")),
            ("/v1/projects/models/models/m:x", Some("m")),
            ("/v1/projects/p/locations/models/models/m:x", Some("m")),
            ("/v1/projects/p/x/models/m:x", Some("m")),
            ("/v1/projects/p/datasets/d/models/m:x", Some("m")),
            ("/v1/projects/p/models/m/y:x", Some("m/y")),
            ("/v1/projects/p/x/models/:x", None),
            ("/v1/publishers/p/x/models/m:x", Some("m")),
            ("/v1/projects/p/endpoints/7:predict", None),
            ("/v1/projects/p/endpoints/models:predict", None),
            ("/v1/locations/l/models/m:x", None),
            ("/v1/x/models/m:x", None),
            (
                "/v1/projects/p/locations/l/endpoints/openapi/chat/completions",
                None,
            ),
            ("/v2/models/m/infer", Some("m")),
            ("/v2/models/org/m/versions/1/infer", Some("org/m")),
            ("/v2/models/m/other", Some("m")),
            ("/v2/repository/models/m/load", None),
            (
                "/model/anthropic.claude-v1:0/invoke",
                Some("anthropic.claude-v1:0"),
            ),
            ("/model/m/invoke-with-response-stream", Some("m")),
            ("/model/org/m/converse", Some("org/m")),
            ("/model/m/converse-stream", Some("m")),
            ("/model/m/other", None),
            ("/model//invoke", None),
            ("/v1/chat/completions", None),
            ("/pre/openai/deployments/m/chat/completions", Some("m")),
            ("/a/b/openai/deployments/org/m/embeddings/", Some("org/m")),
            ("/pre/v1beta/models/org/m:generateContent", Some("org/m")),
            ("/pre/v3/models/m:generateContent", Some("m")),
            ("/pre/v2/models/m/infer", Some("m")),
            ("/pre/model/m/invoke", Some("m")),
            ("/pre/v1/models/m/ready", Some("m")),
            ("/pre/v1/models/m/other", None),
            ("/pre/openai/deployments/m/unknown", None),
            ("/openai/deployments/m/chat/completions/", Some("m")),
            ("/v2/models/m:generateContent", Some("m")),
            ("/", None),
            ("*", None),
        ] {
            assert_eq!(name(path), expected, "{path}");
        }
    }

    /// Else a request could pass whose path names a model that nobody looks at.
    #[test]
    fn what_passes_and_names_a_model_is_read_below_any_prefix() {
        let patterns = ApiPaths::standard_patterns().filter(|pattern| pattern.contains("{model}"));
        let mut count = 0;
        for pattern in patterns {
            for model in ["m", "org/m"] {
                let path = pattern
                    .replace("{version}", "v1beta")
                    .replace("{model}", model)
                    .replace("{verb}", "generateContent");
                for prefix in ["", "/pre", "/a/v1/b"] {
                    for end in ["", "/"] {
                        let path = format!("{prefix}{path}{end}");
                        assert!(ApiPaths::standard().has_for_any(&path), "{path}");
                        assert_eq!(name(&path), Some(model), "{path}");
                    }
                }
            }
            count += 1;
        }
        assert!(count > 15, "{count} patterns");
    }

    /// The same for what stands open in the patterns of Google's resources.
    #[test]
    fn what_passes_below_a_project_or_publisher_names_its_model() {
        for before in [
            "/v1/projects/p",
            "/v1/publishers/p",
            "/pre/v1beta1/projects/p",
        ] {
            for between in [
                "",
                "/locations/l",
                "/locations/l/publishers/x",
                "/x",
                "/x/y",
                "/models",
            ] {
                for collection in ["models", "tunedModels"] {
                    let path = format!("{before}{between}/{collection}/m:predict");
                    assert!(ApiPaths::standard().has_for_any(&path), "{path}");
                    assert!(
                        name(&path).is_some_and(|name| name.ends_with('m')),
                        "{path}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_slash_may_be_escaped_or_not(
            segments in prop::collection::vec("[a-z0-9.-]{1,8}", 1..4),
            at in 0..7_usize,
        ) {
            let (before, after) = [
                ("/openai/deployments/", "/chat/completions"),
                ("/v1beta/models/", ":generateContent"),
                ("/v1/models/", ":predict"),
                ("/v1/projects/p/locations/l/publishers/google/models/", ":rawPredict"),
                ("/v2/models/", "/infer"),
                ("/model/", "/invoke"),
                ("/v1/models/", "/ready"),
            ][at];
            for name in [segments.join("/"), segments.join("%2F")] {
                let path = format!("{before}{name}{after}");
                prop_assert_eq!(super::tests::name(&path), Some(&*name));
            }
        }

        #[test]
        fn no_path_does_harm(path in "/(openai/deployments|v1/models|v1beta|v2/models|model|[a-zé:/]{0,9})[a-z:/*é]{0,30}") {
            if let Some(span) = find(&path) {
                prop_assert!(!path[span].is_empty());
            }
        }
    }
}

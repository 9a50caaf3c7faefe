//! The ids of what engines keep, in requests: responses, files, batches, videos and their like.

use http::{Method, request::Parts};

use super::{hash::hash, json::Json};

/// What an id is hashed with, so that it is nobody's key for affinity.
const SEED: u64 = 0x1d;

/// The collections of things that engines keep.
const COLLECTIONS: [&str; 6] = [
    "responses",
    "files",
    "batches",
    "videos",
    "meshes",
    "interactions",
];

/// The hash of an id that an engine has given.
pub(crate) fn id(text: &[u8]) -> u64 {
    hash(SEED, text)
}

/// The id in a path such as `/v1/responses/{id}` or `/v1/files/{id}/content`.
pub(crate) fn id_in_path(path: &str) -> Option<u64> {
    let mut segments = without_slashes(path).rsplit('/');
    let (last, before, first) = (segments.next()?, segments.next()?, segments.next()?);
    let found = match (COLLECTIONS.contains(&before), COLLECTIONS.contains(&first)) {
        (true, _) => last,
        (false, true) => before,
        (false, false) => return None,
    };
    (!found.is_empty()).then(|| id(found.as_bytes()))
}

/// Whether a request makes something that an engine keeps, or asks what a batch has made.
pub(crate) fn makes_ids(head: &Parts) -> bool {
    let path = without_slashes(head.uri.path());
    match head.method {
        Method::POST => {
            // Asked for each request: `rsplit_once` would take 1 % of its instructions.
            let before = path.bytes().rposition(|byte| byte == b'/');
            before.is_some_and(|before| COLLECTIONS.contains(&&path[before + 1..]))
        }
        Method::GET => is_batch(path),
        _ => false,
    }
}

/// Without the slashes at its end. (A single character as the pattern is searched for through the
/// whole path, an array looks at the end only.)
fn without_slashes(path: &str) -> &str {
    path.trim_end_matches(['/'])
}

fn is_batch(path: &str) -> bool {
    let before = path.rsplit_once('/').map_or("", |(before, _)| before);
    before.ends_with("/batches")
}

/// Whether the body of a request may name something that an engine keeps.
pub(crate) fn may_name_id(head: &Parts) -> bool {
    let path = without_slashes(head.uri.path());
    head.method == Method::POST
        && ["/responses", "/batches", "/interactions"]
            .into_iter()
            .any(|collection| path.ends_with(collection))
}

/// The first `previous_response_id`, `previous_interaction_id` or `input_file_id` of a body, or of a
/// part of it.
pub(crate) fn id_in_body(body: &[u8]) -> Option<u64> {
    let mut found = None;
    let mut json = Json::new(body);
    _ = json.object(|key, value| match key {
        b"previous_response_id" | b"previous_interaction_id" | b"input_file_id" => {
            found = value.string()?.and_then(|text| text.hash_with(SEED));
            found.is_none().then_some(())
        }
        _ => value.skip(),
    });
    found
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn an_id_stands_behind_its_collection() {
        for (path, expected) in [
            ("/v1/responses/resp_1", Some("resp_1")),
            ("/v1/responses/resp_1/", Some("resp_1")),
            ("/v1/responses/resp_1/cancel", Some("resp_1")),
            ("/pre/v1/responses/resp_1/input_items", Some("resp_1")),
            ("/openai/responses/resp_1", Some("resp_1")),
            ("/v1/files/file-1/content", Some("file-1")),
            ("/v1/batches/batch_1/cancel", Some("batch_1")),
            ("/v1/messages/batches/b/results", Some("b")),
            ("/v1/videos/video_1/content", Some("video_1")),
            ("/v1/meshes/mesh_1", Some("mesh_1")),
            ("/v1beta/interactions/int_1/cancel", Some("int_1")),
            ("/v1/responses", None),
            ("/v1/chat/completions", None),
            ("/responses", None),
            ("/", None),
            ("", None),
        ] {
            let expected = expected.map(|text| id(text.as_bytes()));
            assert_eq!(id_in_path(path), expected, "{path}");
        }
    }

    #[test]
    fn ids_are_made_by_posts_to_a_collection_and_shown_by_batches() {
        for (method, path, makes, names) in [
            ("POST", "/v1/responses", true, true),
            ("POST", "/v1/files", true, false),
            ("POST", "/v1/batches/", true, true),
            ("POST", "/v1/videos", true, false),
            ("POST", "/v1beta/interactions", true, true),
            ("POST", "/v1/xresponses", false, false),
            ("GET", "/v1/batches/batch_1", true, false),
            ("GET", "/v1/batches", false, false),
            ("GET", "/v1/responses/resp_1", false, false),
            ("POST", "/v1/responses/resp_1/cancel", false, false),
            ("POST", "/v1/chat/completions", false, false),
        ] {
            let request = Request::builder().method(method).uri(path);
            let (head, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(
                (makes_ids(&head), may_name_id(&head)),
                (makes, names),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn a_body_names_an_id_at_its_top_level() {
        for (body, expected) in [
            (
                r#"{"model":"m","previous_response_id":"resp_1","input":"x"}"#,
                Some("resp_1"),
            ),
            (r#"{"previous_interaction_id":"int_1"}"#, Some("int_1")),
            (r#"{"input_file_id":"file-1"#, None),
            (r#"{"input_file_id":"file-1","#, Some("file-1")),
            (r#"{"input":[{"previous_response_id":"resp_1"}]}"#, None),
            (r#"{"previous_response_id":null}"#, None),
            ("", None),
        ] {
            let expected = expected.map(|text| id(text.as_bytes()));
            assert_eq!(id_in_body(body.as_bytes()), expected, "{body}");
        }
    }
}

//! The answer to `GET /v1/models` and `GET /v1/models/{id}`, below any prefix.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use hashbrown::HashMap;
use http::{HeaderValue, Method, Response, header::CONTENT_TYPE, request::Parts};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::{error::RouteError, model::is_below_model};

/// The answer to a request for the list or one of its entries.
type Answer = Result<Response<Bytes>, RouteError>;

/// Below any prefix; the second is Google's for OpenAI's clients.
const PATHS: [&str; 2] = ["/v1/models", "/v1beta/openai/models"];

/// What such a request's path has behind that of the list: an id can't be mistaken for it, as it comes
/// later.
fn below_list<'p>(method: &Method, path: &'p str) -> Option<&'p str> {
    (*method == Method::GET || *method == Method::HEAD).then_some(())?;
    let found = PATHS.into_iter().filter_map(|list| {
        let at = path.find(list)?;
        let below = path.get(at + list.len()..)?;
        (below.is_empty() || below.starts_with('/')).then_some((at, below))
    });
    found.min_by_key(|(at, _)| *at).map(|(_, below)| below)
}

/// A model or an adapter that clients can ask for.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: Arc<str>,
    /// The base model of an adapter.
    pub(super) parent: Option<String>,
    pub(super) max_model_len: Option<u64>,
}

/// The names that clients can ask for, in OpenAI's format with what vLLM adds to it, serialized
/// once.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelList {
    list: Bytes,
    /// The entries in the order of the list.
    entries: Vec<(Arc<str>, Bytes)>,
    /// Their positions.
    by_id: HashMap<Arc<str>, usize>,
}

/// Whether the sender of a request may see a model.
pub(crate) type IsVisible = dyn Fn(&Parts, &str) -> bool + Send + Sync;

impl ModelList {
    /// If an id repeats, the first counts.
    pub(super) fn new(models: Vec<Listed>) -> Self {
        let created = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let mut by_id = HashMap::new();
        let mut entries: Vec<(Arc<str>, Bytes)> = Vec::new();
        for listed in models {
            if by_id.contains_key(&listed.id) {
                continue;
            }
            // What the engines call it is not for clients.
            let mut model = json!({
                "id": *listed.id,
                "object": "model",
                "created": created,
                "owned_by": "tower-model-route",
                "root": *listed.id,
            });
            if let Some(parent) = listed.parent {
                model["parent"] = parent.into();
            }
            if let Some(tokens) = listed.max_model_len {
                model["max_model_len"] = tokens.into();
            }
            by_id.insert(Arc::clone(&listed.id), entries.len());
            entries.push((listed.id, model.to_string().into()));
        }
        Self {
            list: list_of(entries.iter().map(|(_, entry)| entry)),
            entries,
            by_id,
        }
    }

    /// Whether such a request asks for the list, or for something below it.
    pub(crate) fn is_for(&self, method: &Method, path: &str) -> bool {
        below_list(method, path).is_some()
    }

    /// The answer, if the request asks for the list or for one of its entries.
    ///
    /// An id may contain slashes, escaped (`org%2Fname`) or not. KServe's
    /// `/v1/models/{id}/ready` and its like are for the engine. To those who may not see it a
    /// model does not exist.
    pub(crate) fn answer(&self, head: &Parts, is_visible: Option<&IsVisible>) -> Option<Answer> {
        let body = match below_list(&head.method, head.uri.path())? {
            "" | "/" => match is_visible {
                None => self.list.clone(),
                Some(is_visible) => {
                    let seen = self.entries.iter().filter(|(id, _)| is_visible(head, id));
                    list_of(seen.map(|(_, entry)| entry))
                }
            },
            id => {
                let id = id.strip_prefix('/')?;
                let is_below = is_below_model(id);
                let id = percent_decode_str(id).decode_utf8_lossy();
                let entry = self.by_id.get(&*id).and_then(|&at| self.entries.get(at));
                let is_seen = |id: &str| is_visible.is_none_or(|is_visible| is_visible(head, id));
                match entry.filter(|(id, _)| is_seen(id)) {
                    Some((_, entry)) => entry.clone(),
                    None if is_below => return None,
                    None => return Some(Err(RouteError::model_not_found(&id))),
                }
            }
        };
        let mut response = Response::new(body);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Some(Ok(response))
    }
}

fn list_of<'e>(entries: impl Iterator<Item = &'e Bytes>) -> Bytes {
    let mut list = br#"{"object":"list","data":["#.to_vec();
    for (position, entry) in entries.enumerate() {
        if position > 0 {
            list.push(b',');
        }
        list.extend_from_slice(entry);
    }
    list.extend_from_slice(b"]}");
    list.into()
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};
    use serde_json::Value;

    use super::*;

    fn models() -> ModelList {
        let listed = |id: &str, parent: Option<&str>, max_model_len| Listed {
            id: id.into(),
            parent: parent.map(str::to_owned),
            max_model_len,
        };
        ModelList::new(vec![
            listed("org/base", None, Some(8192)),
            listed("lora-A", Some("org/base"), None),
            listed("org/base", Some("shadowed"), None),
        ])
    }

    fn get(path: &str) -> Option<(StatusCode, Value)> {
        let (head, ()) = Request::get(path).body(()).unwrap().into_parts();
        let response = models().answer(&head, None)?;
        let response = response.unwrap_or_else(|error| error.to_response(path));
        let body = serde_json::from_slice(response.body()).unwrap();
        Some((response.status(), body))
    }

    #[test]
    fn the_list_has_each_name_once() {
        for path in ["/v1/models", "/openai/v1/models/", "/v1beta/openai/models"] {
            assert_eq!(get(path), get("/v1/models?limit=3"), "{path}");
        }
        let (status, body) = get("/v1/models?limit=3").unwrap();
        assert_eq!((status, &body["object"]), (StatusCode::OK, &json!("list")));
        let names: Vec<_> = body["data"].as_array().unwrap().iter().collect();
        assert_eq!(names.len(), 2);
        assert_eq!(names[0]["id"], "org/base");
        assert_eq!(names[0]["object"], "model");
        assert_eq!(names[0].get("parent"), None);
        assert_eq!(names[0]["root"], "org/base");
        assert_eq!(names[0]["max_model_len"], 8192);
        assert_eq!(names[1].get("max_model_len"), None);
        assert_eq!(names[1]["parent"], "org/base");
    }

    #[test]
    fn one_model_by_its_id() {
        for path in [
            "/v1/models/org/base",
            "/v1/models/org%2Fbase",
            "/team-a/v1/models/org/base",
            "/v1beta/openai/models/org/base",
        ] {
            let (status, body) = get(path).unwrap();
            assert_eq!((status, &body["id"]), (StatusCode::OK, &json!("org/base")));
        }
        let (status, body) = get("/v1/models/gone").unwrap();
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(body["error"]["code"], "model_not_found");
    }

    #[test]
    fn other_requests_are_not_its_business() {
        assert!(get("/v1/modelsx").is_none());
        assert!(get("/v2/models").is_none());
        assert!(get("/health").is_none());
        let (head, ()) = Request::post("/v1/models").body(()).unwrap().into_parts();
        assert!(models().answer(&head, None).is_none());
    }
}

//! The answer to `GET /v1/models` and `GET /v1/models/{id}`, below any prefix, and to the same in
//! Google's and Ollama's APIs.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use hashbrown::HashMap;
use http::{HeaderMap, HeaderValue, Method, Response, header::CONTENT_TYPE, request::Parts};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::{
    error::{RouteError, is_of_anthropic, is_of_google},
    model::{has_method, is_below_model},
};

/// The answer to a request for the list or one of its entries.
type Answer = Result<Response<Bytes>, RouteError>;

/// The API whose list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// With what vLLM adds to it, and what Mistral's clients read.
    OpenAi,
    /// The same, as Anthropic's clients read it.
    Anthropic,
    Gemini,
    Vertex,
    /// It has no paths of single models.
    Ollama,
}

/// Below any prefix.
const PATHS: [(&str, Form); 7] = [
    ("/v1/models", Form::OpenAi),
    // Azure's, and behind `/v1beta` Google's for OpenAI's clients.
    ("/openai/models", Form::OpenAi),
    ("/v1beta/models", Form::Gemini),
    ("/v1alpha/models", Form::Gemini),
    ("/v1beta1/publishers/google/models", Form::Vertex),
    ("/v1/publishers/google/models", Form::Vertex),
    ("/api/tags", Form::Ollama),
];

/// Whose list such a request is for, and what its path has behind that of the list: an id can't be
/// mistaken for it, as it comes later.
fn below_list<'p>(method: &Method, path: &'p str) -> Option<(Form, &'p str)> {
    (*method == Method::GET || *method == Method::HEAD).then_some(())?;
    let found = PATHS.into_iter().filter_map(|(list, form)| {
        let at = path.find(list)?;
        let below = path.get(at + list.len()..)?;
        let is_here = match below {
            "" | "/" => true,
            _ => below.starts_with('/') && form != Form::Ollama,
        };
        is_here.then_some((at, (form, below)))
    });
    found.min_by_key(|(at, _)| *at).map(|(_, found)| found)
}

impl Form {
    /// That of the client: Google's and Anthropic's ask for `/v1/models` too.
    fn for_client(self, headers: &HeaderMap) -> Self {
        match self {
            Self::OpenAi if is_of_google(headers) => Self::Gemini,
            Self::OpenAi if is_of_anthropic(headers) => Self::Anthropic,
            form => form,
        }
    }

    /// Whether what is behind the list is more than the name of a model, and so for the engine.
    fn is_below_model(self, path: &str) -> bool {
        match self {
            Self::OpenAi | Self::Anthropic => is_below_model(path),
            Self::Gemini | Self::Vertex => has_method(path) || path.contains("/operations/"),
            Self::Ollama => false,
        }
    }

    fn list_of<'e>(self, entries: impl Iterator<Item = &'e Written>) -> Bytes {
        let start: &[u8] = match self {
            Self::OpenAi | Self::Anthropic => br#"{"object":"list","data":["#,
            Self::Gemini | Self::Ollama => br#"{"models":["#,
            Self::Vertex => br#"{"publisherModels":["#,
        };
        let mut list = start.to_vec();
        for (position, entry) in entries.enumerate() {
            if position > 0 {
                list.push(b',');
            }
            list.extend_from_slice(entry.of(self));
        }
        list.extend_from_slice(b"]}");
        list.into()
    }
}

/// The same in the form of each API, serialized once.
#[derive(Clone, Debug, Default)]
struct Written {
    openai: Bytes,
    anthropic: Bytes,
    gemini: Bytes,
    vertex: Bytes,
    ollama: Bytes,
}

impl Written {
    fn of(&self, form: Form) -> &Bytes {
        match form {
            Form::OpenAi => &self.openai,
            Form::Anthropic => &self.anthropic,
            Form::Gemini => &self.gemini,
            Form::Vertex => &self.vertex,
            Form::Ollama => &self.ollama,
        }
    }

    /// What the engines call it is not for clients.
    fn model(listed: &Listed, created: u64) -> Self {
        let id = &*listed.id;
        let [openai, anthropic] = openai_and_anthropic(listed, created);
        let mut gemini = json!({
            "name": format!("models/{id}"),
            "displayName": id,
            // Clients choose by these. What a model is for only its engine knows.
            "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
        });
        let vertex = json!({
            "name": format!("publishers/google/models/{id}"),
            "displayName": id,
        });
        let ollama = json!({
            "name": id,
            "model": id,
            // Clients want all of these, and the digest in full length. None is known.
            "modified_at": "1970-01-01T00:00:00Z",
            "size": 0,
            "digest": "0".repeat(64),
            "details": {},
        });
        if let Some(tokens) = listed.max_model_len {
            gemini["inputTokenLimit"] = tokens.into();
        }
        Self {
            openai: openai.into(),
            anthropic: anthropic.into(),
            gemini: gemini.to_string().into(),
            vertex: vertex.to_string().into(),
            ollama: ollama.to_string().into(),
        }
    }
}

/// The two differ in what Mistral's clients read in OpenAI's.
fn openai_and_anthropic(listed: &Listed, created: u64) -> [String; 2] {
    let id = &*listed.id;
    let mut model = json!({
        "id": id,
        "object": "model",
        "created": created,
        "owned_by": "tower-model-route",
        "root": id,
        // Anthropic's: the time is the one that stands for none that is known.
        "type": "model",
        "display_name": id,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    });
    if let Some(parent) = &listed.parent {
        model["parent"] = parent.as_str().into();
    }
    if let Some(tokens) = listed.max_model_len {
        model["max_model_len"] = tokens.into();
        model["max_input_tokens"] = tokens.into();
    }
    let anthropic = model.to_string();
    // They tell a model from one that was fine-tuned by this, and want to know what it can do, which
    // only its engine knows.
    model["type"] = "base".into();
    model["capabilities"] = json!({
        "completion_chat": true,
        "completion_fim": true,
        "function_calling": true,
        "vision": true,
    });
    [model.to_string(), anthropic]
}

/// A model or an adapter that clients can ask for.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: Arc<str>,
    /// The base model of an adapter.
    pub(super) parent: Option<String>,
    pub(super) max_model_len: Option<u64>,
}

/// The names that clients can ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelList {
    list: Written,
    /// The entries in the order of the list.
    entries: Vec<(Arc<str>, Written)>,
    /// Their positions.
    by_id: HashMap<Arc<str>, usize>,
}

/// Whether the sender of a request may see a model.
pub(crate) type IsVisible = dyn Fn(&Parts, &str) -> bool + Send + Sync;

/// What a request asks for that is answered here.
enum Wanted<'a> {
    List,
    Model(&'a Written),
    /// A model that is not there.
    Unknown(Cow<'a, str>),
}

impl ModelList {
    /// If an id repeats, the first counts.
    pub(super) fn new(models: Vec<Listed>) -> Self {
        let created = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let mut by_id = HashMap::new();
        let mut entries: Vec<(Arc<str>, Written)> = Vec::new();
        for listed in models {
            if by_id.contains_key(&listed.id) {
                continue;
            }
            let written = Written::model(&listed, created);
            by_id.insert(Arc::clone(&listed.id), entries.len());
            entries.push((listed.id, written));
        }
        let list = |form: Form| form.list_of(entries.iter().map(|(_, entry)| entry));
        Self {
            list: Written {
                openai: list(Form::OpenAi),
                anthropic: list(Form::Anthropic),
                gemini: list(Form::Gemini),
                vertex: list(Form::Vertex),
                ollama: list(Form::Ollama),
            },
            entries,
            by_id,
        }
    }

    /// Whether such a request is answered here.
    pub(crate) fn is_for(&self, method: &Method, path: &str) -> bool {
        below_list(method, path)
            .is_some_and(|(form, below)| self.find(form, below, |_| true).is_some())
    }

    /// The answer, if the request asks for the list or for one of its entries.
    pub(crate) fn answer(&self, head: &Parts, is_visible: Option<&IsVisible>) -> Option<Answer> {
        let (form, below) = below_list(&head.method, head.uri.path())?;
        let form = form.for_client(&head.headers);
        let is_seen = |id: &str| is_visible.is_none_or(|is_visible| is_visible(head, id));
        let body = match self.find(form, below, is_seen)? {
            Wanted::List if is_visible.is_none() => self.list.of(form).clone(),
            Wanted::List => {
                let seen = self.entries.iter().filter(|(id, _)| is_seen(id));
                form.list_of(seen.map(|(_, entry)| entry))
            }
            Wanted::Model(entry) => entry.of(form).clone(),
            Wanted::Unknown(id) => return Some(Err(RouteError::model_not_found(&id))),
        };
        let mut response = Response::new(body);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Some(Ok(response))
    }

    /// An id may contain slashes, escaped (`org%2Fname`) or not. KServe's
    /// `/v1/models/{id}/ready` and its like are for the engine, and so are Gemini's methods
    /// and operations. To those who may not see it a model does not exist.
    fn find<'a>(
        &'a self,
        form: Form,
        below: &'a str,
        is_seen: impl Fn(&str) -> bool,
    ) -> Option<Wanted<'a>> {
        let Some(written) = below.strip_prefix('/').filter(|id| !id.is_empty()) else {
            return Some(Wanted::List);
        };
        let id = percent_decode_str(written).decode_utf8_lossy();
        let entry = self.by_id.get(&*id).and_then(|&at| self.entries.get(at));
        match entry.filter(|(id, _)| is_seen(id)) {
            Some((_, entry)) => Some(Wanted::Model(entry)),
            None if form.is_below_model(written) => None,
            None => Some(Wanted::Unknown(id)),
        }
    }
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
            listed("llama3:8b", None, None),
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
        for path in [
            "/v1/models",
            "/openai/v1/models/",
            "/v1beta/openai/models",
            "/openai/models?api-version=2024-10-21",
        ] {
            assert_eq!(get(path), get("/v1/models?limit=3"), "{path}");
        }
        let (status, body) = get("/v1/models?limit=3").unwrap();
        assert_eq!((status, &body["object"]), (StatusCode::OK, &json!("list")));
        let names: Vec<_> = body["data"].as_array().unwrap().iter().collect();
        assert_eq!(names.len(), 3);
        assert_eq!(names[0]["id"], "org/base");
        assert_eq!(names[0]["object"], "model");
        assert_eq!(names[0].get("parent"), None);
        assert_eq!(names[0]["root"], "org/base");
        assert_eq!(names[0]["max_model_len"], 8192);
        assert_eq!(names[1].get("max_model_len"), None);
        assert_eq!(names[1]["parent"], "org/base");
    }

    /// Each reads only entries of its own `type`.
    #[test]
    fn mistrals_and_anthropics_clients_find_their_types() {
        for path in ["/v1/models", "/v1/models/org/base"] {
            let entry = |request: http::request::Builder| {
                let (head, ()) = request.body(()).unwrap().into_parts();
                let answer = models().answer(&head, None).unwrap().unwrap();
                let body: Value = serde_json::from_slice(answer.body()).unwrap();
                body.get("data")
                    .map_or(body.clone(), |list| list[0].clone())
            };
            let mistral = entry(Request::get(path));
            assert_eq!(mistral["type"], "base");
            assert_eq!(mistral["capabilities"]["completion_chat"], true);
            let request = Request::get(path).header("anthropic-version", "2023-06-01");
            let anthropic = entry(request);
            assert_eq!(anthropic["type"], "model");
            assert_eq!(anthropic["display_name"], "org/base");
            assert_eq!(anthropic.get("capabilities"), None);
        }
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
    fn geminis_list_has_the_same_models() {
        for path in [
            "/v1beta/models",
            "/v1beta/models/?pageSize=50",
            "/team-a/v1alpha/models",
        ] {
            let (status, body) = get(path).unwrap();
            let methods = json!(["generateContent", "countTokens", "embedContent"]);
            let model = |id: &str| {
                json!({
                    "name": format!("models/{id}"),
                    "displayName": id,
                    "supportedGenerationMethods": methods,
                })
            };
            let mut base = model("org/base");
            base["inputTokenLimit"] = 8192.into();
            let list = json!({"models": [base, model("lora-A"), model("llama3:8b")]});
            assert_eq!((status, body), (StatusCode::OK, list), "{path}");
        }
    }

    #[test]
    fn googles_clients_get_geminis_form_at_the_path_that_is_openais_too() {
        let ask = |path: &str| {
            let request = Request::get(path).header("x-goog-api-key", "key");
            let (head, ()) = request.body(()).unwrap().into_parts();
            let response = models().answer(&head, None)?.unwrap();
            serde_json::from_slice::<Value>(response.body()).ok()
        };
        let list = ask("/v1/models").unwrap();
        assert_eq!(list["models"][0]["name"], "models/org/base");
        let one = ask("/v1/models/org/base").unwrap();
        assert_eq!(one["name"], "models/org/base");
        assert!(ask("/v1/models/m/operations/x").is_none(), "for the engine");
    }

    #[test]
    fn one_model_of_geminis() {
        for (path, name) in [
            ("/v1beta/models/org/base", "models/org/base"),
            ("/v1alpha/models/org%2Fbase", "models/org/base"),
            ("/v1beta/models/llama3:8b", "models/llama3:8b"),
        ] {
            let (status, body) = get(path).unwrap();
            assert_eq!((status, &body["name"]), (StatusCode::OK, &json!(name)));
        }
        let (status, body) = get("/v1beta/models/gone").unwrap();
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(body["error"]["status"], "NOT_FOUND");
        // For the engine.
        for path in [
            "/v1beta/models/org/base:generateContent",
            "/v1beta/models/gone:generateContent",
            "/v1beta/models/org/base/operations/x",
        ] {
            assert!(get(path).is_none(), "{path}");
            assert!(!models().is_for(&Method::GET, path), "{path}");
        }
    }

    #[test]
    fn vertexes_list_has_the_same_models() {
        let model =
            |id: &str| json!({"name": format!("publishers/google/models/{id}"), "displayName": id});
        let all = ["org/base", "lora-A", "llama3:8b"].map(model);
        for list in [
            "/v1beta1/publishers/google/models",
            "/x/v1/publishers/google/models/",
        ] {
            let expected = json!({"publisherModels": all});
            assert_eq!(get(list), Some((StatusCode::OK, expected)), "{list}");
        }
        let path = "/v1beta1/publishers/google/models/org/base";
        assert_eq!(get(path), Some((StatusCode::OK, model("org/base"))));
        let (status, body) = get("/v1/publishers/google/models/gone").unwrap();
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(body["error"]["status"], "NOT_FOUND");
        for path in [
            "/v1/publishers/google/models/gone:generateContent",
            "/v1/publishers/x/models",
            "/v1/projects/p/locations/l/publishers/google/models/m:predict",
        ] {
            assert!(get(path).is_none(), "{path}");
        }
    }

    #[test]
    fn ollamas_list_has_the_same_models_and_no_entries() {
        for path in ["/api/tags", "/team-a/api/tags/"] {
            let (status, body) = get(path).unwrap();
            assert_eq!(status, StatusCode::OK, "{path}");
            let names: Vec<_> = body["models"].as_array().unwrap().iter().collect();
            assert_eq!(names.len(), 3);
            for (name, id) in names.iter().zip(["org/base", "lora-A", "llama3:8b"]) {
                assert_eq!((&name["name"], &name["model"]), (&json!(id), &json!(id)));
                assert_eq!(name["digest"].as_str().map(str::len), Some(64));
            }
        }
        assert!(get("/api/tags/org/base").is_none());
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

//! The API of a Kubernetes cluster, without a network: lists, watches, and what goes wrong with them.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::{pending, ready},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tower::Service;

use crate::resources;

/// A service that answers as an API server does; clones are one cluster.
///
/// What it is changed by is seen by watches at once. It does not look at the bodies of requests.
#[derive(Clone, Default)]
pub struct ClusterApi(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    version: u64,
    /// By plural, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    /// All that happened since the last compaction, by its version.
    history: Vec<(u64, Happened)>,
    /// Up to which version the history is gone.
    compacted: u64,
    watches: Vec<(Scope, UnboundedSender<Frame<Bytes>>)>,
    requests: Vec<String>,
    refuses: Option<StatusCode>,
    is_silent: bool,
    /// So many watches end as soon as they have begun.
    short: usize,
    pages_only: bool,
    held: Vec<(String, UnboundedSender<Frame<Bytes>>, Bytes)>,
    holds: Option<String>,
}

#[derive(Clone)]
struct Happened {
    kind: &'static str,
    plural: String,
    namespace: String,
    object: Value,
}

/// What a request is about.
#[derive(Clone)]
struct Scope {
    plural: String,
    namespace: Option<String>,
    fields: Option<String>,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl ClusterApi {
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an object, or replaces it.
    pub fn apply(&self, mut object: Value) {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        let key = key(&object);
        let before = state.objects.insert(key.clone(), object.clone());
        let kind = match before {
            Some(_) => "MODIFIED",
            None => "ADDED",
        };
        state.happen(kind, key, object);
    }

    /// Deletes an object.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) {
        let mut state = self.0.lock().unwrap();
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        let mut object = state.objects.remove(&key).expect("it is there");
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        state.happen("DELETED", key, object);
    }

    /// Answers every request with this status, or again as it should; watches go on.
    pub fn refuse(&self, status: Option<StatusCode>) {
        self.0.lock().unwrap().refuses = status;
    }

    /// Answers requests for lists as streams as a server does that has none.
    pub fn only_pages(&self) {
        self.0.lock().unwrap().pages_only = true;
    }

    /// Ends all watches, as a server does that goes.
    pub fn cut(&self) {
        self.0.lock().unwrap().watches.clear();
    }

    /// Ends so many watches as soon as they have begun.
    pub fn cut_next(&self, watches: usize) {
        self.0.lock().unwrap().short = watches;
    }

    /// Answers no request that comes from now on, ever, or again as it should; watches go on.
    pub fn fall_silent(&self, is_silent: bool) {
        self.0.lock().unwrap().is_silent = is_silent;
    }

    /// Forgets what has happened: whoever asks to go on from before is told to list anew.
    pub fn compact(&self) {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        state.compacted = state.version;
        state.history.clear();
    }

    /// Tells all watches that what they follow is gone.
    pub fn expire(&self) {
        let mut state = self.0.lock().unwrap();
        let event = json!({"type": "ERROR", "object": status(StatusCode::GONE, "Expired")});
        for (_, watch) in state.watches.drain(..) {
            _ = watch.send(line(&event));
        }
    }

    /// Keeps back the answers to lists of these from now on, until they are released.
    pub fn hold(&self, plural: &str) {
        self.0.lock().unwrap().holds = Some(plural.to_owned());
    }

    pub fn release(&self) {
        let mut state = self.0.lock().unwrap();
        state.holds = None;
        for (_, answer, bytes) in state.held.drain(..) {
            _ = answer.send(Frame::data(bytes));
        }
    }

    /// Requests so far: method, path and query.
    pub fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().requests.clone()
    }

    fn answer(&self, method: &Method, uri: &Uri) -> Response<Body> {
        let mut state = self.0.lock().unwrap();
        state.requests.push(format!("{method} {uri}"));
        if let Some(refusal) = state.refuses {
            return refused(refusal, "Refused");
        }
        if method != Method::GET {
            return full(StatusCode::CREATED, &json!({"metadata": {}}));
        }
        let query = |name: &str| {
            let pairs = uri.query().unwrap_or_default().split('&');
            let mut values = pairs.filter_map(|pair| pair.split_once('='));
            let (_, value) = values.find(|(key, _)| *key == name)?;
            Some(value.replace("%3D", "=").replace("%2C", ","))
        };
        let scope = Scope::of(uri.path(), query("fieldSelector"));
        match query("watch") {
            None => state.list(&scope, query("limit"), query("continue")),
            Some(_) if query("sendInitialEvents").is_some() => state.stream(scope),
            Some(_) => {
                let from = query("resourceVersion").and_then(|version| version.parse().ok());
                state.watch(scope, from.unwrap_or(0))
            }
        }
    }
}

impl State {
    fn happen(&mut self, kind: &'static str, (plural, namespace, _): Key, object: Value) {
        let happened = Happened {
            kind,
            plural,
            namespace,
            object,
        };
        for (scope, watch) in &self.watches {
            if let Some(event) = scope.event(&happened) {
                _ = watch.send(line(&event));
            }
        }
        self.history.push((self.version, happened));
    }

    fn list(
        &mut self,
        scope: &Scope,
        limit: Option<String>,
        from: Option<String>,
    ) -> Response<Body> {
        let all = self.objects.iter();
        let items =
            all.filter(|((plural, namespace, _), object)| scope.has(plural, namespace, object));
        let items: Vec<Value> = items.map(|(_, object)| object.clone()).collect();
        let from: usize = from.map_or(0, |from| from.parse().unwrap());
        let limit = limit.map_or(usize::MAX, |limit| limit.parse().unwrap());
        let page: Vec<_> = items.iter().skip(from).take(limit).collect();
        let next = from + page.len();
        let rest = if next < items.len() {
            next.to_string()
        } else {
            String::new()
        };
        let list = json!({
            "kind": "List", "apiVersion": "v1", "items": page,
            "metadata": {"resourceVersion": self.version.to_string(), "continue": rest},
        });
        let (sender, receiver) = mpsc::unbounded_channel();
        let bytes = Bytes::from(list.to_string());
        match self.holds.as_deref() == Some(&scope.plural) {
            true => self.held.push((scope.plural.clone(), sender, bytes)),
            false => _ = sender.send(Frame::data(bytes)),
        }
        streamed(receiver)
    }

    fn stream(&mut self, scope: Scope) -> Response<Body> {
        if self.pages_only {
            return refused(StatusCode::UNPROCESSABLE_ENTITY, "Invalid");
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut text = String::new();
        for ((plural, namespace, _), object) in &self.objects {
            if scope.has(plural, namespace, object) {
                text += &format!("{}\n", json!({"type": "ADDED", "object": object}));
            }
        }
        let bookmark = json!({"type": "BOOKMARK", "object": {
            "apiVersion": "v1", "kind": "Bookmark", "metadata": {
                "resourceVersion": self.version.to_string(),
                "annotations": {"k8s.io/initial-events-end": "true"},
            },
        }});
        text += &format!("{bookmark}\n");
        match self.holds.as_deref() == Some(&scope.plural) {
            true => self
                .held
                .push((scope.plural.clone(), sender.clone(), text.into())),
            false => _ = sender.send(Frame::data(text.into())),
        }
        self.watches.push((scope, sender));
        streamed(receiver)
    }

    fn watch(&mut self, scope: Scope, from: u64) -> Response<Body> {
        if from < self.compacted {
            return refused(StatusCode::GONE, "Expired");
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let missed = self.history.iter().filter(|(version, _)| *version > from);
        for event in missed.filter_map(|(_, happened)| scope.event(happened)) {
            _ = sender.send(line(&event));
        }
        if self.short > 0 {
            self.short -= 1;
        } else {
            self.watches.push((scope, sender));
        }
        streamed(receiver)
    }
}

type Key = (String, String, String);

impl Scope {
    /// `/api/v1/pods`, or `/apis/GROUP/VERSION/namespaces/NS/PLURAL`.
    fn of(path: &str, fields: Option<String>) -> Self {
        let parts: Vec<&str> = path.split('/').collect();
        let namespace = parts.iter().position(|part| *part == "namespaces");
        Self {
            plural: (*parts.last().unwrap()).to_owned(),
            namespace: namespace.map(|at| parts[at + 1].to_owned()),
            fields,
        }
    }

    fn is_of(&self, plural: &str, namespace: &str) -> bool {
        self.plural == plural && self.namespace.as_deref().is_none_or(|it| it == namespace)
    }

    fn has(&self, plural: &str, namespace: &str, object: &Value) -> bool {
        let is_selected = match self.fields.as_deref() {
            Some("status.phase=Running") => object["status"]["phase"] == "Running",
            Some(other) => panic!("an unknown selector: {other}"),
            None => true,
        };
        self.is_of(plural, namespace) && is_selected
    }

    /// An object that is not selected any more is one that was deleted.
    fn event(&self, happened: &Happened) -> Option<Value> {
        let Happened {
            kind,
            plural,
            namespace,
            object,
        } = happened;
        let kind = match self.has(plural, namespace, object) {
            true => *kind,
            false if self.is_of(plural, namespace) && *kind == "MODIFIED" => "DELETED",
            false => return None,
        };
        Some(json!({"type": kind, "object": object}))
    }
}

impl<B> Service<Request<B>> for ClusterApi {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.answer(request.method(), request.uri());
        match self.0.lock().unwrap().is_silent {
            true => Box::pin(pending()),
            false => Box::pin(ready(Ok(answer))),
        }
    }
}

fn key(object: &Value) -> Key {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let metadata = &object["metadata"];
    let plural = format!("{}s", text(&object["kind"]).to_ascii_lowercase());
    (
        plural,
        text(&metadata["namespace"]),
        text(&metadata["name"]),
    )
}

fn line(event: &Value) -> Frame<Bytes> {
    Frame::data(format!("{event}\n").into())
}

fn streamed(frames: UnboundedReceiver<Frame<Bytes>>) -> Response<Body> {
    let frames = futures_util::stream::unfold(frames, async |mut frames| {
        let frame = frames.recv().await?;
        Some((Ok(frame), frames))
    });
    Response::new(StreamBody::new(frames).boxed_unsync())
}

fn full(status: StatusCode, body: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(body.to_string())).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn status(code: StatusCode, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": code.as_u16(),
    })
}

fn refused(code: StatusCode, reason: &str) -> Response<Body> {
    full(code, &status(code, reason))
}

/// A ModelRoute of one rule to one ModelServer.
pub fn model_route(name: &str, model: &str, server: &str) -> Value {
    let mut route = in_ml(resources::route(name, model, server));
    route["metadata"]["uid"] = format!("uid-of-{name}").into();
    route
}

/// A ModelServer whose Pods have the label `app` of its name, and the port 8000.
pub fn model_server(name: &str) -> Value {
    in_ml(resources::server(name, name, 8000))
}

fn in_ml(mut object: Value) -> Value {
    object["apiVersion"] = "networking.serving.volcano.sh/v1alpha1".into();
    object["metadata"]["namespace"] = "ml".into();
    object
}

/// A Pod that runs and is ready, with the label `app`.
pub fn pod(name: &str, app: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": "ml", "name": name, "labels": {"app": app},
            "managedFields": [{"manager": "kubelet"}],
        },
        "spec": {"containers": [{"name": "engine", "image": "vllm"}]},
        "status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [
                {"type": "ContainersReady", "status": "True"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-29T10:00:00Z"},
            ],
        },
    })
}

//! Event objects about errors in an object, for `kubectl describe`.

use ::kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tracing::warn;

use super::{
    kinds::{Kind, ModelRoute},
    lists::List,
};
use crate::manifest::Diagnostic;

/// This many may wait; further ones are in the log only.
const WAITING: usize = 256;
/// What the API server takes of a note, in bytes.
const LONGEST: usize = 1024;

/// Has Event objects written by a task of its own.
pub(super) struct EventObjects(Sender<(ObjectReference, String)>);

impl EventObjects {
    /// And the task that writes them.
    pub(super) fn new(client: Client) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), write(client, receiver))
    }

    /// One for each of these errors in one of the objects.
    pub(super) fn tell(&self, errors: &[Diagnostic], lists: &[List]) {
        for error in errors {
            let Some(called) = error.file() else { continue };
            let Some(uid) = lists.iter().find_map(|list| list.uid(called)) else {
                continue;
            };
            if let Some(reference) = reference(called, uid) {
                // Never waits for the API server.
                _ = self.0.try_send((reference, error.to_string()));
            }
        }
    }
}

/// `KIND NAMESPACE/NAME`.
fn reference(called: &str, uid: &str) -> Option<ObjectReference> {
    let (kind, name) = called.split_once(' ')?;
    let (namespace, name) = name.split_once('/')?;
    Some(ObjectReference {
        api_version: Some(format!("{}/{}", ModelRoute::GROUP, ModelRoute::VERSION)),
        kind: Some(kind.to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    })
}

async fn write(client: Client, mut events: Receiver<(ObjectReference, String)>) {
    let recorder = Recorder::new(client, Reporter::from("tower-model-route"));
    while let Some((reference, mut note)) = events.recv().await {
        let mut ends = (0..=LONGEST).rev();
        let end = ends.find(|end| note.is_char_boundary(*end));
        note.truncate(end.unwrap_or_default());
        let event = Event {
            type_: EventType::Warning,
            reason: "Invalid".to_owned(),
            note: Some(note),
            action: "Read".to_owned(),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&event, &reference).await {
            warn!(target: "tower_model_route::kube", %error, "an Event object is not written");
        }
    }
}

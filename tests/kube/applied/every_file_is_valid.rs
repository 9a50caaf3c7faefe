//! Each object in `examples/kubernetes` passes the API server's strict validation.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use test_kit::kube::{documents, shared};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kubernetes");

/// Each object of each file, with the name of the file.
fn objects() -> Vec<(String, Value, String)> {
    let (mut objects, mut folders) = (Vec::new(), vec![PathBuf::from(FOLDER)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let documents = documents(&text).into_iter();
            objects.extend(documents.map(|(object, text)| (name.clone(), object, text)));
        }
    }
    objects
}

#[tokio::test]
async fn in_a_dry_run() {
    let Some(cluster) = shared().await else {
        return;
    };
    let objects = objects();
    assert!(objects.len() > 10, "{objects:?}");
    for (file, object, text) in objects {
        let space = cluster.namespace().await;
        // The namespace of the test stands for that of the file.
        let text = match object["metadata"]["namespace"].as_str() {
            Some(name) => text.replace(
                &format!("namespace: {name}"),
                &format!("namespace: {}", space.name),
            ),
            None => text,
        };
        match space.dry_run(&object, &text).await {
            // It is there: it has been applied.
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {}
            result => _ = result.unwrap_or_else(|error| panic!("{file}: {error}\n{text}")),
        }
    }
}

/// The validation sees what is not there.
#[tokio::test]
async fn and_a_misspelt_field_does_not() {
    let Some(cluster) = shared().await else {
        return;
    };
    let space = cluster.namespace().await;
    for (object, wrong) in [
        (
            json!({
                "apiVersion": "networking.serving.volcano.sh/v1alpha1", "kind": "ModelServer",
                "metadata": {"name": "misspelt"},
                "spec": {"inferenceEngine": "vLLM", "workloadPorts": {"port": 8000}},
            }),
            "spec.workloadPorts",
        ),
        (
            json!({
                "apiVersion": "networking.serving.volcano.sh/v1alpha1", "kind": "ModelRoute",
                "metadata": {"name": "misspelt"},
                "spec": {"modelNames": "m", "rules": []},
            }),
            "spec.modelNames",
        ),
        (
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "misspelt"},
                "spec": {"ports": [{"port": 80, "targetPorts": 8080}]},
            }),
            "spec.ports[0].targetPorts",
        ),
    ] {
        let error = space.dry_run(&object, &object.to_string()).await;
        let error = error.unwrap_err().to_string();
        let expected = format!("unknown field \"{wrong}\"");
        assert!(error.contains(&expected), "{error}");
    }
}

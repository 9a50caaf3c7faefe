//! A test's part of a cluster.

use http::{Method, Request};
use kube::{Client, Error};
use serde_json::{Value, json};

use super::objects::{api_version, path};

/// A namespace and who may do anything in it.
///
/// Objects are given as JSON; `apiVersion` and the namespace are added where they are missing.
#[derive(Clone)]
pub struct Namespace {
    pub name: String,
    client: Client,
}

impl Namespace {
    pub(super) async fn make(client: Client, name: &str) -> Self {
        let made = Self {
            name: name.to_owned(),
            client,
        };
        let namespace = json!({"kind": "Namespace", "metadata": {"name": name}});
        made.apply(namespace).await;
        made
    }

    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The same namespace for somebody else.
    #[must_use]
    pub fn as_seen_by(&self, client: Client) -> Self {
        Self {
            name: self.name.clone(),
            client,
        }
    }

    /// Makes an object, or changes it to be as given; its answer is the object as it is stored.
    pub async fn apply(&self, object: Value) -> Value {
        self.try_apply(object).await.unwrap()
    }

    pub async fn try_apply(&self, mut object: Value) -> Result<Value, Error> {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.complete(&mut object);
        let space = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let path = path(&object, space);
        let path = format!("{path}/{name}?fieldManager=test&force=true");
        self.send(
            Method::PATCH,
            &path,
            "application/apply-patch+yaml",
            &object,
        )
        .await
    }

    /// Makes it in a dry run with strict validation of its fields; the text may be YAML.
    pub async fn dry_run(&self, object: &Value, text: &str) -> Result<Value, Error> {
        let path = path(object, &self.name);
        let request = Request::post(format!("{path}?dryRun=All&fieldValidation=Strict"))
            .header("content-type", "application/yaml")
            .body(text.as_bytes().to_vec())
            .unwrap();
        self.client.request(request).await
    }

    pub async fn get(&self, kind: &str, name: &str) -> Result<Value, Error> {
        let path = self.path_of(kind, name);
        let request = Request::get(path).body(Vec::new()).unwrap();
        self.client.request(request).await
    }

    /// The objects of a kind, as `kubectl get` lists them.
    pub async fn list(&self, kind: &str) -> Result<Vec<Value>, Error> {
        let object = json!({"kind": kind, "apiVersion": api_version(kind)});
        let request = Request::get(path(&object, &self.name)).body(Vec::new());
        let list: Value = self.client.request(request.unwrap()).await?;
        Ok(list["items"].as_array().unwrap().clone())
    }

    /// What a watch tells that ends at once.
    pub async fn watch(&self, kind: &str) -> Result<String, Error> {
        self.watch_with(kind, "").await
    }

    /// The same with further parameters, as `&name=value`.
    pub async fn watch_with(&self, kind: &str, more: &str) -> Result<String, Error> {
        let object = json!({"kind": kind, "apiVersion": api_version(kind)});
        let path = path(&object, &self.name);
        let path = format!("{path}?watch=true&timeoutSeconds=1{more}");
        let request = Request::get(path).body(Vec::new()).unwrap();
        self.client.request_text(request).await
    }

    /// What it may do here, as the API server sees it, but for asking for that.
    pub async fn rights(&self) -> Vec<Value> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": self.name},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
        let review = self.send(Method::POST, path, "application/json", &review);
        let mut rules = review.await.unwrap()["status"]["resourceRules"]
            .as_array()
            .unwrap()
            .clone();
        rules.retain(|rule| {
            let group = rule["apiGroups"][0].as_str().unwrap();
            !["authentication.k8s.io", "authorization.k8s.io"].contains(&group)
        });
        rules
    }

    /// As `kubectl delete`: a Pod on a node only begins to end.
    pub async fn delete(&self, kind: &str, name: &str) {
        let path = self.path_of(kind, name);
        let request = Request::delete(path).body(Vec::new()).unwrap();
        self.client.request::<Value>(request).await.unwrap();
    }

    /// The end of a Pod that was deleted before.
    pub async fn remove(&self, pod: &str) {
        let path = self.path_of("Pod", pod);
        let request = Request::delete(format!("{path}?gracePeriodSeconds=0"));
        let request = request.body(Vec::new()).unwrap();
        self.client.request::<Value>(request).await.unwrap();
    }

    /// A Pod on a node, that runs and is ready, with the label `app`.
    pub async fn pod(&self, name: &str, app: &str, address: &str) {
        self.pod_with(name, json!({"app": app})).await;
        self.pod_status(name, "Running", true, address).await;
    }

    /// A Pod that has been scheduled, and no more.
    pub async fn pod_with(&self, name: &str, labels: Value) {
        let pod = json!({
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {"nodeName": "node", "containers": [{"name": "engine", "image": "engine"}]},
        });
        self.apply(pod).await;
    }

    /// What its kubelet would say of a Pod.
    pub async fn pod_status(&self, name: &str, phase: &str, ready: bool, address: &str) {
        let ready = if ready { "True" } else { "False" };
        let mut status = json!({
            "phase": phase,
            "conditions": [{"type": "Ready", "status": ready}],
        });
        if !address.is_empty() {
            status["podIP"] = address.into();
            status["podIPs"] = json!([{"ip": address}]);
        }
        let path = format!("{}/status", self.path_of("Pod", name));
        let patch = json!({"status": status});
        let kind = "application/merge-patch+json";
        self.send(Method::PATCH, &path, kind, &patch).await.unwrap();
    }

    /// Changes of an object's fields; `null` removes one.
    pub async fn patch(&self, kind: &str, name: &str, patch: &Value) {
        let path = self.path_of(kind, name);
        let how = "application/merge-patch+json";
        self.send(Method::PATCH, &path, how, patch).await.unwrap();
    }

    /// A token of a ServiceAccount that exists.
    pub async fn token(&self, service_account: &str) -> String {
        let path = format!("{}/token", self.path_of("ServiceAccount", service_account));
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 600},
        });
        let review = self.send(Method::POST, &path, "application/json", &review);
        review.await.unwrap()["status"]["token"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn complete(&self, object: &mut Value) {
        let kind = object["kind"].as_str().unwrap().to_owned();
        if object["apiVersion"].is_null() {
            object["apiVersion"] = api_version(&kind).into();
        }
        if object["metadata"]["namespace"].is_null()
            && path(object, &self.name).contains("/namespaces/")
        {
            object["metadata"]["namespace"] = self.name.clone().into();
        }
    }

    fn path_of(&self, kind: &str, name: &str) -> String {
        let object = json!({"kind": kind, "apiVersion": api_version(kind)});
        format!("{}/{name}", path(&object, &self.name))
    }

    async fn send(&self, how: Method, to: &str, kind: &str, body: &Value) -> Result<Value, Error> {
        let request = Request::builder().method(how).uri(to);
        let request = request.header("content-type", kind);
        let request = request.body(body.to_string().into_bytes()).unwrap();
        self.client.request(request).await
    }
}

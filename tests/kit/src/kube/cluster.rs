//! The processes of a cluster.

use std::{
    env,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Request;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::{sync::OnceCell, time::sleep};

use super::{
    namespace::Namespace,
    objects::{documents, path},
    process::Process,
};
use crate::{directory::Directory, slow::Slow, time::within};

/// Set where a test must not be skipped for want of the programs.
const REQUIRED: &str = "TOWER_MODEL_ROUTE_KUBE_REQUIRED";
/// The folder with the programs.
const FOLDER: &str = "TOWER_MODEL_ROUTE_KUBE";

const CRDS: &str = include_str!("../../../../examples/kubernetes/without-kthena/crds.yaml");

/// Whether the API server answers a list as a stream of its watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    Streamed,
    /// It refuses that, as those before Kubernetes 1.32 do, and all above an etcd 3.4.
    Paged,
}

pub struct Cluster {
    api: Option<Process>,
    _etcd: Process,
    directory: Directory,
    folder: PathBuf,
    lists: Lists,
    port: u16,
    etcd_port: u16,
    token: String,
}

/// The cluster of all tests that break nothing: each has a namespace of its own.
pub async fn shared() -> Option<&'static Cluster> {
    static SHARED: OnceCell<Option<Cluster>> = OnceCell::const_new();
    SHARED
        .get_or_init(|| Cluster::start(Lists::Streamed))
        .await
        .as_ref()
}

impl Cluster {
    /// `None`, and a line that says so, where the programs have not been built.
    pub async fn start(lists: Lists) -> Option<Self> {
        let folder = folder()?;
        loop {
            if let Some(cluster) = Self::try_start(&folder, lists).await {
                return Some(cluster);
            }
        }
    }

    /// `None` if another program was faster to take a port.
    async fn try_start(folder: &Path, lists: Lists) -> Option<Self> {
        let directory = Directory::new();
        let key = rcgen::KeyPair::generate().unwrap();
        let token = format!("token-{}", unique());
        let users = format!("{token},admin,admin,\"system:masters\"\n");
        let directory = directory
            .with("sa.key", key.serialize_pem())
            .with("sa.pub", key.public_key_pem())
            .with("tokens.csv", users);
        let etcd_port = free_port();
        let mut cluster = Self {
            _etcd: etcd(folder, &directory, etcd_port),
            api: None,
            directory,
            folder: folder.to_owned(),
            lists,
            port: free_port(),
            etcd_port,
            token,
        };
        cluster.run();
        if !cluster.is_ready(Duration::from_secs(20)).await {
            return None;
        }
        let client = cluster.client().await;
        for (_, text) in documents(CRDS) {
            let path = path(
                &json!({"kind": "CustomResourceDefinition",
                "apiVersion": "apiextensions.k8s.io/v1"}),
                "",
            );
            let request = Request::post(path).header("content-type", "application/yaml");
            let request = request.body(text.into_bytes()).unwrap();
            client.request::<Value>(request).await.unwrap();
        }
        within(async {
            for kind in ["ModelRoute", "ModelServer"] {
                let api = "networking.serving.volcano.sh/v1alpha1";
                let path = path(&json!({"kind": kind, "apiVersion": api}), "default");
                let list = || Request::get(&path).body(Vec::new()).unwrap();
                while client.request::<Value>(list()).await.is_err() {
                    sleep(Duration::from_millis(20)).await;
                }
            }
        })
        .await;
        Some(cluster)
    }

    fn run(&mut self) {
        let file = |name: &str| self.directory.file(name).display().to_string();
        let mut arguments = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            format!("--secure-port={}", self.port),
            format!("--cert-dir={}", file("certs")),
            format!("--service-account-key-file={}", file("sa.pub")),
            format!("--service-account-signing-key-file={}", file("sa.key")),
            format!("--token-auth-file={}", file("tokens.csv")),
        ];
        let fixed = [
            "--bind-address=127.0.0.1",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
        ];
        arguments.extend(fixed.map(str::to_owned));
        if self.lists == Lists::Paged {
            arguments.push("--feature-gates=WatchList=false".to_owned());
        }
        let log = self.directory.file("kube-apiserver.log");
        let program = self.folder.join("kube-apiserver");
        self.api = Some(Process::start(&program, arguments, &log, None));
    }

    async fn is_ready(&self, limit: Duration) -> bool {
        let ready = async {
            let client = self.client().await;
            loop {
                let request = Request::get("/readyz").body(Vec::new()).unwrap();
                if client.request_text(request).await.is_ok() {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(limit, ready).await.is_ok()
    }

    /// Who may do anything. A client belongs to the runtime in which it was made.
    pub async fn client(&self) -> Client {
        self.client_of(&self.token).await
    }

    /// Whoever has this token.
    pub async fn client_of(&self, token: &str) -> Client {
        client(self.port, token).await
    }

    /// A proxy before the API server, and the administrator by way of it.
    pub async fn slow(&self) -> (Slow, Client) {
        let slow = Slow::before(([127, 0, 0, 1], self.port).into()).await;
        let client = client(slow.address.port(), &self.token).await;
        (slow, client)
    }

    /// A kubeconfig of the administrator.
    pub fn kubeconfig(&self) -> String {
        kubeconfig(self.port, &self.token).to_string()
    }

    /// A new namespace.
    pub async fn namespace(&self) -> Namespace {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Namespace::make(self.client().await, &format!("test-{count}")).await
    }

    /// Ends the API server at once; the data stays in etcd.
    pub fn kill(&mut self) {
        self.api = None;
    }

    /// Starts it where it was, with the data that it had.
    pub async fn restart(&mut self) {
        self.kill();
        within(async {
            loop {
                self.run();
                // A connection of another test can have the port for a moment.
                if self.is_ready(Duration::from_secs(10)).await {
                    return;
                }
                self.kill();
            }
        })
        .await;
    }

    /// Forgets the history before the newest revision. The API server's cache still knows it until
    /// it is restarted; who then asks for a change since, gets 410.
    pub async fn compact(&self) {
        let revision = self.etcd("/v3/kv/range", &json!({"key": "AA=="})).await;
        let revision = revision["header"]["revision"].as_str().unwrap().to_owned();
        let compaction = json!({"revision": revision, "physical": true});
        self.etcd("/v3/kv/compaction", &compaction).await;
    }

    async fn etcd(&self, path: &str, body: &Value) -> Value {
        let client = crate::socket::http_client::<axum::body::Body>(false);
        let url = format!("http://127.0.0.1:{}{path}", self.etcd_port);
        let request = Request::post(url).body(body.to_string().into()).unwrap();
        let answer = client.request(request).await.unwrap();
        let answer = crate::answer::Answer::of(answer).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        serde_json::from_str(answer.text()).unwrap()
    }
}

/// The folder of the programs; `None`, and a line that says so, where there are none.
fn folder() -> Option<PathBuf> {
    let folder = env::var_os(FOLDER).map_or_else(
        || {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            let target = env::var_os("CARGO_TARGET_DIR");
            root.join(target.unwrap_or_else(|| "target".into()))
                .join("kube")
        },
        PathBuf::from,
    );
    if ["etcd", "kube-apiserver"]
        .iter()
        .all(|name| folder.join(name).is_file())
    {
        return Some(folder);
    }
    let folder = folder.display();
    let missing = format!("there is no kube-apiserver in {folder}: .ci/kube builds it");
    assert!(env::var_os(REQUIRED).is_none(), "{missing}");
    // Also where the tests' own output is captured.
    static SAID: Once = Once::new();
    SAID.call_once(|| _ = writeln!(std::io::stderr(), "SKIPPED: {missing}"));
    None
}

fn etcd(folder: &Path, directory: &Directory, port: u16) -> Process {
    let (clients, peers) = (
        format!("http://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{}", free_port()),
    );
    let arguments = [
        format!("--data-dir={}", directory.file("etcd").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        "--unsafe-no-fsync=true".to_owned(),
    ];
    let log = directory.file("etcd.log");
    // A static is not dropped: the directory of the shared cluster goes with its etcd.
    let removed = Some(directory.path());
    Process::start(&folder.join("etcd"), arguments, &log, removed)
}

/// No other cluster on this machine has it.
fn unique() -> u128 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    since << 32 | u128::from(std::process::id())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn kubeconfig(port: u16, token: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://127.0.0.1:{port}"), "insecure-skip-tls-verify": true}}],
        "users": [{"name": "test", "user": {"token": token}}],
    })
}

async fn client(port: u16, token: &str) -> Client {
    let config: Kubeconfig = serde_json::from_value(kubeconfig(port, token)).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(config, &options).await;
    Client::try_from(config.unwrap()).unwrap()
}

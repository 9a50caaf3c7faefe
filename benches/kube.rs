//! How soon a gateway answers that begins beside a large cluster, and what it takes: this crate's,
//! and others, on the same objects of the same API server.
//!
//! `.ci/kube` builds a kube-apiserver and an etcd, once; then
//! `cargo bench --bench kube -- 'kthena-router --port {port}'`: 10,000 ModelRoutes, 100 ModelServers
//! and 1,000 Pods are applied, and then one program after the other is started, with `KUBECONFIG`
//! set: a small gateway of this crate's `kube::Watch`, and each that is named, as a command in which
//! `{port}` is where it is to listen. With `--quick` a tenth of the objects, which shows that it works.
#![allow(missing_docs)]

use std::{
    error::Error,
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use test_kit::kube::{Cluster, Lists, Namespace, server};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tower_model_route::{RouteTable, RouteTableHandle, engine_client, kube::Watch, stack};

type Failed = Box<dyn Error + Send + Sync>;

/// The small gateway.
async fn serve(port: u16) -> Result<(), Failed> {
    let handle = RouteTableHandle::new(RouteTable::builder().build()?);
    let client = kube::Client::try_default().await?;
    let watch = Watch::new(client).start(&handle)?;
    watch.ready().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let app = Router::new().fallback_service(stack(handle).service(engine_client()));
    axum::serve(listener, app).await?;
    Ok(())
}

/// A route with a condition and a split, as teams have them.
fn route(name: usize, servers: usize) -> Value {
    let (first, second) = (name % servers, (name + 1) % servers);
    let target = |server: usize, weight: u32| json!({"modelServerName": format!("server-{server}"), "weight": weight});
    json!({
        "kind": "ModelRoute",
        "metadata": {"name": format!("route-{name}")},
        "spec": {"modelName": format!("model-{name}"), "rules": [
            {
                "name": "premium",
                "modelMatch": {"headers": {"user-type": {"exact": "premium"}}},
                "targetModels": [{"modelServerName": format!("server-{first}")}],
            },
            {"name": "default", "targetModels": [target(first, 90), target(second, 10)]},
        ]},
    })
}

async fn apply(namespace: &Namespace, routes: usize, servers: usize, pods: usize) {
    let mut tasks = JoinSet::new();
    let most = Arc::new(Semaphore::new(32));
    let objects = (0..servers).map(|it| server(&format!("server-{it}"), &format!("app-{it}"), 1));
    let objects: Vec<Value> = objects
        .chain((0..routes).map(|it| route(it, servers)))
        .collect();
    for object in objects {
        let (namespace, most) = (namespace.clone(), Arc::clone(&most));
        tasks.spawn(async move {
            let _permit = most.acquire_owned().await;
            namespace.apply(object).await;
        });
    }
    for pod in 0..pods {
        let (namespace, most) = (namespace.clone(), Arc::clone(&most));
        tasks.spawn(async move {
            let _permit = most.acquire_owned().await;
            let (name, app) = (format!("pod-{pod}"), format!("app-{}", pod % servers));
            let address = format!("127.1.{}.{}", pod / 250, pod % 250 + 1);
            namespace.pod(&name, &app, &address).await;
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("the API server takes the objects");
    }
}

/// Ends with the bench.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

impl Program {
    /// A line of what the system says of it.
    fn said(&self, file: &str, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(
            line.split_whitespace()
                .skip(1)
                .collect::<Vec<_>>()
                .join(" "),
        )
    }

    /// What it has used of the processor, in hundredths of a second.
    fn ticks(&self) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).ok()?;
        // After the name, which may have spaces.
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
    }
}

fn start(command: &str, port: u16, kubeconfig: &str) -> Result<Program, Failed> {
    let command = command.replace("{port}", &port.to_string());
    let mut words = command.split_whitespace();
    let program = words.next().ok_or("a command is empty")?;
    let child = Command::new(program)
        .args(words)
        .env("KUBECONFIG", kubeconfig)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Ok(Program(
        child.map_err(|error| format!("{program}: {error}"))?,
    ))
}

/// Whether requests for the last of the routes go somewhere: no engine is there, so that the answer
/// is an error, but not that there is no route.
async fn answers(client: &Client<HttpConnector, Full<Bytes>>, port: u16, routes: usize) -> bool {
    let model = routes - 1;
    let body =
        format!(r#"{{"model":"model-{model}","messages":[{{"role":"user","content":"hi"}}]}}"#);
    let request = Request::post(format!("http://127.0.0.1:{port}/v1/chat/completions"))
        .header("content-type", "application/json")
        .body(Full::from(body));
    let Ok(request) = request else { return false };
    let answer = timeout(Duration::from_secs(1), client.request(request)).await;
    matches!(answer, Ok(Ok(answer)) if answer.status() != StatusCode::NOT_FOUND)
}

async fn measure(command: &str, kubeconfig: &str, routes: usize) -> Result<(), Failed> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await?
        .local_addr()?
        .port();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let begun = Instant::now();
    let mut program = start(command, port, kubeconfig)?;
    while !answers(&client, port, routes).await {
        if let Some(status) = program.0.try_wait()? {
            return Err(format!("{command}: {status}").into());
        }
        if begun.elapsed() > Duration::from_secs(120) {
            return Err(format!("{command}: it does not answer").into());
        }
        sleep(Duration::from_millis(10)).await;
    }
    let time = begun.elapsed();
    let cpu = program.ticks().unwrap_or(0) as f64 / 100.0;
    sleep(Duration::from_secs(2)).await;
    let memory = |name| program.said("status", name).unwrap_or_default();
    println!(
        "{command}\n  answers after {time:.2?}, {cpu:.2} s of CPU, {} resident, {} at most",
        memory("VmRSS:"),
        memory("VmHWM:"),
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [serves, port] = &arguments[..]
        && serves == "--serve"
    {
        return serve(port.parse()?).await;
    }
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    arguments.retain(|argument| !argument.starts_with("--"));
    let (routes, servers, pods) = if is_quick {
        (1_000, 10, 100)
    } else {
        (10_000, 100, 1_000)
    };
    let Some(cluster) = Cluster::start(Lists::Streamed).await else {
        return Ok(());
    };
    let namespace = cluster.namespace().await;
    let begun = Instant::now();
    apply(&namespace, routes, servers, pods).await;
    println!(
        "{routes} ModelRoutes, {servers} ModelServers, {pods} Pods, applied in {:.0?}",
        begun.elapsed()
    );
    let file = std::env::temp_dir().join(format!("kubeconfig-{}", std::process::id()));
    std::fs::write(&file, cluster.kubeconfig())?;
    let kubeconfig = file.display().to_string();
    let own = format!("{} --serve {{port}}", std::env::current_exe()?.display());
    let mut result = Ok(());
    for command in std::iter::once(own).chain(arguments) {
        result = result.and(measure(&command, &kubeconfig, routes).await);
    }
    _ = std::fs::remove_file(file);
    result
}

//! The built program.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
    time::Duration,
};

#[cfg(feature = "kube")]
use std::path::Path;

use axum::{
    body::Bytes,
    http::{Request, Response, Version},
};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{self, Client},
    rt::TokioExecutor,
};
use test_kit::{directory::Directory, socket::Upstream};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout},
};

/// Nothing takes this long that is going to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where cargo has built it.
pub(crate) const PATH: &str = env!("CARGO_BIN_EXE_gateway");

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program, which ends by itself.
pub(crate) fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ended {
    run_with(args, &[])
}

/// The same with these variables in its environment.
pub(crate) fn run_with<A: AsRef<OsStr>>(
    args: impl IntoIterator<Item = A>,
    variables: &[(&str, &str)],
) -> Ended {
    let mut command = Command::new(PATH);
    let command = command.args(args).envs(variables.iter().copied());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A gateway on a free port, which is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    url: String,
    /// What it said up to the requests.
    pub(crate) introduction: String,
    lines: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl Gateway {
    /// Starts it with these manifests, whose ModelServer `small` has this engine.
    pub(crate) async fn serving(
        engine: &Upstream,
        manifests: &str,
        more: &[&str],
    ) -> (Directory, Self) {
        Self::serving_on("127.0.0.1:0", &engine.url(), manifests, more).await
    }

    /// The same at this address, with an engine that has this URL.
    pub(crate) async fn serving_on(
        address: &str,
        engine: &str,
        manifests: &str,
        more: &[&str],
    ) -> (Directory, Self) {
        let directory = Directory::new();
        let path = directory.write("all.yaml", manifests);
        let endpoint = format!("ml/small={engine}");
        let args = [
            "--manifests",
            path.to_str().unwrap(),
            "--endpoint",
            &endpoint,
        ];
        let gateway = Self::start_on(address, [&args, more].concat()).await;
        (directory, gateway)
    }

    /// Starts it, and returns when it listens.
    pub(crate) async fn start<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        Self::start_on("127.0.0.1:0", args).await
    }

    pub(crate) async fn start_on<A: AsRef<OsStr>>(
        address: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let mut command = tokio::process::Command::new(PATH);
        command.args(["--listen", address]).args(args);
        Self::start_as(command).await
    }

    /// Starts it with RUST_LOG, so that it says much on stderr, which nobody reads.
    pub(crate) async fn start_unread<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let mut command = tokio::process::Command::new(PATH);
        command.args(["--listen", "127.0.0.1:0"]).args(args);
        command.env("RUST_LOG", "trace").stderr(Stdio::piped());
        Self::start_as(command).await
    }

    async fn start_as(command: tokio::process::Command) -> Self {
        let mut gateway = Self::spawn(command);
        gateway.introduced("Requests:").await;
        let url = gateway.said_at("Gateway on ");
        gateway.url = url.split(',').next().unwrap().to_owned();
        gateway
    }

    /// Starts it with these flags and the cluster of this kubeconfig, and returns while it waits for
    /// that.
    #[cfg(feature = "kube")]
    pub(crate) async fn start_by_cluster(kubeconfig: &Path, args: &[&str]) -> Self {
        let mut command = tokio::process::Command::new(PATH);
        command
            .args(["--kube", "--listen", "127.0.0.1:0"])
            .args(args)
            .env("KUBECONFIG", kubeconfig);
        let mut gateway = Self::spawn(command);
        gateway.introduced("Reading the cluster").await;
        let url = gateway.said_at("until then ");
        gateway.url = url.split(' ').next().unwrap().to_owned();
        gateway
    }

    fn spawn(mut command: tokio::process::Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        Self {
            url: String::new(),
            introduction: String::new(),
            lines: BufReader::new(stdout).lines(),
            child,
        }
    }

    /// Takes what it says up to the line that has `text` as a part of its introduction.
    pub(crate) async fn introduced(&mut self, text: &str) {
        let said = self.until(text).await;
        self.introduction.push_str(&said);
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where its admin view is, without the path, if that has an address of its own.
    pub(crate) fn admin_url(&self) -> String {
        let url = self.said_at("The admin view is at ");
        url.strip_suffix("/_").unwrap().to_owned()
    }

    /// Where it has said that something is, up to the end of the line.
    pub(crate) fn said_at(&self, what: &str) -> String {
        let (_, url) = self.introduction.split_once(what).unwrap();
        url.lines().next().unwrap().to_owned()
    }

    /// Asks it to stop, as Kubernetes and systemd do.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends it this signal.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let killed = Command::new("kill").args([signal, &id]).status();
        assert!(killed.unwrap().success());
    }

    /// Its exit code, once it has stopped by itself.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait());
        ended.await.unwrap().unwrap().code()
    }

    /// The status that a GET is answered with.
    pub(crate) async fn get(&self, path: &str) -> u16 {
        self.get_at(&self.url, path).await
    }

    /// The same at another of its addresses.
    pub(crate) async fn get_at(&self, url: &str, path: &str) -> u16 {
        let request = Request::get(format!("{url}{path}"));
        self.send(request.body(String::new()).unwrap())
            .await
            .status()
            .as_u16()
    }

    /// What it says next, up to the line that has `text`.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let mut said = String::new();
        let read = async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let Some(line) = line else { return false };
                said.push_str(&line);
                said.push('\n');
                if line.contains(text) {
                    return true;
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, read).await;
        assert_eq!(
            found,
            Ok(true),
            "there is no line with {text:?} in:\n{said}"
        );
        said
    }

    /// What it says to these bytes, up to the end of the connection.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let address = self.url.strip_prefix("http://").unwrap();
        let exchange = async {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            answer
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap()
    }

    /// Asks it for a completion by `model`.
    pub(crate) async fn ask(&self, model: &str) -> Response<String> {
        let body = serde_json::json!({
            "model": model,
            "messages": [{"role": "user", "content": "Hello"}],
        });
        let request = Request::post(format!("{}/v1/chat/completions", self.url))
            .header("content-type", "application/json")
            .body(body.to_string())
            .unwrap();
        self.send(request).await
    }

    /// Sends it a request on a connection of its own, HTTP/2 if it is said to be.
    pub(crate) async fn send(&self, request: Request<String>) -> Response<String> {
        self.try_send(request).await.unwrap()
    }

    /// The same for a request that may be refused before all of it is written: then the connection
    /// may be closed under the client, which does not see the answer.
    pub(crate) async fn try_send(
        &self,
        request: Request<String>,
    ) -> Result<Response<String>, legacy::Error> {
        let exchange = async {
            let client = Client::builder(TokioExecutor::new())
                .http2_only(request.version() == Version::HTTP_2)
                .build_http();
            let request = request.map(|body| Full::new(Bytes::from(body)));
            let (head, body) = client.request(request).await?.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let text = String::from_utf8(body.into()).unwrap();
            Ok(Response::from_parts(head, text))
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap()
    }
}

/// A header that the gateway or the mock engine adds.
pub(crate) fn header<'r>(response: &'r Response<String>, name: &str) -> &'r str {
    let value = response.headers().get(name);
    value.map_or("-", |value| value.to_str().unwrap())
}

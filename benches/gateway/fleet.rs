//! The proxies that are measured, each a process of its own.

use std::path::{Path, PathBuf};

use crate::{
    load::Protocol,
    proxies::{Process, Result},
    support::MODEL,
};

/// Proxies that take turns under the same load; the first is the bare one.
pub struct Group {
    pub protocol: Protocol,
    pub proxies: Vec<(&'static str, Process)>,
}

/// The engine, and all proxies before it.
pub struct Fleet {
    pub groups: [Group; 2],
    _engine: Process,
}

impl Fleet {
    /// `directory` is for the files of the program.
    pub fn start(directory: &Path) -> Result<Self> {
        let engine = Process::start("role:engine", None)?;
        let start = |(name, role): (&'static str, &str)| {
            Process::start(role, Some(engine.address)).map(|process| (name, process))
        };
        let http1 = [
            ("bare", "role:bare"),
            ("floor", "role:floor"),
            ("layer", "role:routed"),
            ("stack", "role:stack"),
            ("told", "role:told"),
        ];
        let mut http1 = http1.into_iter().map(start).collect::<Result<Vec<_>>>()?;
        http1.extend(program(&engine, directory)?.map(|program| ("program", program)));
        if let Some(before) = before() {
            for (name, role) in [("was_layer", "role:routed"), ("was_stack", "role:stack")] {
                let process = Process::start_of(&before, role, Some(engine.address))?;
                http1.push((name, process));
            }
        }
        let http2 = [("h2_bare", "role:bare2"), ("h2_layer", "role:routed2")];
        let http2 = http2.into_iter().map(start).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            groups: [(Protocol::Http1, http1), (Protocol::Http2, http2)]
                .map(|(protocol, proxies)| Group { protocol, proxies }),
            _engine: engine,
        })
    }
}

/// The program behind `--before`.
fn before() -> Option<PathBuf> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--before");
    arguments.nth(1).map(PathBuf::from)
}

/// The example, beside this program.
fn program(engine: &Process, directory: &Path) -> Result<Option<Process>> {
    let mut path = std::env::current_exe()?;
    path.pop();
    path.pop();
    path.push("gateway");
    if !path.exists() {
        return Ok(None);
    }
    let manifests = directory.join("routes.yaml");
    std::fs::write(&manifests, MANIFESTS.replace("MODEL", MODEL))?;
    let arguments = [
        format!("--manifests={}", manifests.display()),
        format!("--endpoint=s=http://{}", engine.address),
        "--listen=127.0.0.1:0".to_owned(),
        "--access-log=text".to_owned(),
    ];
    Process::program(&path, &arguments, &directory.join("output")).map(Some)
}

const MANIFESTS: &str = "\
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata: {name: s}
spec:
  inferenceEngine: vLLM
  model: deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B
  workloadSelector: {matchLabels: {app: s}}
  workloadPort: {port: 8000}
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata: {name: r}
spec:
  modelName: MODEL
  rules: [{name: all, targetModels: [{modelServerName: s}]}]
";

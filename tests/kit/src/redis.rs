//! A real Redis on a free port, which ends with the test.

use std::{env, net::SocketAddr, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use crate::{directory::Directory, slow::Slow, time::within};

/// Set where a test must not be skipped for want of a Redis.
const REQUIRED: &str = "TOWER_MODEL_ROUTE_REDIS_REQUIRED";

pub struct Redis {
    address: SocketAddr,
    password: Option<&'static str>,
    is_cluster: bool,
    child: Option<Child>,
    directory: Directory,
}

impl Redis {
    /// `None`, and a line that says so, where there is no `redis-server`.
    pub async fn start() -> Option<Self> {
        Self::with_password(None).await
    }

    pub async fn with_password(password: Option<&'static str>) -> Option<Self> {
        Self::with(password, false).await
    }

    /// A cluster of one, which refuses a call for keys in several slots.
    pub async fn cluster() -> Option<Self> {
        let redis = Self::with(None, true).await?;
        redis.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
        within(async {
            while !redis
                .ask(&["CLUSTER", "INFO"])
                .await
                .concat()
                .contains("cluster_state:ok")
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        Some(redis)
    }

    async fn with(password: Option<&'static str>, is_cluster: bool) -> Option<Self> {
        let found = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if found.await.is_err() {
            assert!(
                env::var_os(REQUIRED).is_none(),
                "there is no redis-server in PATH"
            );
            eprintln!("SKIPPED: there is no redis-server in PATH");
            return None;
        }
        let mut redis = Self {
            address: free_address().await,
            password,
            is_cluster,
            child: None,
            directory: Directory::new(),
        };
        while !redis.try_start().await {
            redis.address = free_address().await;
        }
        Some(redis)
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// A way to it that takes time.
    pub async fn slow(&self) -> Slow {
        Slow::before(self.address).await
    }

    /// Whether it runs; not if another program was faster to take the port.
    async fn try_start(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &self.address.port().to_string()])
            .arg("--dir")
            .arg(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        if let Some(password) = self.password {
            command.args(["--requirepass", password]);
        }
        if self.is_cluster {
            let bus = free_address().await.port().to_string();
            command.args(["--cluster-enabled", "yes", "--cluster-port", &bus]);
        }
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        // That somebody listens there does not say who.
        let runs = within(async {
            while let Some(line) = log.next_line().await.unwrap() {
                if line.contains("Ready to accept connections") {
                    return true;
                }
            }
            false
        });
        let runs = runs.await;
        self.child = Some(child);
        runs
    }

    /// Ends it at once; all that it knew is gone.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// Starts it where it was.
    pub async fn restart(&mut self) {
        within(async {
            // A connection of another test can have the port for a moment.
            while !self.try_start().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }

    /// The answer to a command, as its lines.
    pub async fn ask(&self, command: &[&str]) -> Vec<String> {
        let mut socket = BufReader::new(TcpStream::connect(self.address).await.unwrap());
        if let Some(password) = self.password {
            send(&mut socket, &["AUTH", password]).await;
            answer(&mut socket).await;
        }
        send(&mut socket, command).await;
        within(answer(&mut socket)).await
    }

    /// How often a script was called.
    pub async fn scripts(&self) -> u64 {
        let stats = self.ask(&["INFO", "commandstats"]).await.concat();
        let calls = |line: &str| {
            let calls = line.strip_prefix("cmdstat_evalsha:calls=")?;
            calls.split(',').next()?.parse().ok()
        };
        stats.lines().find_map(calls).unwrap_or(0)
    }

    /// What a bucket holds, as it was written last.
    pub async fn tokens(&self, key: &str) -> f64 {
        let answer = self.ask(&["HGET", key, "tokens"]).await;
        answer
            .concat()
            .parse()
            .unwrap_or_else(|_| panic!("{key}: {answer:?}"))
    }

    /// What a bucket holds, once that is nearly what is expected, or after some seconds.
    pub async fn tokens_near(&self, key: &str, expected: f64, nearly: f64) -> f64 {
        for _ in 0..1000 {
            let tokens = self.tokens(key).await;
            if (tokens - expected).abs() < nearly {
                return tokens;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.tokens(key).await
    }
}

async fn send(socket: &mut BufReader<TcpStream>, command: &[&str]) {
    let mut bytes = format!("*{}\r\n", command.len());
    for part in command {
        bytes += &format!("${}\r\n{part}\r\n", part.len());
    }
    socket.write_all(bytes.as_bytes()).await.unwrap();
}

/// The texts of an answer: those of a list, or one.
async fn answer(socket: &mut BufReader<TcpStream>) -> Vec<String> {
    let mut texts = Vec::new();
    let mut left = 1;
    while left > 0 {
        left -= 1;
        let mut line = String::new();
        socket.read_line(&mut line).await.unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "*" => left += rest.parse::<usize>().unwrap(),
            "$" if rest == "-1" => {}
            "$" => {
                let mut text = vec![0; rest.parse::<usize>().unwrap() + 2];
                socket.read_exact(&mut text).await.unwrap();
                text.truncate(text.len() - 2);
                texts.push(String::from_utf8(text).unwrap());
            }
            _ => texts.push(rest.to_owned()),
        }
    }
    texts
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

//! Engines that close connections, refuse them or answer 503, as Kthena's users meet them: by
//! manifests, and with the crate's own client.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use test_kit::{
    answer::Answer,
    socket::{Reply, Stacked, Upstream},
    time::within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Barrier,
    task::JoinSet,
};
use tower_model_route::{RouteTable, manifest::Manifests};

use super::engine::healthy;

/// The model `asked` goes to engines with these URLs.
fn table(urls: &[String], policy: &str) -> RouteTable {
    let yaml = format!(
        "apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata: {{name: r}}
spec:
  modelName: asked
  rules: [{{name: all, targetModels: [{{modelServerName: s}}]}}]
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata: {{name: s}}
spec:
  inferenceEngine: vLLM
  workloadSelector: {{matchLabels: {{app: s}}}}
  workloadPort: {{port: 8000}}
  trafficPolicy: {policy}
"
    );
    let manifests = Manifests::from_yaml(&yaml).endpoints("default/s", urls);
    manifests.build().unwrap()
}

/// How an engine ends a connection.
#[derive(Clone, Copy, Debug)]
enum End {
    Fin,
    Reset,
}

/// An engine that ends a connection as soon as a request has come on it that `is_ended` says so
/// of by its number there; it answers others once all of `together` wait for it.
async fn engine(
    end: End,
    together: usize,
    is_ended: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (is_ended, barrier) = (Arc::new(is_ended), Arc::new(Barrier::new(together)));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (is_ended, barrier) = (Arc::clone(&is_ended), Arc::clone(&barrier));
            tokio::spawn(async move {
                for number in 0.. {
                    read_request(&mut socket).await?;
                    if is_ended(number) {
                        break;
                    }
                    barrier.wait().await;
                    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    socket.write_all(answer.as_bytes()).await.ok()?;
                }
                if let End::Reset = end {
                    socket.set_zero_linger().unwrap();
                }
                Some(())
            });
        }
    });
    url
}

/// All of it, so that the kernel resets nothing by itself.
async fn read_request(socket: &mut TcpStream) -> Option<()> {
    let mut seen = Vec::new();
    while !seen.ends_with(BODY.as_bytes()) {
        let read = socket.read_buf(&mut seen).await.ok()?;
        (read > 0).then_some(())?;
    }
    Some(())
}

const BODY: &str = r#"{"model":"asked"}"#;

#[track_caller]
fn assert_ok(answer: &Answer) {
    let body = answer.body.as_deref().ok();
    assert_eq!(
        (answer.status().as_u16(), body),
        (200, Some(&b"ok"[..])),
        "{answer:?}"
    );
}

#[track_caller]
fn assert_nobody_is_blamed(gateway: &Stacked) {
    for endpoint in gateway.table.servers()[0].endpoints() {
        assert_eq!((endpoint.failures(), endpoint.ejections()), (0, 0));
    }
}

/// Its keep-alive is over as the next request comes: no byte of an answer, and no 502.
#[tokio::test]
async fn one_that_is_closed_as_it_is_used_again_costs_nobody_an_error() {
    for end in [End::Fin, End::Reset] {
        for (engines, policy) in [
            (1, "{}"),
            (2, "{}"),
            (1, "{retry: {attempts: 2, retryInterval: 10ms}}"),
        ] {
            let mut urls = Vec::new();
            for _ in 0..engines {
                urls.push(engine(end, 1, |number| number == 1).await);
            }
            let gateway = Stacked::by_engine_client(table(&urls, policy)).await;
            for _ in 0..24 {
                assert_ok(&within(gateway.ask()).await);
            }
            within(gateway.is_idle()).await;
            assert_nobody_is_blamed(&gateway);
        }
    }
}

/// A pod is restarted behind a virtual address: every pooled connection is stale at once.
#[tokio::test]
async fn a_restart_behind_one_address_costs_nobody_an_error() {
    const CLIENTS: usize = 8;
    for end in [End::Fin, End::Reset] {
        let is_restarted = Arc::new(AtomicBool::new(false));
        let restarted = Arc::clone(&is_restarted);
        // Connections of before end at their next request; each of after begins with its first.
        let is_ended = move |number| restarted.load(Ordering::SeqCst) && number > 0;
        let url = engine(end, CLIENTS, is_ended).await;
        let gateway = Arc::new(Stacked::by_engine_client(table(&[url], "{}")).await);
        let all = async || {
            let mut clients = JoinSet::new();
            for _ in 0..CLIENTS {
                let gateway = Arc::clone(&gateway);
                clients.spawn(async move { gateway.ask().await });
            }
            for answer in within(clients.join_all()).await {
                assert_ok(&answer);
            }
        };
        all().await;
        is_restarted.store(true, Ordering::SeqCst);
        all().await;
        within(gateway.is_idle()).await;
        assert_nobody_is_blamed(&gateway);
    }
}

/// It answers in the middle of an upload and hangs up with the rest unread, which resets the
/// connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_refuses_an_upload_and_hangs_up_is_heard_and_not_blamed() {
    const TIMES: usize = 12;
    const SIZE: usize = 3 << 20;
    for status in ["401 Unauthorized", "413 Content Too Large"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut begin = vec![0; 256 << 10];
                socket.read_exact(&mut begin).await?;
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno");
                socket.write_all(answer.as_bytes()).await?;
            }
            std::io::Result::Ok(())
        });
        let gateway = Stacked::by_engine_client(table(&[url], "{}")).await;
        let prompt = "x".repeat(SIZE);
        let body: &'static str = format!(r#"{{"model":"asked","prompt":"{prompt}"}}"#).leak();
        for _ in 0..TIMES {
            let answer = within(gateway.say(body)).await;
            let got = (answer.status().as_u16(), answer.body.as_deref().ok());
            assert_eq!(
                got,
                (status[..3].parse().unwrap(), Some(&b"no"[..])),
                "{answer:?}"
            );
        }
        within(gateway.is_idle()).await;
        assert_nobody_is_blamed(&gateway);
    }
}

/// Without `retry`, as in Kthena: 60 of 60.
#[tokio::test]
async fn one_bad_engine_of_three_costs_nobody_an_error() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    for bad in [None, Some(Reply::close()), Some(Reply::new(busy))] {
        let (url, bad) = match bad {
            // Nobody listens there any more.
            None => {
                let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
                (format!("http://{}", gone.local_addr().unwrap()), None)
            }
            Some(reply) => {
                let engine = Upstream::abrupt(move |_| reply.clone()).await;
                (engine.url(), Some(engine))
            }
        };
        let good = [healthy().await, healthy().await];
        let urls = [url, good[0].url(), good[1].url()];
        let gateway = Stacked::by_engine_client(table(&urls, "{}")).await;
        for _ in 0..60 {
            assert_ok(&within(gateway.ask()).await);
        }
        let bad = bad.map_or(1, |bad| bad.requests());
        assert!(bad > 0, "the bad one was never asked");
        let failures = gateway.table.servers()[0].endpoints()[0].failures();
        assert!(failures > 0, "nobody noticed");
    }
}

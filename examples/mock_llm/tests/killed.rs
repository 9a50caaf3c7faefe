//! Two engines, each a process, behind the routing stack: one is killed under load.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{Request, Response, StatusCode},
};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
    task::JoinSet,
};
use tower_model_route::{
    ModelRoute, ModelServer, RouteTable, Rule, ServerSnapshot, TrafficPolicy, stack,
};

const CONNECTIONS: usize = 64;
const REQUESTS: usize = 20;

/// An engine in a process of its own, and its URL. It is killed when it is dropped.
async fn engine() -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mock_llm"))
        .args(["--listen", "127.0.0.1:0", "--any-model"])
        .args(["--header-delay-ms", "3"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = within(lines.next_line()).await.unwrap().unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let url = line.strip_prefix("Listening on ").expect("it says where");
    (child, url.to_owned())
}

fn table(urls: [&str; 2]) -> RouteTable {
    RouteTable::builder()
        .model_server(
            ModelServer::new("server")
                .endpoints(urls)
                .traffic_policy(TrafficPolicy::new().max_retries(1)),
        )
        .model_route(
            ModelRoute::new("route")
                .model_name("asked")
                .rule(Rule::new("rule").target("server")),
        )
        .build()
        .unwrap()
}

/// Serves the table's stack on a free port until `tasks` is dropped.
async fn gateway(table: &RouteTable, tasks: &mut JoinSet<()>) -> String {
    let client = Client::builder(TokioExecutor::new()).build(connector());
    let app = axum::Router::new().fallback_service(stack(table.clone()).service(client));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}

async fn ask(client: &Client<HttpConnector, Full<Bytes>>, gateway: &str) -> Response<Bytes> {
    let body = r#"{"model":"asked","messages":[{"role":"user","content":"Hello"}]}"#;
    let request = Request::post(format!("{gateway}/v1/chat/completions"))
        .body(Full::from(body))
        .unwrap();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    let body = Body::new(body).collect().await.unwrap();
    Response::from_parts(head, body.to_bytes())
}

/// `future`, or a panic where it hangs.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("it should not take thirty seconds")
}

#[tokio::test]
async fn a_process_that_is_killed_is_no_error() {
    let ((mut one, first), (_other, second)) = (engine().await, engine().await);
    let table = table([&first, &second]);
    let mut tasks = JoinSet::new();
    let gateway = gateway(&table, &mut tasks).await;
    let client = Client::builder(TokioExecutor::new()).build(connector());

    let done = Arc::<AtomicUsize>::default();
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (client, gateway, done) = (client.clone(), gateway.clone(), Arc::clone(&done));
        connections.spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..REQUESTS {
                answers.push(ask(&client, &gateway).await);
                done.fetch_add(1, Ordering::SeqCst);
            }
            answers
        });
    }
    // In the middle of the load, with requests in flight.
    while done.load(Ordering::SeqCst) < CONNECTIONS * REQUESTS / 3 {
        tokio::task::yield_now().await;
    }
    one.kill().await.unwrap();

    let answers = within(connections.join_all()).await.into_iter().flatten();
    for answer in answers {
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    }
    let idle = async {
        let in_flight = || table.servers().iter().map(ServerSnapshot::in_flight).sum();
        while 0_usize < in_flight() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(idle).await;
    let servers = table.servers();
    let killed = &servers[0].endpoints()[0];
    assert!(killed.failures() > 0, "nobody noticed");
}

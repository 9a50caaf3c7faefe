//! A gateway on bare hyper, without axum: HTTP/1.1 and HTTP/2 on one port.
//!
//! ```text
//! cargo run -p mock_llm -- --any-model    # an engine on 127.0.0.1:8000
//! cargo run --example hyper               # the gateway on 127.0.0.1:8080
//! ```
//!
//! Then try the curl lines that it prints. Other addresses:
//! `cargo run --example hyper -- 0.0.0.0:8080 http://10.0.0.7:8000`.

use std::{env, time::Duration};

use anyhow::Context;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower_model_route::{ModelRoute, ModelServer, RouteTable, Rule, engine_client, stack};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:8080".to_owned());
    let engine = args.next().unwrap_or("http://127.0.0.1:8000".to_owned());

    let table = RouteTable::builder()
        .model_server(ModelServer::new("llama").model("llama-8b").endpoint(engine))
        .model_route(
            ModelRoute::new("chat")
                .model_name("chat")
                .rule(Rule::new("all").target("llama")),
        )
        .build()?;
    let client = engine_client();
    let service = TowerToHyperService::new(stack(table).service(client));

    // With a timer, an HTTP/1.1 client that never finishes its head is disconnected after 30 s. One that
    // sends nothing at all, or a part of HTTP/2's preface, is not: time that out in the server.
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new());
    server.http2().timer(TokioTimer::new());

    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let url = format!("http://{}/v1/completions", listener.local_addr()?);
    let body = r#"{"model": "chat", "prompt": "Hello"}"#;
    println!("curl {url} --json '{body}'");
    println!("curl --http2-prior-knowledge {url} --json '{body}'");
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                // Out of file descriptors, mostly: other connections have to end first.
                eprintln!("cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (server, service) = (server.clone(), service.clone());
        tokio::spawn(async move {
            // Upgrades are for /v1/realtime, which speaks WebSocket.
            let connection = server.serve_connection_with_upgrades(TokioIo::new(socket), service);
            if let Err(error) = connection.await {
                eprintln!("connection: {error}");
            }
        });
    }
}

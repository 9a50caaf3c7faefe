//! A canary: of every 10 requests for one model, exactly one goes to its next version.
//!
//! ```text
//! cargo run -p mock_llm -- --any-model    # an engine on 127.0.0.1:8000
//! cargo run --example canary              # the gateway on 127.0.0.1:8080
//! ```
//!
//! Then repeat the curl line that it prints: the answer names the version. Other addresses:
//! `cargo run --example canary -- 0.0.0.0:8080 http://10.0.0.7:8000`.

use std::env;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tower_model_route::{
    ModelRoute, ModelServer, RouteTable, Rule, TargetModel, engine_client, stack,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:8080".to_owned());
    let engine = args.next().unwrap_or("http://127.0.0.1:8000".to_owned());

    // One mock engine plays both versions; yours are at different addresses.
    let server = |name, model| ModelServer::new(name).model(model).endpoint(&engine);
    let table = RouteTable::builder()
        .model_server(server("stable", "llama-v1"))
        .model_server(server("canary", "llama-v2"))
        .model_route(
            ModelRoute::new("llama").model_name("llama").rule(
                Rule::new("split")
                    .target(TargetModel::new("stable").weight(90))
                    .target(TargetModel::new("canary").weight(10)),
            ),
        )
        .build()?;
    let client = engine_client();
    let app = Router::new().fallback_service(stack(table).service(client));

    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    let body = r#"{"model": "llama", "prompt": "Hello"}"#;
    println!("curl {url}/v1/completions --json '{body}'");
    axum::serve(listener, app).await?;
    Ok(())
}

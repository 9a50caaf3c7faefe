//! LoRA adapters: clients ask for a base model or for one of its adapters, and the same
//! engines serve both.
//!
//! ```text
//! cargo run -p mock_llm -- --any-model    # an engine on 127.0.0.1:8000
//! cargo run --example lora                # the gateway on 127.0.0.1:8080
//! ```
//!
//! Then try the curl lines that it prints: the base model's name is rewritten, an adapter's
//! is not. Other addresses: `cargo run --example lora -- 0.0.0.0:8080 http://10.0.0.7:8000`.

use std::env;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tower_model_route::{ModelRoute, ModelServer, RouteTable, Rule, engine_client, stack};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:8080".to_owned());
    let engine = args.next().unwrap_or("http://127.0.0.1:8000".to_owned());

    let table = RouteTable::builder()
        .model_server(
            ModelServer::new("llama")
                .model("meta-llama/Llama-3.1-8B-Instruct")
                .endpoint(engine),
        )
        .model_route(
            ModelRoute::new("llama")
                .model_name("llama")
                .lora_adapters(["llama-sql", "llama-legal"])
                .rule(Rule::new("all").target("llama")),
        )
        .build()?;
    let client = engine_client();
    let app = Router::new().fallback_service(stack(table).service(client));

    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    for model in ["llama", "llama-sql", "llama-legal"] {
        let body = format!(r#"{{"model": "{model}", "prompt": "Hello"}}"#);
        println!("curl {url}/v1/completions --json '{body}'");
    }
    axum::serve(listener, app).await?;
    Ok(())
}

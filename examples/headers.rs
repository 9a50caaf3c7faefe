//! Rules on headers: premium users get the large model, trial users of two regions a small
//! one, and everybody else the default.
//!
//! ```text
//! cargo run -p mock_llm -- --any-model    # an engine on 127.0.0.1:8000
//! cargo run --example headers             # the gateway on 127.0.0.1:8080
//! ```
//!
//! Then try the curl lines that it prints. Other addresses:
//! `cargo run --example headers -- 0.0.0.0:8080 http://10.0.0.7:8000`.

use std::env;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tower_model_route::{
    ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, StringMatch, engine_client, stack,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:8080".to_owned());
    let engine = args.next().unwrap_or("http://127.0.0.1:8000".to_owned());

    let premium = ModelMatch::new().header("user-type", StringMatch::exact("premium"));
    // All conditions of a match must hold.
    let trial = ModelMatch::new()
        .header("user-type", StringMatch::prefix("trial-"))
        .header("x-region", StringMatch::regex("^(eu|us)$"));

    // One mock engine plays all three models; yours are at different addresses.
    let server = |name, model| ModelServer::new(name).model(model).endpoint(&engine);
    let table = RouteTable::builder()
        .model_server(server("large", "llama-70b"))
        .model_server(server("medium", "llama-8b"))
        .model_server(server("small", "llama-1b"))
        .model_route(
            ModelRoute::new("chat")
                .model_name("chat")
                // The first rule that matches is used; a rule without conditions always matches.
                .rule(Rule::new("premium").when(premium).target("large"))
                .rule(Rule::new("trial").when(trial).target("small"))
                .rule(Rule::new("default").target("medium")),
        )
        .build()?;
    let client = engine_client();
    let app = Router::new().fallback_service(stack(table).service(client));

    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let url = format!("http://{}/v1/completions", listener.local_addr()?);
    let body = r#"{"model": "chat", "prompt": "Hello"}"#;
    println!("curl {url} -H 'user-type: premium' --json '{body}'");
    println!("curl {url} -H 'user-type: trial-7' -H 'x-region: eu' --json '{body}'");
    println!("curl {url} --json '{body}'");
    axum::serve(listener, app).await?;
    Ok(())
}

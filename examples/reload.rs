//! A live table: the share of a canary is changed while requests are in flight.
//!
//! ```text
//! cargo run -p mock_llm -- --any-model    # an engine on 127.0.0.1:8000
//! cargo run --example reload              # the gateway on 127.0.0.1:8080
//! ```
//!
//! Then try the curl lines that it prints: a share above 100 is refused, and the routes stay
//! as they were. Other addresses:
//! `cargo run --example reload -- 0.0.0.0:8080 http://10.0.0.7:8000`.

use std::env;

use anyhow::Context;
use axum::{Router, extract::Path, http::StatusCode, routing::put};
use tokio::net::TcpListener;
use tower_model_route::{
    BuildError, ModelRoute, ModelServer, RouteTable, RouteTableHandle, Rule, TargetModel,
    engine_client, stack,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:8080".to_owned());
    let engine = args.next().unwrap_or("http://127.0.0.1:8000".to_owned());

    let handle = RouteTableHandle::new(table(&engine, 0)?);
    let client = engine_client();
    let gateway = stack(handle.clone()).service(client);
    let set_canary = async move |Path(percent): Path<u32>| match table(&engine, percent) {
        Ok(table) => {
            // Requests in flight finish with the old table. Counts, health and queues carry over.
            handle.replace(table);
            Ok(format!("{percent} percent go to the canary\n"))
        }
        Err(error) => {
            let answer = (StatusCode::BAD_REQUEST, format!("{error}\n"));
            handle.failed(error); // for the admin view
            Err(answer)
        }
    };
    // Whoever can reach this route can change the table: see `auth` for a key.
    let app = Router::new()
        .route("/canary/{percent}", put(set_canary))
        .fallback_service(gateway);

    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    let ask = r#"/v1/completions --json '{"model": "llama", "prompt": "Hello"}'"#;
    println!("curl {url}{ask}");
    println!("curl -X PUT {url}/canary/100");
    println!("curl {url}{ask}");
    println!("curl -X PUT {url}/canary/130");
    axum::serve(listener, app).await?;
    Ok(())
}

fn table(engine: &str, percent: u32) -> Result<RouteTable, BuildError> {
    // One mock engine plays both versions; yours are at different addresses.
    let server = |name, model| ModelServer::new(name).model(model).endpoint(engine);
    let rest = 100_u32.saturating_sub(percent);
    RouteTable::builder()
        .model_server(server("stable", "llama-v1"))
        .model_server(server("canary", "llama-v2"))
        .model_route(
            ModelRoute::new("llama").model_name("llama").rule(
                Rule::new("split")
                    .target(TargetModel::new("stable").weight(rest))
                    .target(TargetModel::new("canary").weight(percent)),
            ),
        )
        .build()
}

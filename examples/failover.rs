//! Failover: one of two endpoints is dead, and no client notices.
//!
//! ```text
//! cargo run -p mock_llm -- --any-model    # an engine on 127.0.0.1:8000
//! cargo run --example failover            # the gateway on 127.0.0.1:8080
//! ```
//!
//! Then repeat the curl line that it prints. The gateway logs how many attempts each request
//! took: two where the first met the dead endpoint, and one as soon as that is ejected. Other
//! addresses: `cargo run --example failover -- 0.0.0.0:8080 http://10.0.0.7:8000`.

use std::{env, time::Duration};

use anyhow::Context;
use axum::{Router, http::Response};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_model_route::{
    ModelRoute, ModelServer, OutlierDetection, RouteDecision, RouteTable, Rule, TrafficPolicy,
    engine_client, stack,
};

/// Nothing listens there.
const DEAD: &str = "http://127.0.0.1:9";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:8080".to_owned());
    let engine = args.next().unwrap_or("http://127.0.0.1:8000".to_owned());

    let policy = TrafficPolicy::new()
        .max_retries(1)
        .timeout(Duration::from_secs(30)) // of an attempt, until the answer begins
        .total_timeout(Duration::from_secs(60)) // of all attempts together
        .outlier_detection(OutlierDetection::new().consecutive_failures(3));
    let table = RouteTable::builder()
        .model_server(
            ModelServer::new("llama")
                .endpoints([DEAD, &engine])
                .traffic_policy(policy),
        )
        .model_route(
            ModelRoute::new("llama")
                .model_name("llama")
                .rule(Rule::new("all").target("llama")),
        )
        .build()?;
    let client = engine_client();
    let service = ServiceBuilder::new()
        .map_response(log)
        .layer(stack(table))
        .service(client);
    let app = Router::new().fallback_service(service);

    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    let body = r#"{"model": "llama", "prompt": "Hello"}"#;
    println!("curl {url}/v1/completions --json '{body}'");
    axum::serve(listener, app).await?;
    Ok(())
}

fn log<B>(response: Response<B>) -> Response<B> {
    if let Some(decision) = response.extensions().get::<RouteDecision>() {
        let (status, endpoint) = (response.status(), decision.endpoint());
        println!(
            "{status} from {endpoint}, attempts: {}",
            decision.attempts()
        );
    }
    response
}

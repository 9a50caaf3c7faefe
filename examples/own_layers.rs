//! Your own layers around the bare `ModelRouteLayer`, without `stack`: tower's timeout and load
//! shed, and a retry policy of your own.
//!
//! ```text
//! cargo run -p mock_llm -- --any-model    # an engine on 127.0.0.1:8000
//! cargo run --example own_layers          # the gateway on 127.0.0.1:8080
//! ```
//!
//! Then try the curl line that it prints. Other addresses:
//! `cargo run --example own_layers -- 0.0.0.0:8080 http://10.0.0.7:8000`.

use std::{env, future, time::Duration};

use anyhow::Context;
use axum::{Router, http::Request};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, limit::GlobalConcurrencyLimitLayer, retry::Policy};
use tower_model_route::{
    AnswerErrorsLayer, ModelRoute, ModelRouteLayer, ModelServer, RouteBody, RouteTable, Rule,
    engine_client,
};

/// Sends a request that got no answer to the same engine again, at most this many times.
#[derive(Debug, Clone)]
struct Again(u32);

impl<R, E> Policy<Request<RouteBody>, R, E> for Again {
    type Future = future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<RouteBody>,
        result: &mut Result<R, E>,
    ) -> Option<Self::Future> {
        self.0 = self.0.checked_sub(1)?;
        result.is_err().then(|| future::ready(()))
    }

    fn clone_request(&mut self, request: &Request<RouteBody>) -> Option<Request<RouteBody>> {
        // An upload that is too large to be kept is sent only once.
        request.body().is_replayable().then(|| request.clone())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:8080".to_owned());
    let engine = args.next().unwrap_or("http://127.0.0.1:8000".to_owned());

    let table = RouteTable::builder()
        .model_server(ModelServer::new("llama").endpoint(engine))
        .model_route(
            ModelRoute::new("llama")
                .model_name("llama")
                .rule(Rule::new("all").target("llama")),
        )
        .build()?;
    let client = engine_client();
    let service = ServiceBuilder::new()
        .layer(AnswerErrorsLayer::new()) // a request that is shed gets a 503
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::new(1024)) // requests, their uploads included
        .layer(ModelRouteLayer::new(table).max_body_bytes(64 << 20)) // decides
        .layer(AnswerErrorsLayer::new()) // errors from below become a 502 or 504
        .retry(Again(2))
        .timeout(Duration::from_secs(30)) // each attempt, until the answer begins
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

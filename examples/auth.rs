//! Authentication and mounting: a layer in front checks a bearer key, the gateway is mounted
//! below a prefix, and the application has routes of its own.
//!
//! ```text
//! cargo run -p mock_llm -- --any-model    # an engine on 127.0.0.1:8000
//! cargo run --example auth                # the gateway on 127.0.0.1:8080
//! ```
//!
//! Then try the curl lines that it prints. The key is in API_KEY, or is `secret` where only this machine
//! can ask. Other addresses: `API_KEY=.. cargo run --example auth -- 0.0.0.0:8080 http://10.0.0.7:8000`.

use std::{env, sync::Arc};

use anyhow::{Context, ensure};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::header::AUTHORIZATION,
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tower_model_route::{
    ModelRoute, ModelServer, RouteError, RouteErrorKind, RouteTable, Rule, engine_client, stack,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let listen = args.next().unwrap_or("127.0.0.1:8080".to_owned());
    let engine = args.next().unwrap_or("http://127.0.0.1:8000".to_owned());
    let key = env::var("API_KEY").ok().filter(|key| !key.is_empty());

    let table = RouteTable::builder()
        .model_server(ModelServer::new("llama").endpoint(engine))
        .model_route(
            ModelRoute::new("llama")
                .model_name("llama")
                .rule(Rule::new("all").target("llama")),
        )
        .build()?;
    let client = engine_client();

    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    ensure!(
        key.is_some() || address.ip().is_loopback(),
        "set API_KEY to the key that clients send"
    );
    let key: Arc<str> = key.unwrap_or("secret".to_owned()).into();
    let authenticated = middleware::from_fn_with_state(Arc::clone(&key), authenticate);
    let gateway = Router::new()
        .fallback_service(stack(table).service(client))
        .layer(authenticated);
    let app = Router::new()
        .route("/health", get(async || "ok\n"))
        // `nest` strips the prefix: engines get /v1/..., as they expect, and conditions on the
        // path are written without /llm. (`route_service("/llm/{*path}", ..)` would keep it.)
        .nest("/llm", gateway);

    let url = format!("http://{address}");
    let body = r#"{"model": "llama", "prompt": "Hello"}"#;
    println!("curl {url}/llm/v1/completions -H 'authorization: Bearer {key}' --json '{body}'");
    println!("curl {url}/llm/v1/completions --json '{body}'");
    println!("curl {url}/health");
    axum::serve(listener, app).await?;
    Ok(())
}

async fn authenticate(State(key): State<Arc<str>>, mut request: Request, next: Next) -> Response {
    // The key is for the gateway, so it does not travel on to the engine.
    let sent = request.headers_mut().remove(AUTHORIZATION);
    // How long it takes to compare digests tells nothing about the key.
    let expected = Sha256::digest(format!("Bearer {key}"));
    if sent.is_some_and(|sent| Sha256::digest(sent) == expected) {
        return next.run(request).await;
    }
    let error = RouteError::new(RouteErrorKind::Unauthorized, "Incorrect API key provided.");
    error.to_response_to(&request).map(Body::from)
}

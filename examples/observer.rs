//! An observer: it counts what each tenant has used, and the gateway tells at `/usage`.
//!
//! ```text
//! cargo run -p mock_llm -- --any-model    # an engine on 127.0.0.1:8000
//! cargo run --example observer            # the gateway on 127.0.0.1:8080
//! ```
//!
//! Then try the curl lines that it prints. The tenant is in a header here; a real gateway puts it
//! into the request's extensions, in a layer that knows the caller's key. Other addresses:
//! `cargo run --example observer -- 0.0.0.0:8080 http://10.0.0.7:8000`.

use std::{
    collections::BTreeMap,
    env,
    sync::{Arc, Mutex},
};

use anyhow::Context;
use axum::{Router, routing::get};
use http::{Extensions, request::Parts};
use tokio::net::TcpListener;
use tower_model_route::{
    EndFacts, ModelRoute, ModelRouteLayer, ModelServer, Observer, RouteTable, Rule, engine_client,
    stack,
};

/// The tokens and the requests of each tenant. A bounded channel to a task that writes into a
/// database would stand in place of the map.
#[derive(Default)]
struct Ledger(Mutex<BTreeMap<Tenant, (u64, u64)>>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Tenant(String);

impl Observer for Ledger {
    fn received(&self, head: &Parts, notes: &mut Extensions) {
        let tenant = head
            .headers
            .get("x-tenant")
            .and_then(|value| value.to_str().ok());
        notes.insert(Tenant(tenant.unwrap_or("nobody").to_owned()));
    }

    fn ended(&self, end: &EndFacts<'_>) {
        let Some(tenant) = end.request().notes().get::<Tenant>() else {
            return;
        };
        let mut ledger = self.0.lock().unwrap();
        let (tokens, requests) = ledger.entry(tenant.clone()).or_default();
        *tokens += end.input_tokens().unwrap_or_default() + end.output_tokens();
        *requests += 1;
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
    let ledger = Arc::new(Ledger::default());
    let layer = ModelRouteLayer::new(table).shared_observer(ledger.clone());
    let app = Router::new()
        .route("/usage", get(move || async move { report(&ledger) }))
        .fallback_service(stack(layer).service(engine_client()));

    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    let body = r#"{"model": "llama", "messages": [{"role": "user", "content": "Hello"}]}"#;
    println!("curl {url}/v1/chat/completions -H 'x-tenant: acme' --json '{body}'");
    println!("curl {url}/usage");
    axum::serve(listener, app).await?;
    Ok(())
}

fn report(ledger: &Ledger) -> String {
    let ledger = ledger.0.lock().unwrap();
    let lines = ledger.iter().map(|(Tenant(tenant), (tokens, requests))| {
        format!("{tenant}: {tokens} tokens in {requests} requests\n")
    });
    lines.collect()
}

//! What engines are told about the client.

use std::net::SocketAddr;

use test_kit::{
    engines::Attempt,
    gateway::Rig,
    request::{ASKED, post},
    table::one_server,
};
use tower_model_route::{ForwardedFields, ModelRouteLayer, TrafficPolicy};

async fn sent(fields: Option<ForwardedFields>) -> Attempt {
    let table = one_server(1, TrafficPolicy::new());
    let rig = Rig::with(table, |table| match fields {
        Some(fields) => ModelRouteLayer::new(table).forwarded_fields(fields),
        None => ModelRouteLayer::new(table),
    });
    let mut request = post("/v1/chat/completions", ASKED);
    let client: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    request.extensions_mut().insert(client);
    let given = "203.0.113.7".parse().unwrap();
    request.headers_mut().insert("x-forwarded-for", given);
    rig.send(request).await;
    rig.engines.attempts().remove(0)
}

#[tokio::test(start_paused = true)]
async fn by_default_nothing_but_what_the_client_says() {
    let sent = sent(None).await;
    assert_eq!(sent.header("x-forwarded-for"), Some("203.0.113.7"));
    assert_eq!(sent.header("forwarded"), None);
}

#[tokio::test(start_paused = true)]
async fn its_address_and_the_host_that_it_asked() {
    let sent = sent(Some(ForwardedFields::Replace)).await;
    assert_eq!(sent.header("x-forwarded-for"), Some("192.0.2.1"));
    assert_eq!(sent.header("x-forwarded-host"), Some("gateway.test"));
    assert_eq!(
        sent.header("forwarded"),
        Some("for=192.0.2.1;host=gateway.test")
    );
}

#[tokio::test(start_paused = true)]
async fn beside_what_proxies_in_front_say() {
    let appended = sent(Some(ForwardedFields::Append)).await;
    assert_eq!(
        appended.header("x-forwarded-for"),
        Some("203.0.113.7, 192.0.2.1")
    );
    let removed = sent(Some(ForwardedFields::Remove)).await;
    assert_eq!(removed.header("x-forwarded-for"), None);
}

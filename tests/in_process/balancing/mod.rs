//! Balances that go by tokens, by what engines have cached, and by a choice of one's own.

mod custom_choices;
mod keys_of_all_kinds;
mod prefix_caches;
mod tokens_in_flight;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use test_kit::{gateway::Rig, request::chat_of, table::table};
use tower_model_route::{Balance, ModelServer, RouteDecision, Rule};

fn rig(endpoints: usize, balance: Balance) -> Rig {
    let uris = (0..endpoints).map(|endpoint| format!("http://e{endpoint}"));
    let server = ModelServer::new("server")
        .model("real")
        .endpoints(uris)
        .balance(balance);
    Rig::new(table([server], Rule::new("rule").target("server")))
}

/// A chat with these messages.
fn chat(messages: &[String]) -> Request<Full<Bytes>> {
    let messages: Vec<Value> = messages
        .iter()
        .map(|text| json!({"role": "user", "content": text}))
        .collect();
    let body = json!({"model": "asked", "messages": messages, "stream": true});
    chat_of(body.to_string())
}

fn endpoint_of<B>(answer: &http::Response<B>) -> String {
    let decision = answer.extensions().get::<RouteDecision>();
    decision.expect("it was routed").endpoint().to_owned()
}

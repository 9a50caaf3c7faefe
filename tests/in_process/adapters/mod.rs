//! Which engine has which adapter, and what follows where one says that it is not the one.

mod asked_where_they_are;
mod listed_by_the_engines;
mod loaded_on_all;
mod longer_context_next;

use test_kit::{
    engines::{Act, says},
    gateway::Rig,
    request::chat_of,
};

/// What a vLLM 0.32 answers that does not have the adapter.
pub(crate) const UNKNOWN: &str = r#"{"error":{"message":"The model `lora` does not exist. Valid aliases: org/base-v1, org/base-alias.","type":"NotFoundError","param":"model","code":404}}"#;

/// An engine without the adapter.
pub(crate) fn unknown() -> Act {
    says(404, UNKNOWN).header("content-type", "application/json")
}

/// An engine that lacks this model.
pub(crate) fn lacks(model: &str) -> Act {
    says(404, &UNKNOWN.replace("lora", model)).header("content-type", "application/json")
}

/// The status of a request for the adapter.
pub(crate) async fn ask(rig: &Rig) -> u16 {
    let answer = rig.send(chat_of(r#"{"model":"lora","messages":[]}"#)).await;
    answer.status().as_u16()
}

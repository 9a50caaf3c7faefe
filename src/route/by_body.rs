//! Decisions by what is read of a body, apart from the layer: for the benches.

use http::request::Parts;

use super::table::{CompiledTable, RouteTable, Selection};
use crate::{
    limit::Estimate,
    model::{BodyKeys, NeededKeys},
    server::{Caller, Lease, Wanted},
};

/// Reads what `Balance::PrefixCache` needs of a body.
fn read(body: &[u8]) -> BodyKeys {
    let needed = NeededKeys {
        blocks: true,
        ..NeededKeys::default()
    };
    BodyKeys::read(body, needed)
}

/// How many blocks a body's prompt has, which are read and hashed.
pub fn blocks(body: &[u8]) -> usize {
    read(body).blocks.map_or(0, |blocks| blocks.len())
}

/// Reads a body and chooses an endpoint for its prompt, as the layer does. Whether there is one.
pub fn chooses(table: &RouteTable, head: &Parts, model: &str, body: &[u8]) -> bool {
    with_caller(table, head, model, body, |table, selection, caller| {
        let chosen = table.choose(selection, &caller, |_, _, _, _| Some(()));
        chosen.is_ok()
    })
}

/// The same, and the endpoint takes the request, which has ended at once: its prompt is remembered.
pub fn takes(table: &RouteTable, head: &Parts, model: &str, body: &[u8]) -> bool {
    with_caller(table, head, model, body, |table, selection, caller| {
        table.choose(selection, &caller, Lease::new).is_ok()
    })
}

fn with_caller(
    table: &RouteTable,
    head: &Parts,
    model: &str,
    body: &[u8],
    choose: impl FnOnce(&CompiledTable, Selection, Caller<'_>) -> bool,
) -> bool {
    let table = table.compiled();
    let Ok(selection) = table.select(head, (model, model), None) else {
        return false;
    };
    let caller = Caller {
        uri: &head.uri,
        headers: &head.headers,
        extensions: &head.extensions,
        body: &read(body),
        estimate: Estimate::default(),
        model: Wanted::named(model, selection.lora),
    };
    choose(table, selection, caller)
}

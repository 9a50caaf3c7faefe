//! Decisions as one line of text.

use http::request::Parts;
use tower_model_route::{RouteDecision, RouteError, RouteTable};

use crate::request::head;

/// A head that no test looks at.
pub fn any() -> Parts {
    head("/v1/chat/completions", &[])
}

/// `route/rule -> server`, with `(lora)` where it is; or the code of the error.
pub fn line(decision: Result<RouteDecision, RouteError>) -> String {
    match decision {
        Ok(decision) => format!(
            "{}/{} -> {}{}",
            decision.route(),
            decision.rule(),
            decision.model_server(),
            if decision.is_lora() { " (lora)" } else { "" },
        ),
        Err(error) => error.kind().code().to_owned(),
    }
}

/// Which server gets the next request for `model`.
pub fn next(table: &RouteTable, model: &str) -> String {
    let decision = table.decide(&any(), model).unwrap();
    decision.model_server().to_owned()
}

//! Requests in a line, and decisions in a line.

use http::{Request, request::Parts};
use tower_model_route::{ModelServer, RouteDecision, RouteError, RouteTable, RouteTableBuilder};

/// The head of a POST to `uri` with `headers`.
pub(crate) fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::post(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// A head that no test looks at.
pub(crate) fn any() -> Parts {
    head("/v1/chat/completions", &[])
}

/// `route/rule -> server`, with `(lora)` where it is; or the code of the error.
pub(crate) fn line(decision: Result<RouteDecision, RouteError>) -> String {
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

/// A table that begins with servers of these names, each with one endpoint.
pub(crate) fn servers(names: &[&str]) -> RouteTableBuilder {
    names.iter().fold(RouteTable::builder(), |table, name| {
        table.model_server(ModelServer::new(*name).endpoint(format!("http://{name}")))
    })
}

/// Which server gets the next request for `model`.
pub(crate) fn next(table: &RouteTable, model: &str) -> String {
    let decision = table.decide(&any(), model).unwrap();
    decision.model_server().to_owned()
}

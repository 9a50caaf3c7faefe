//! The whole decision about one request.

use std::fmt;

use http::request::Parts;

#[cfg(feature = "serde")]
use super::serial;
use super::{
    considered::{self, ConsideredRoute},
    mask::{self, Shown},
    target::{self, ExplainedTarget},
};
use crate::{
    error::{RouteError, RouteErrorKind},
    model::{ExtractModel, ModelSources, Scan, check_json},
    pieces::Chunks,
    route::{CompiledTable, Prospect, RouteTable},
};

/// The whole decision about one request, as data and, by its `Display`, as text.
///
/// It is made by [`RouteTable::explain`]. It is for the people who run the
/// gateway: it shows header values that rules looked at, except those that are
/// known to hold credentials (`authorization`, `cookie`, `x-api-key` and the
/// like, and what is [sensitive](http::HeaderValue::is_sensitive)), which are
/// shown as `***`; so are the values of a query, unless they name a model or a
/// version.
///
/// With the feature `serde` it is `Serialize`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Explanation {
    method: String,
    target: String,
    model: String,
    verdict: Verdict,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::error"))]
    error: Option<RouteError>,
    route: Option<String>,
    rule: Option<String>,
    lora: bool,
    routes: Vec<ConsideredRoute>,
    targets: Vec<ExplainedTarget>,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Verdict {
    /// It is sent to an engine at once.
    Sent,
    /// All endpoints are full: it waits for one, and is refused if that takes too long.
    Queued,
    /// The gateway answers it with an error.
    Refused,
}

impl RouteTable {
    /// Explains where a request with this head for `model` would be routed now, and why.
    ///
    /// Unlike [`decide`](Self::decide) it leaves everything as it is: it
    /// takes no turn of a split, and nothing is counted. Which of several
    /// targets or endpoints is next is therefore not said, but the share of
    /// each is, and whether it takes requests.
    ///
    /// Where the head itself names the model, in a place that
    /// [`ModelSources::standard`] knows, the rewritten URI has its new name.
    ///
    /// ```
    /// use tower_model_route::{ModelRoute, ModelServer, RouteTable, Rule};
    ///
    /// # fn main() -> Result<(), tower_model_route::BuildError> {
    /// let table = RouteTable::builder()
    ///     .model_server(ModelServer::new("large").endpoint("http://10.0.0.3:8000"))
    ///     .model_route(ModelRoute::new("chat").model_name("gpt").rule(Rule::new("all").target("large")))
    ///     .build()?;
    /// let (head, ()) = http::Request::post("/v1/chat/completions").body(()).unwrap().into_parts();
    /// println!("{}", table.explain(&head, "gpt"));
    /// # assert_eq!(table.explain(&head, "gpt").rule(), Some("all"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn explain(&self, head: &Parts, model: &str) -> Explanation {
        self.explain_showing(head, model, Shown::ALL)
    }

    pub(crate) fn explain_showing(
        &self,
        head: &Parts,
        model: &str,
        shown: Shown<'_>,
    ) -> Explanation {
        Explanation::new(self.compiled(), head, model, shown)
    }

    /// As [`explain`](Self::explain), for a whole request: the model is read
    /// out of it as [`ModelSources::standard`] does.
    ///
    /// # Errors
    ///
    /// The answer to the client if no model can be read.
    pub fn explain_request(&self, head: &Parts, body: &[u8]) -> Result<Explanation, RouteError> {
        self.explain_request_showing(head, body, Shown::ALL)
    }

    pub(crate) fn explain_request_showing(
        &self,
        head: &Parts,
        body: &[u8],
        shown: Shown<'_>,
    ) -> Result<Explanation, RouteError> {
        let scan = Scan::new(ModelSources::standard().begin(head).0)?;
        let mut scan = scan.ok_or_else(|| {
            let message = "the request names no model: no body is read with this method, and its path has none";
            RouteError::new(RouteErrorKind::RouteNotFound, message)
        })?;
        if scan.reads_json() {
            check_json(&head.headers)?;
        }
        scan.feed(body)?;
        scan.finish()?;
        let model = scan.locate(head, &mut Chunks::default(), Some(body.len() as u64))?;
        Ok(self.explain_showing(head, model.name(), shown))
    }
}

impl Explanation {
    fn new(table: &CompiledTable, head: &Parts, model: &str, shown: Shown<'_>) -> Self {
        let found = table.find(model);
        let (routes, matched) = considered::routes(&found, head, model, shown);
        let mut explanation = Self {
            method: head.method.to_string(),
            target: mask::uri(&head.uri),
            model: model.to_owned(),
            verdict: Verdict::Refused,
            error: None,
            route: None,
            rule: None,
            lora: false,
            routes,
            targets: Vec::new(),
        };
        match matched {
            Some((found, rule)) => {
                explanation.route = Some(found.route.get_name().to_owned());
                explanation.rule = Some(rule.config.get_name().to_owned());
                explanation.lora = found.by_adapter;
                let outlook = table.outlook(rule.compiled, &rule.weights());
                explanation.targets =
                    target::targets(table, rule, &outlook, head, model, found.by_adapter);
                explanation.verdict = match outlook.prospect {
                    Prospect::Sent(_) => Verdict::Sent,
                    Prospect::Waits => Verdict::Queued,
                    Prospect::Overloaded | Prospect::Draining | Prospect::NoEndpoint => {
                        Verdict::Refused
                    }
                };
                let unavailable = outlook.prospect.unavailable();
                explanation.error = unavailable.map(|why| RouteError::unavailable(model, &why));
            }
            None if found.is_empty() => {
                explanation.error = Some(RouteError::model_not_found(model))
            }
            None => explanation.error = Some(RouteError::route_not_found(model)),
        }
        explanation
    }

    /// The request's method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The request's target as the client sent it, the values of its query masked.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The model that was asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The outcome of the request.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The answer of the gateway, where the request is refused.
    pub fn error(&self) -> Option<&RouteError> {
        self.error.as_ref()
    }

    /// The name of the [`ModelRoute`](crate::ModelRoute) that has the rule that matches.
    pub fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }

    /// The name of the [`Rule`](crate::Rule) that matches.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// Whether the route was found by a LoRA adapter's name; then the model is not rewritten.
    pub fn is_lora(&self) -> bool {
        self.lora
    }

    /// The routes that have the model's name, in the order in which they are tried.
    pub fn routes(&self) -> &[ConsideredRoute] {
        &self.routes
    }

    /// The targets of the rule that matches, its fallbacks last.
    pub fn targets(&self) -> &[ExplainedTarget] {
        &self.targets
    }
}

impl Verdict {
    /// The name, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Queued => "queued",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

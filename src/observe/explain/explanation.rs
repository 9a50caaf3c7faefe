//! The whole decision about one request.

use std::fmt;

use bytes::Bytes;
use http::request::Parts;

#[cfg(feature = "serde")]
use super::serial;
use super::{
    asked::Asked,
    considered::{self, ConsideredRoute},
    limits::{self, ExplainedLimit},
    mask::{self, Shown},
    target::{self, ExplainedTarget},
};
use crate::{
    config::WithoutModel,
    error::{RouteError, RouteErrorKind},
    model::{ExtractModel, ExtractedModel, ModelSources, Scan},
    pieces::Chunks,
    route::{CompiledTable, Prospect, RouteTable},
    server::Wanted,
    wire::{Admission, RequestFields, admitted},
};

/// The whole decision about one request, as data and, by its `Display`, as text.
///
/// It is made by [`RouteTable::explain`]. It is for the people who run the
/// gateway: it shows header values that rules looked at, except those that are
/// known to hold credentials (`authorization`, `cookie`, `x-api-key` and the
/// like, and what is [sensitive](http::HeaderValue::is_sensitive)), which are
/// shown as `***`. So are the values of query parameters, unless they name a
/// model or a version.
///
/// With the feature `serde` it is `Serialize`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Explanation {
    method: String,
    target: String,
    /// What the client asks for; empty if it names no model.
    requested_model: String,
    model: String,
    without_model: Option<WithoutModel>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    kept_at: Option<String>,
    verdict: Verdict,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::error"))]
    error: Option<RouteError>,
    route: Option<String>,
    rule: Option<String>,
    lora: bool,
    routes: Vec<ConsideredRoute>,
    limits: Vec<ExplainedLimit>,
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
    /// It names no model, and goes to the inner service unchanged.
    Forwarded,
}

impl RouteTable {
    /// Explains where a request with this head for `model` would be routed now, and why.
    ///
    /// Unlike [`decide`](Self::decide) it changes nothing: it takes no turn in
    /// a split, and nothing is counted. It therefore does not say which of
    /// several targets or endpoints is next, but what share each one gets, and
    /// whether it takes requests.
    ///
    /// If the head itself names the model, in a place that
    /// [`ModelSources::standard`] knows, the rewritten URI has the new name.
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
        Explanation::new(self.compiled(), &Asked::named(head, model), shown)
    }

    /// Like [`explain`](Self::explain), for a whole request, as a layer with default options
    /// would treat it: its path and Host are checked, and [`ModelSources::standard`] reads the
    /// model from it. [`ModelRouteLayer::explain`](crate::ModelRouteLayer::explain) uses your
    /// layer's options.
    ///
    /// A request that names no model is explained as the table's
    /// [`without_model`](crate::RouteTableBuilder::without_model) says.
    ///
    /// # Errors
    ///
    /// The answer to the client if the request is not let through, or if no model can be read.
    pub fn explain_request(&self, head: &Parts, body: &[u8]) -> Result<Explanation, RouteError> {
        self.explain_request_with(&ModelSources::standard(), head, body)
    }

    /// Like [`explain_request`](Self::explain_request), with the extractor of your layer
    /// ([`ModelRouteLayer::extract_model`](crate::ModelRouteLayer::extract_model)). Give `head`
    /// the extensions that it reads.
    ///
    /// ```
    /// use tower_model_route::{JsonBody, RouteTable, ExtractModel};
    ///
    /// # use tower_model_route::{ModelRoute, ModelServer, Rule};
    /// # let table = RouteTable::builder()
    /// #     .model_server(ModelServer::new("large").endpoint("http://10.0.0.3:8000"))
    /// #     .model_route(ModelRoute::new("chat").model_name("acme/gpt").rule(Rule::new("all").target("large")))
    /// #     .build()?;
    /// let extract = JsonBody::new().map_name(|_, name| Ok(format!("acme/{name}")));
    /// let (head, ()) = http::Request::post("/v1/chat/completions").body(())?.into_parts();
    /// let explained = table.explain_request_with(&extract, &head, br#"{"model":"gpt"}"#)?;
    /// assert_eq!((explained.requested_model(), explained.model()), ("gpt", "acme/gpt"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The answer to the client if the request is not let through, if no model can be read, or if
    /// the extractor refuses the request.
    pub fn explain_request_with(
        &self,
        extract: &dyn ExtractModel,
        head: &Parts,
        body: &[u8],
    ) -> Result<Explanation, RouteError> {
        let layer = AsLayer {
            admission: &Admission::default(),
            extract,
            without_model: None,
        };
        self.explain_request_showing(layer, head, body, Shown::ALL)
    }

    pub(crate) fn explain_request_showing(
        &self,
        layer: AsLayer<'_>,
        head: &Parts,
        body: &[u8],
        shown: Shown<'_>,
    ) -> Result<Explanation, RouteError> {
        let table = self.compiled();
        let what = layer
            .without_model
            .or(table.without_model())
            .unwrap_or(&WithoutModel::Reject);
        let (admission, extract) = (layer.admission, layer.extract);
        admission.check(head, RequestFields::of(&head.headers).fields)?;
        let mut settled = head.clone();
        let target = admission.settle(extract, table, &mut settled);
        let what = &*table.unnamed(&settled, what);
        let asked = match admitted(target, extract, &settled, what)? {
            Some(scan) => {
                let has_object = scan.reads_member() && !body.trim_ascii().is_empty();
                match located(scan, &settled, body) {
                    Err(error)
                        if error.kind() == RouteErrorKind::MissingModel && what.is_routed() =>
                    {
                        Asked::unnamed(&settled, what, table, has_object)
                    }
                    located => Asked::new(&settled, located?),
                }
            }
            None => Asked::unnamed(&settled, what, table, false),
        };
        let asked = asked.with_body(body, table);
        let kept_at = table.homes.peek(&settled);
        let kept_at = kept_at.map(|home| home.endpoint.to_string());
        let explanation = Explanation::new(table, &asked, shown);
        Ok(Explanation {
            kept_at,
            ..explanation.of(head)
        })
    }

    /// As [`explain_showing`](Self::explain_showing), if this layer lets the request through.
    #[cfg(feature = "admin")]
    pub(crate) fn explain_admitted_showing(
        &self,
        layer: AsLayer<'_>,
        head: &Parts,
        model: &str,
        shown: Shown<'_>,
    ) -> Result<Explanation, RouteError> {
        let AsLayer {
            admission, extract, ..
        } = layer;
        admission.check(head, RequestFields::of(&head.headers).fields)?;
        let mut settled = head.clone();
        admission.settle(extract, self.compiled(), &mut settled)?;
        Ok(self.explain_showing(&settled, model, shown).of(head))
    }
}

/// The layer by whose options a request is explained.
#[derive(Clone, Copy)]
pub(crate) struct AsLayer<'a> {
    pub(crate) admission: &'a Admission,
    pub(crate) extract: &'a dyn ExtractModel,
    /// In place of the table's.
    pub(crate) without_model: Option<&'a WithoutModel>,
}

/// The model in a request whose body is complete.
fn located(mut scan: Scan, head: &Parts, body: &[u8]) -> Result<ExtractedModel, RouteError> {
    scan.check_type(&head.headers)?;
    scan.feed(body)?;
    scan.finish()?;
    let mut chunks = Chunks::default();
    chunks.push(Bytes::copy_from_slice(body));
    scan.locate(head, &mut chunks, None)
}

impl Explanation {
    fn new(table: &CompiledTable, asked: &Asked<'_>, shown: Shown<'_>) -> Self {
        let mut explanation = Self {
            method: asked.head.method.to_string(),
            target: mask::uri(&asked.head.uri),
            requested_model: asked.model.asked().to_owned(),
            model: asked.model.name().to_owned(),
            without_model: asked.without_model.clone(),
            kept_at: None,
            verdict: Verdict::Refused,
            error: None,
            route: None,
            rule: None,
            lora: false,
            routes: Vec::new(),
            limits: Vec::new(),
            targets: Vec::new(),
        };
        if asked.without_model == Some(WithoutModel::Forward) {
            explanation.verdict = Verdict::Forwarded;
        } else {
            explanation.look(table, asked, shown);
        }
        explanation
    }

    /// Goes through the routes.
    fn look(&mut self, table: &CompiledTable, asked: &Asked<'_>, shown: Shown<'_>) {
        let explanation = self;
        let found = asked.routes(table);
        let (routes, matched) = considered::routes(
            &found,
            (asked.head, asked.tokens),
            asked.condition_model(),
            shown,
        );
        explanation.routes = routes;
        match matched {
            Some((found, rule)) => {
                explanation.route = Some(found.route.get_name().to_owned());
                explanation.rule = Some(rule.config.get_name().to_owned());
                explanation.lora = found.by_adapter;
                let outlook = table.outlook(
                    rule.compiled,
                    &rule.weights(),
                    Some(Wanted::of(&asked.model, found.by_adapter)),
                );
                explanation.targets =
                    target::targets(table, rule, &outlook, asked, found.by_adapter);
                explanation.verdict = match outlook.prospect {
                    Prospect::Sent(_) => Verdict::Sent,
                    Prospect::Waits => Verdict::Queued,
                    Prospect::Overloaded | Prospect::Draining | Prospect::NoEndpoint => {
                        Verdict::Refused
                    }
                };
                let unavailable = outlook.prospect.unavailable();
                let model = asked.model.shown();
                explanation.error = unavailable.map(|why| RouteError::unavailable(model, &why));
                explanation.limits = limits::limits(table, rule.compiled, asked.head);
                if let Some(refusal) = limits::refusal(table, rule.compiled, asked.head) {
                    explanation.verdict = Verdict::Refused;
                    explanation.error = Some(refusal);
                }
            }
            None => explanation.error = Some(asked.no_match(table, &found)),
        }
    }

    /// With the target as the client sent it.
    fn of(self, head: &Parts) -> Self {
        let target = mask::uri(&head.uri);
        Self { target, ..self }
    }

    /// The request's method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The request's target as the client sent it, the values of its query masked.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The model that the client asks for; empty if it names none.
    pub fn requested_model(&self) -> &str {
        &self.requested_model
    }

    /// The model that the request is routed by, as in
    /// [`RouteDecision::model`](crate::RouteDecision::model).
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What happens to the request because it names no model; `None` if it names one.
    pub fn without_model(&self) -> Option<&WithoutModel> {
        self.without_model.as_ref()
    }

    /// The endpoint that keeps the object named in the request's path, if that is known. The
    /// request goes there if it can. See [`EngineState`](crate::EngineState).
    pub fn kept_at(&self) -> Option<&str> {
        self.kept_at.as_deref()
    }

    /// The outcome of the request.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The gateway's answer, if the request is refused.
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

    /// The limits of the route that has the rule that matches.
    pub fn limits(&self) -> &[ExplainedLimit] {
        &self.limits
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
            Self::Forwarded => "forwarded",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

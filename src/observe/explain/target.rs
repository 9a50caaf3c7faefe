//! Where the requests of a rule go.

use std::time::Duration;

use http::Request;

use super::{asked::Asked, mask, policy};
use crate::{
    config::{ModelServer, TargetModel},
    observe::{
        snapshot::{EndpointSnapshot, ServerSnapshot},
        targets,
    },
    route::{CompiledTable, Outlook, Prospect, RuleView},
    server::{Endpoint, Figure, ReportSource, Score, Server, Wanted},
    wire::rewrite,
};

/// A target of the rule that matches.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ExplainedTarget {
    model_server: String,
    fallback: bool,
    weight: Option<u32>,
    share: f64,
    current_share: f64,
    requests: u64,
    model: String,
    balance: String,
    policy: String,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    session_at: Option<String>,
    endpoints: Vec<ExplainedEndpoint>,
}

/// An endpoint of such a target.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ExplainedEndpoint {
    #[cfg_attr(feature = "serde", serde(flatten))]
    state: EndpointSnapshot,
    weight: u32,
    max_in_flight: Option<usize>,
    takes_requests: bool,
    request_uri: Option<String>,
    request_host: String,
    cost: Option<f64>,
    figures: Vec<ExplainedFigure>,
    /// For the text: the snapshot has it as a time.
    #[cfg_attr(feature = "serde", serde(skip))]
    ejected_for: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    has_model: Option<bool>,
    #[cfg_attr(feature = "serde", serde(skip))]
    passed_over_for: Option<Duration>,
}

/// A number by which the balance compares endpoints, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedFigure {
    name: &'static str,
    value: f64,
    source: Option<ReportSource>,
    age: Option<Duration>,
}

impl ExplainedFigure {
    fn of(figure: Figure) -> Self {
        let Figure {
            name,
            value,
            source,
            age,
        } = figure;
        Self {
            name,
            value,
            source,
            age,
        }
    }

    /// What it counts, as text.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The number.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// How the gateway learned it; `None` if the gateway counted or measured it itself.
    pub fn source(&self) -> Option<ReportSource> {
        self.source
    }

    /// How old it is; `None` if it is current.
    pub fn age(&self) -> Option<Duration> {
        self.age
    }
}

/// The facts that all targets share.
struct Aim<'a> {
    asked: &'a Asked<'a>,
    is_lora: bool,
    prospect: Prospect,
    wanted: Option<Wanted<'a>>,
}

/// All targets of a rule, its fallbacks last.
pub(super) fn targets(
    table: &CompiledTable,
    rule: RuleView<'_>,
    outlook: &Outlook<'_>,
    asked: &Asked<'_>,
    is_lora: bool,
) -> Vec<ExplainedTarget> {
    let aim = Aim {
        asked,
        is_lora,
        prospect: outlook.prospect,
        wanted: outlook.wanted,
    };
    targets::targets(table, rule, outlook)
        .map(|target| ExplainedTarget {
            model_server: target.server.name.to_string(),
            fallback: target.own.is_none(),
            weight: target.own.and_then(TargetModel::get_weight),
            share: target.share,
            current_share: target.current_share,
            requests: target.requests,
            model: asked.model_at(target.server, is_lora).to_owned(),
            balance: policy::balance(target.config.get_balance()),
            policy: policy::sentence(&target.server.policy),
            session_at: asked.session_at(target.server, is_lora),
            endpoints: aim.endpoints(target.config, target.server),
        })
        .collect()
}

impl Aim<'_> {
    fn endpoints(&self, config: &ModelServer, server: &Server) -> Vec<ExplainedEndpoint> {
        let snapshot = ServerSnapshot::new(server);
        let model = self.asked.model_at(server, self.is_lora);
        let both = server.endpoints.iter().zip(snapshot.endpoints());
        let ask = self.asked.of_server(server, self.is_lora);
        (0..)
            .zip(both)
            .map(|(position, (endpoint, state))| {
                let Score { cost, figures } = server.score(position, &ask);
                ExplainedEndpoint {
                    weight: config
                        .get_endpoints()
                        .get(server.of_config(position))
                        .map_or(1, |endpoint| endpoint.get_weight()),
                    max_in_flight: server.policy.get_max_in_flight(),
                    takes_requests: match self.prospect {
                        Prospect::Sent(pass) => server.might_take(position, pass, self.wanted),
                        _ => false,
                    },
                    request_uri: self.uri_at(endpoint, model),
                    request_host: endpoint.address.authority.to_string(),
                    cost,
                    figures: figures.into_iter().map(ExplainedFigure::of).collect(),
                    ejected_for: state.ejected_for(),
                    has_model: state.has_model(model),
                    passed_over_for: state.passed_over_for(model),
                    state: state.clone(),
                }
            })
            .collect()
    }

    /// `None` for a request that can't be forwarded.
    fn uri_at(&self, endpoint: &Endpoint, model: &str) -> Option<String> {
        let (mut head, ()) = Request::new(()).into_parts();
        head.uri = self.asked.head.uri.clone();
        if model != self.asked.model.asked() {
            rewrite::model_in_uri(&mut head, &self.asked.model, model).ok()?;
        }
        rewrite::address(&mut head, &endpoint.address).ok()?;
        Some(mask::uri(&head.uri))
    }
}

impl ExplainedTarget {
    /// The endpoint that the request's session is bound to, if it is bound. The request goes there
    /// if it can. See [`SessionSticky`](crate::SessionSticky). Keys in the body count if the body
    /// is given.
    pub fn session_at(&self) -> Option<&str> {
        self.session_at.as_deref()
    }

    /// The name of the [`ModelServer`](crate::ModelServer).
    pub fn model_server(&self) -> &str {
        &self.model_server
    }

    /// Whether it is a [`fallback`](crate::Rule::fallback).
    pub fn is_fallback(&self) -> bool {
        self.fallback
    }

    /// Its weight, if the targets have weights.
    pub fn weight(&self) -> Option<u32> {
        self.weight
    }

    /// Its share of the rule's requests in percent, as configured.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Its current share in percent: the share of targets that can't take
    /// requests goes to their siblings, or else to a fallback.
    ///
    /// All are 0 if none can take requests. If requests have to wait, it is the
    /// share of those that wait.
    pub fn current_share(&self) -> f64 {
        self.current_share
    }

    /// The number of requests that the rule has sent to it.
    ///
    /// A request that is sent again after a failure counts for the target that was tried first. The
    /// number survives a replacement of the table, for a rule of the same name with the same
    /// targets.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The model that its engines are asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The strategy that chooses one of its endpoints, in words.
    pub fn balance(&self) -> &str {
        &self.balance
    }

    /// Retries, time limits and limits on load, as text.
    ///
    /// If a request is sent again elsewhere, the policy of the target that was
    /// chosen first decides how often and when.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Its endpoints, in the order in which they were added.
    pub fn endpoints(&self) -> &[ExplainedEndpoint] {
        &self.endpoints
    }
}

impl ExplainedEndpoint {
    /// Its address, requests in flight, health and counts.
    pub fn state(&self) -> &EndpointSnapshot {
        &self.state
    }

    /// Its weight among the target's endpoints, usually 1.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// The most requests in flight to it, if limited.
    pub fn max_in_flight(&self) -> Option<usize> {
        self.max_in_flight
    }

    /// Whether it would get the request if it is its turn, and its target's.
    pub fn takes_requests(&self) -> bool {
        self.takes_requests
    }

    /// The URI of the request to it, with the values of its query masked.
    ///
    /// `None` where the request has no path that could be forwarded: it is
    /// answered with 400 and the code `invalid_target`.
    pub fn request_uri(&self) -> Option<&str> {
        self.request_uri.as_deref()
    }

    /// The `Host` header of the request to it.
    pub fn request_host(&self) -> &str {
        &self.request_host
    }

    /// Whether it has the model that it would be asked for, if that is known; see
    /// [`EndpointSnapshot::has_model`].
    pub fn has_model(&self) -> Option<bool> {
        self.has_model
    }

    /// For how long it still gets no requests for the model, as
    /// [`EndpointSnapshot::passed_over_for`] says.
    pub fn passed_over_for(&self) -> Option<Duration> {
        self.passed_over_for
    }

    /// Its cost by the balance of its ModelServer, which chooses the lowest, or the lower of two;
    /// `None` if the balance compares nothing, or is one of your own.
    ///
    /// Least request: requests divided by weight. Least tokens: tokens divided by weight. Prefix
    /// cache: the same, without the part of the prompt that is in the engine's cache. Peak EWMA:
    /// seconds divided by weight. Affinity: its position on the ring counted from the request's
    /// key, or as least request if there is no key.
    pub fn cost(&self) -> Option<f64> {
        self.cost
    }

    /// The numbers that make the [`cost`](Self::cost), or that a balance of your own sees.
    pub fn figures(&self) -> &[ExplainedFigure] {
        &self.figures
    }

    /// For how long it is ejected; zero where it may be tried again.
    pub fn ejected_for(&self) -> Option<Duration> {
        self.ejected_for
    }
}

//! An explanation as text, for a terminal or a log.

use std::fmt::{self, Formatter};

use super::{
    considered::{ConsideredCondition, ConsideredRoute, ConsideredRule, RuleVerdict},
    explanation::{Explanation, Verdict},
    limits::ExplainedLimit,
    target::{ExplainedEndpoint, ExplainedTarget},
};
use crate::{config::WithoutModel, error::RouteErrorKind, server::EndpointHealth};

/// Text from a request is quoted or escaped: it can't write to a terminal.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.question(f)?;
        for route in self.routes() {
            considered_route(f, route, self.without_model())?;
        }
        if let (Some(route), [_, ..]) = (self.route(), self.limits()) {
            writeln!(f, "limits of route {route:?}:")?;
        }
        for limit in self.limits() {
            explained_limit(f, limit)?;
        }
        if let (Some(route), Some(rule)) = (self.route(), self.rule()) {
            writeln!(f, "targets of rule {rule:?} of route {route:?}:")?;
        }
        for target in self.targets() {
            explained_target(f, target, self)?;
        }
        self.conclusion(f)
    }
}

fn considered_route(
    f: &mut Formatter<'_>,
    route: &ConsideredRoute,
    without_model: Option<&WithoutModel>,
) -> fmt::Result {
    let found = match route.is_by_adapter() {
        _ if matches!(without_model, Some(WithoutModel::Route(_))) => "by its own name",
        true => "as a LoRA adapter",
        false => "by its model name",
    };
    writeln!(f, "route {:?}, found {found}:", route.name())?;
    route
        .rules()
        .iter()
        .try_for_each(|rule| considered_rule(f, rule))
}

fn considered_rule(f: &mut Formatter<'_>, rule: &ConsideredRule) -> fmt::Result {
    let verdict = match rule.verdict() {
        RuleVerdict::Taken if rule.conditions().is_empty() => "matches always",
        RuleVerdict::Taken => "matches",
        RuleVerdict::Failed => "does not match",
        RuleVerdict::NotReached => "is not reached",
    };
    writeln!(f, "  rule {:?} {verdict}", rule.name())?;
    rule.conditions()
        .iter()
        .try_for_each(|condition| considered_condition(f, condition))
}

fn considered_condition(f: &mut Formatter<'_>, condition: &ConsideredCondition) -> fmt::Result {
    let holds = if condition.holds() { "yes" } else { "no" };
    write!(f, "    {}: {holds}, ", condition.condition())?;
    let mut seen = condition.seen().iter();
    match seen.next() {
        None => f.write_str("there is none")?,
        Some(first) => write!(f, "it is {first:?}")?,
    }
    seen.try_for_each(|value| write!(f, " and {value:?}"))?;
    writeln!(f)
}

fn explained_limit(f: &mut Formatter<'_>, limit: &ExplainedLimit) -> fmt::Result {
    write!(f, "  {}: ", limit.limit())?;
    match (limit.left(), limit.redis()) {
        (Some(left), _) => write!(f, "{left} left")?,
        (None, Some(redis)) => write!(f, "what is left is in Redis at {redis}")?,
        (None, None) => f.write_str("what is left depends on the key, or is in a store")?,
    }
    if limit.is_observe_only() {
        f.write_str(", refuses nothing")?;
    }
    writeln!(f)
}

fn explained_target(
    f: &mut Formatter<'_>,
    target: &ExplainedTarget,
    explanation: &Explanation,
) -> fmt::Result {
    let (share, now) = (Percent(target.share()), Percent(target.current_share()));
    if target.is_fallback() {
        write!(f, "  fallback {:?}: now {now}", target.model_server())?;
    } else {
        write!(f, "  target {:?}: {share}", target.model_server())?;
        if let Some(weight) = target.weight() {
            write!(f, " (weight {weight})")?;
        }
        if target.current_share() != target.share() {
            write!(f, ", now {now}")?;
        }
    }
    writeln!(f)?;
    let (before, after) = (explanation.requested_model(), target.model());
    match explanation.is_lora() {
        _ if after.is_empty() => writeln!(f, "    model: none is sent to the engine")?,
        _ if before != after => writeln!(f, "    model: {before:?} becomes {after:?}")?,
        true => writeln!(f, "    model: stays {after:?}, the name of a LoRA adapter")?,
        false => writeln!(f, "    model: stays {after:?}")?,
    }
    writeln!(f, "    policy: {}", target.policy())?;
    if target.endpoints().is_empty() {
        return writeln!(f, "    it has no endpoints");
    }
    if let Some(endpoint) = target.session_at() {
        writeln!(f, "    the session is bound to {endpoint}")?;
    }
    if target.endpoints().len() > 1 {
        writeln!(f, "    choice of the endpoint: {}", target.balance())?;
    }
    target
        .endpoints()
        .iter()
        .try_for_each(|endpoint| explained_endpoint(f, endpoint, explanation.method()))
}

fn explained_endpoint(
    f: &mut Formatter<'_>,
    endpoint: &ExplainedEndpoint,
    method: &str,
) -> fmt::Result {
    let state = endpoint.state();
    let takes = match endpoint.takes_requests() {
        true => "takes requests",
        false => "takes none now",
    };
    write!(f, "    endpoint {}", state.uri())?;
    if let Some(name) = state.name() {
        write!(f, " ({})", name.replace(char::is_control, "\u{fffd}"))?;
    }
    write!(f, ": {takes}, {}", state.health())?;
    if state.health() == EndpointHealth::Ejected
        && let Some(time) = endpoint.ejected_for()
    {
        write!(f, " for another {:.1} s", time.as_secs_f64())?;
    }
    write!(f, ", {}", state.in_flight())?;
    if let Some(max) = endpoint.max_in_flight() {
        write!(f, " of {max}")?;
    }
    f.write_str(" in flight")?;
    if endpoint.weight() != 1 {
        write!(f, ", weight {}", endpoint.weight())?;
    }
    match (endpoint.has_model(), endpoint.passed_over_for()) {
        (_, Some(time)) => {
            let seconds = time.as_secs_f64();
            write!(
                f,
                ", has said that it lacks the model, for another {seconds:.1} s"
            )?;
        }
        (Some(false), None) => f.write_str(", does not list the model")?,
        (Some(true), None) => f.write_str(", has the model")?,
        (None, None) => {}
    }
    writeln!(f)?;
    explained_cost(f, endpoint)?;
    match endpoint.request_uri() {
        Some(uri) => writeln!(f, "      {method} {uri}, Host: {}", endpoint.request_host()),
        None => {
            let kind = RouteErrorKind::InvalidTarget;
            let (status, code) = (kind.status().as_u16(), kind.code());
            writeln!(
                f,
                "      {status} {code}: the request has no path to forward"
            )
        }
    }
}

/// What it costs, unless that is nothing but what is in flight, which is there already.
fn explained_cost(f: &mut Formatter<'_>, endpoint: &ExplainedEndpoint) -> fmt::Result {
    let figures = endpoint.figures();
    if figures.is_empty() || matches!(figures, [one] if one.name() == "requests in flight") {
        return Ok(());
    }
    match endpoint.cost() {
        Some(cost) => write!(f, "      costs {}:", Rounded(cost))?,
        None => f.write_str("      has")?,
    }
    for (position, figure) in figures.iter().enumerate() {
        let comma = if position > 0 { "," } else { "" };
        write!(f, "{comma} {} {}", Rounded(figure.value()), figure.name())?;
        let age = figure.age().map(|age| age.as_secs_f64());
        match (figure.source(), age) {
            (Some(source), Some(age)) => write!(f, " ({}, {age:.1} s ago)", source.name())?,
            (None, Some(age)) => write!(f, " ({age:.1} s ago)")?,
            (_, None) => {}
        }
    }
    writeln!(f)
}

/// With three decimals at most.
struct Rounded(f64);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", (self.0 * 1000.0).round() / 1000.0)
    }
}

impl Explanation {
    /// What is asked for.
    fn question(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (method, target, model) = (self.method(), self.target(), self.model());
        write!(f, "{method} {target} ")?;
        match self.without_model() {
            Some(WithoutModel::Route(name)) => {
                return writeln!(f, "names no model, and goes to the route {name:?}");
            }
            Some(WithoutModel::Model(_) | WithoutModel::Insert(_)) => {
                writeln!(f, "names no model, and is routed as one for {model:?}")?;
            }
            Some(WithoutModel::Reject | WithoutModel::Forward) => {
                return writeln!(f, "names no model");
            }
            None if self.requested_model().is_empty() => {
                writeln!(f, "names no model: its extractor says {model:?}")?;
            }
            None if self.requested_model() != model => {
                let requested = self.requested_model();
                writeln!(
                    f,
                    "asks for the model {requested:?}, which is routed as {model:?}"
                )?;
            }
            None => writeln!(f, "asks for the model {model:?}")?,
        }
        match self.routes() {
            [] => writeln!(f, "no route has it as its model name or as a LoRA adapter"),
            [..] => Ok(()),
        }
    }

    fn conclusion(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(error) = self.error() {
            let (status, code) = (error.status().as_u16(), error.kind().code());
            // It quotes the client.
            let message = error.message().replace(char::is_control, "\u{fffd}");
            return write!(f, "it is answered with {status} {code}: {message}");
        }
        if self.verdict() == Verdict::Forwarded {
            return f.write_str("it is forwarded to the inner service unchanged");
        }
        if let Some(endpoint) = self.kept_at() {
            writeln!(f, "what it names is kept at {endpoint}")?;
        }
        let verb = match self.verdict() {
            Verdict::Queued => "all endpoints are full: it waits for one of",
            _ => "it goes to",
        };
        let taking = self
            .targets()
            .iter()
            .filter(|target| target.current_share() > 0.0);
        let names: Vec<_> = taking
            .map(|target| format!("{:?}", target.model_server()))
            .collect();
        write!(f, "{verb} {}", names.join(" or "))
    }
}

/// With one decimal, if it has some.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 10.0).round() / 10.0;
        write!(f, "{rounded} %")
    }
}

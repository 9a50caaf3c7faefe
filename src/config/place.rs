//! Places in a configuration.

/// A part of a configuration, by positions from 0, because names need not be unique.
///
/// Custom front ends can use it to report where in their input a
/// [`Mistake`](crate::Mistake) or a [`Lint`](crate::Lint) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// A ModelServer, in the order in which they were added.
    ModelServer(usize, ServerPart),
    /// A ModelRoute, in the order in which they were added.
    ModelRoute(usize, RoutePart),
    /// [`without_model`](crate::RouteTableBuilder::without_model).
    WithoutModel,
    /// [`engine_state`](crate::RouteTableBuilder::engine_state).
    EngineState,
    /// Something that is not part of a table, such as a
    /// [`HealthCheck`](crate::HealthCheck); its name.
    Other(&'static str),
}

/// A part of a ModelServer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerPart {
    /// The ModelServer as a whole.
    Whole,
    /// [`model`](crate::ModelServer::model).
    Model,
    /// The endpoint at this position.
    Endpoint(usize),
    /// [`balance`](crate::ModelServer::balance).
    Balance,
    /// The [`header`](crate::ModelServer::header) at this position.
    Header(usize),
    /// The traffic policy as a whole, or the named option of it.
    TrafficPolicy(Option<&'static str>),
}

/// A part of a ModelRoute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RoutePart {
    /// The ModelRoute as a whole.
    Whole,
    /// [`model_name`](crate::ModelRoute::model_name).
    ModelName,
    /// The LoRA adapter at this position.
    Adapter(usize),
    /// The rule at this position.
    Rule(usize),
    /// Of the rule at the first position, the condition at the second.
    Condition(usize, usize),
    /// Of the rule at the first position, the target at the second.
    Target(usize, usize),
    /// Of the rule at the first position, the fallback at the second.
    Fallback(usize, usize),
    /// The [`rate_limit`](crate::ModelRoute::rate_limit) at this position.
    Limit(usize),
}

impl RoutePart {
    /// The position of the rule that this part is, or is in.
    pub fn rule(self) -> Option<usize> {
        match self {
            Self::Whole | Self::ModelName | Self::Adapter(_) | Self::Limit(_) => None,
            Self::Rule(rule)
            | Self::Condition(rule, _)
            | Self::Target(rule, _)
            | Self::Fallback(rule, _) => Some(rule),
        }
    }
}

//! Where a rule sends its requests.

/// A ModelServer that a rule sends requests to, with its weight.
///
/// Weights are whole numbers from 0 to 100. In one rule either every target
/// has a weight or none has (then all are equal), and not all are 0; anything
/// else is a [`BuildError`](crate::BuildError). A target of weight 0 is a last
/// resort: it is used only while no sibling has a usable endpoint.
///
/// A name alone is a target without a weight, so `"my-server"` can be used
/// wherever a target is taken, and `("my-server", 70)` for one with a weight.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[must_use]
pub struct TargetModel {
    model_server: String,
    weight: Option<u32>,
}

impl TargetModel {
    /// A target without a weight: the ModelServer of this name.
    pub fn new(model_server: impl Into<String>) -> Self {
        Self {
            model_server: model_server.into(),
            weight: None,
        }
    }

    /// Its weight, 0 to 100, relative to the rule's other targets.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = Some(weight);
        self
    }

    pub(super) fn rename(self, mut rename: impl FnMut(&str) -> String) -> Self {
        Self {
            model_server: rename(&self.model_server),
            ..self
        }
    }

    /// The name of the ModelServer.
    pub fn get_model_server(&self) -> &str {
        &self.model_server
    }

    /// The weight, if it has one.
    pub fn get_weight(&self) -> Option<u32> {
        self.weight
    }
}

impl From<&str> for TargetModel {
    fn from(model_server: &str) -> Self {
        Self::new(model_server)
    }
}

impl From<String> for TargetModel {
    fn from(model_server: String) -> Self {
        Self::new(model_server)
    }
}

impl From<(&str, u32)> for TargetModel {
    fn from((model_server, weight): (&str, u32)) -> Self {
        Self::new(model_server).weight(weight)
    }
}

impl From<(String, u32)> for TargetModel {
    fn from((model_server, weight): (String, u32)) -> Self {
        Self::new(model_server).weight(weight)
    }
}

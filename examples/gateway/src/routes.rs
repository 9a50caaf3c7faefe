//! The routes of the scenarios.

use tower_model_route::{
    RouteTable,
    manifest::{ManifestError, Manifests},
};

use crate::engines::Engines;

/// A scenario, for people.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// What to ask for to see it.
    pub(crate) model: &'static str,
    /// A header that it takes.
    pub(crate) header: Option<(&'static str, &'static str)>,
}

pub(crate) const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "simple",
        about: "deepseek-simple goes to deepseek-r1-1-5b, whose engines get the request with their \
                own name of the model",
        model: "deepseek-simple",
        header: None,
    },
    Scenario {
        name: "LoRA",
        about: "the adapters lora-A and lora-B go to deepseek-r1-1-5b with their names unchanged",
        model: "lora-A",
        header: None,
    },
    Scenario {
        name: "weighted",
        about: "of 100 requests for deepseek-subset 70 go to deepseek-r1-1-5b-v1 and 30 to \
                deepseek-r1-1-5b-v2",
        model: "deepseek-subset",
        header: None,
    },
    Scenario {
        name: "header",
        about: "deepseek-multi-models goes to deepseek-r1-7b for premium users, else to \
                deepseek-r1-1-5b",
        model: "deepseek-multi-models",
        header: Some(("user-type", "premium")),
    },
];

/// The scenarios as Kthena's manifests. They are a part of the program, so that it runs anywhere.
const MANIFESTS: [&str; 5] = [
    include_str!("../manifests/model-servers.yaml"),
    include_str!("../manifests/simple.yaml"),
    include_str!("../manifests/lora.yaml"),
    include_str!("../manifests/weighted.yaml"),
    include_str!("../manifests/header.yaml"),
];

/// The manifests' table, with the URLs of the engines as endpoints.
pub(crate) fn table(engines: &Engines) -> Result<RouteTable, ManifestError> {
    let manifests = MANIFESTS
        .into_iter()
        .map(Manifests::from_yaml)
        .fold(Manifests::new(), Manifests::merge);
    engines
        .groups()
        .iter()
        .fold(manifests, |manifests, group| {
            manifests.endpoints(group.server, engines.urls(group.server))
        })
        .build()
}

//! The requests of the demo, and where they must go.
//!
//! This is said again and not derived from the routes, or nothing would be checked.

use std::fmt;

use crate::engines::{QWEN_1_5B, QWEN_1_5B_V1, QWEN_1_5B_V2, QWEN_7B};

/// Equal requests.
pub(crate) struct Case {
    pub(crate) model: &'static str,
    pub(crate) header: Option<(&'static str, &'static str)>,
    pub(crate) outcome: Outcome,
}

/// What must become of them.
pub(crate) enum Outcome {
    /// They are answered by engines of these ModelServers.
    Routed {
        route: &'static str,
        rule: &'static str,
        shares: &'static [Share],
    },
    /// One is sent, and the gateway itself answers it.
    Rejected { status: u16, code: &'static str },
}

/// The part of the requests that one ModelServer answers.
pub(crate) struct Share {
    pub(crate) server: &'static str,
    /// How many; a multiple of the number of its engines, each of which gets the same.
    pub(crate) requests: u64,
    /// The model that its engines must be asked for.
    pub(crate) asked_for: &'static str,
}

impl Case {
    /// How many requests are sent.
    pub(crate) fn requests(&self) -> u64 {
        match &self.outcome {
            Outcome::Routed { shares, .. } => shares.iter().map(|share| share.requests).sum(),
            Outcome::Rejected { .. } => 1,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model)?;
        match self.header {
            Some((name, value)) => write!(f, ", {name}: {value}"),
            None => Ok(()),
        }
    }
}

pub(crate) const SIMPLE: Case = Case {
    model: "deepseek-simple",
    header: None,
    outcome: Outcome::Routed {
        route: "default/deepseek-simple",
        rule: "default",
        shares: &[share("default/deepseek-r1-1-5b", 2, QWEN_1_5B)],
    },
};

pub(crate) const CASES: [Case; 7] = [
    SIMPLE,
    Case {
        model: "lora-A",
        header: None,
        outcome: Outcome::Routed {
            route: "default/deepseek-lora",
            rule: "default",
            shares: &[share("default/deepseek-r1-1-5b", 2, "lora-A")],
        },
    },
    Case {
        model: "lora-B",
        header: None,
        outcome: Outcome::Routed {
            route: "default/deepseek-lora",
            rule: "default",
            shares: &[share("default/deepseek-r1-1-5b", 2, "lora-B")],
        },
    },
    Case {
        model: "deepseek-subset",
        header: None,
        outcome: Outcome::Routed {
            route: "default/deepseek-subset",
            rule: "split",
            shares: &[
                share("default/deepseek-r1-1-5b-v1", 70, QWEN_1_5B_V1),
                share("default/deepseek-r1-1-5b-v2", 30, QWEN_1_5B_V2),
            ],
        },
    },
    Case {
        model: "deepseek-multi-models",
        header: Some(("user-type", "premium")),
        outcome: Outcome::Routed {
            route: "default/deepseek-multi-models",
            rule: "premium",
            shares: &[share("default/deepseek-r1-7b", 1, QWEN_7B)],
        },
    },
    Case {
        model: "deepseek-multi-models",
        header: None,
        outcome: Outcome::Routed {
            route: "default/deepseek-multi-models",
            rule: "default",
            shares: &[share("default/deepseek-r1-1-5b", 2, QWEN_1_5B)],
        },
    },
    Case {
        model: "no-such-model",
        header: None,
        outcome: Outcome::Rejected {
            status: 404,
            code: "model_not_found",
        },
    },
];

const fn share(server: &'static str, requests: u64, asked_for: &'static str) -> Share {
    Share {
        server,
        requests,
        asked_for,
    }
}

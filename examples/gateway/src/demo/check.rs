//! Compares what happened with what must happen.

use std::fmt::Display;

use super::{
    Tally,
    ask::Seen,
    cases::{Case, Outcome, Share},
};
use crate::engines::{Engines, MockEngine};

/// What did not go as it must.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<String>);

impl Findings {
    pub(crate) fn add(&mut self, about: impl Display, problem: impl Display) {
        let finding = format!("{about}: {problem}");
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    fn expect<T: PartialEq + Display>(&mut self, about: impl Display, what: &str, is: T, must: T) {
        if is != must {
            self.add(about, format_args!("the {what} is `{is}`, not `{must}`"));
        }
    }

    /// Checks the answers to the requests of one case.
    pub(crate) fn check(&mut self, case: &Case, tally: &Tally, engines: &Engines) {
        match case.outcome {
            Outcome::Routed {
                route,
                rule,
                shares,
            } => {
                for seen in tally.keys() {
                    self.expect(case, "status", seen.status, 200);
                    self.expect(case, "route", &*seen.route, route);
                    self.expect(case, "rule", &*seen.rule, rule);
                    self.check_server(case, seen, shares, engines);
                }
                for share in shares {
                    self.check_share(case, share, tally, engines);
                }
            }
            Outcome::Rejected { status, code } => {
                for seen in tally.keys() {
                    self.expect(case, "status", seen.status, status);
                    self.expect(case, "error", &*seen.answer, code);
                    self.expect(case, "server", &*seen.server, "-");
                    self.expect(case, "engine that answered", &*seen.engine, "-");
                }
            }
        }
    }

    /// The gateway, the engine and the text of the answer must name the same server.
    fn check_server(&mut self, case: &Case, seen: &Seen, shares: &[Share], engines: &Engines) {
        match shares.iter().find(|share| share.server == seen.server) {
            Some(share) => {
                self.expect(case, "answer", &*seen.answer, &sentence(share.asked_for));
            }
            None => self.add(case, format_args!("`{}` is not its server", seen.server)),
        }
        match engines
            .of(&seen.server)
            .find(|engine| engine.label == seen.engine)
        {
            Some(MockEngine { running, .. }) => {
                self.expect(case, "endpoint", &seen.endpoint, &running.url());
            }
            None => {
                let Seen { engine, server, .. } = seen;
                let problem = format!("`{engine}`, which answered, is no engine of `{server}`");
                self.add(case, problem);
            }
        }
    }

    /// The engines of a server must have answered its share, each the same part of it.
    fn check_share(&mut self, case: &Case, share: &Share, tally: &Tally, engines: &Engines) {
        let parts = engines.of(share.server).count().max(1) as u64;
        for MockEngine { label, .. } in engines.of(share.server) {
            let what = format!("number of answers by {label}");
            self.expect(
                case,
                &what,
                answers_by(label, tally),
                share.requests / parts,
            );
        }
    }

    /// The engines must have received what they answered and nothing else.
    pub(crate) fn check_counts(&mut self, tallies: &[Tally], engines: &Engines) {
        for MockEngine { label, running } in engines.groups().iter().flat_map(|g| &g.engines) {
            let answers = tallies.iter().map(|tally| answers_by(label, tally)).sum();
            self.expect(label, "number of requests", running.requests(), answers);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// All findings, if there are any.
    pub(crate) fn into_result(self) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        let list = self.0.join("\n- ");
        Err(format!(
            "\nNot every request was routed as expected:\n- {list}"
        ))
    }
}

fn answers_by(label: &str, tally: &Tally) -> u64 {
    tally
        .iter()
        .filter(|(seen, _)| seen.engine == label)
        .map(|(_, times)| times)
        .sum()
}

const SENTENCE: (&str, &str) = ("This is simulated message from ", "!");

/// What an engine says that is asked for `model`.
pub(crate) fn sentence(model: &str) -> String {
    format!("{}{model}{}", SENTENCE.0, SENTENCE.1)
}

/// The answer, without what is the same in all of them.
pub(crate) fn short(answer: &str) -> &str {
    answer
        .strip_prefix(SENTENCE.0)
        .and_then(|rest| rest.strip_suffix(SENTENCE.1))
        .unwrap_or(answer)
}

//! `--check`: what is wrong in manifests, and what looks wrong.

use std::process::ExitCode;

use clap::{CommandFactory, error::ErrorKind};

use tower_model_route::{ServerSnapshot, manifest::Manifests};

use crate::{Args, config::Config, print::say};

/// Prints the report, and fails if there are errors in it.
pub(crate) fn run(config: &Config) -> ExitCode {
    if config.paths().next().is_none() {
        let problem = "nothing to check: give a file or a directory, --check PATH";
        Args::command()
            .error(ErrorKind::MissingRequiredArgument, problem)
            .exit();
    }
    let manifests = config.manifests();
    let report = manifests.check();
    say(&report);
    if has_https(&manifests) {
        say(
            "note: the certificates of https endpoints must be known to the certificate \
             authorities of this machine, or to those of --ca",
        );
    }
    if report.has_errors() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn has_https(manifests: &Manifests) -> bool {
    let servers = manifests.build().map(|table| table.servers());
    servers.is_ok_and(|servers| {
        let mut endpoints = servers.iter().flat_map(ServerSnapshot::endpoints);
        endpoints.any(|endpoint| endpoint.uri().starts_with("https://"))
    })
}

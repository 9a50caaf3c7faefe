//! `--check`: what is wrong in manifests, and what looks wrong.

use std::process::ExitCode;

use clap::{CommandFactory, error::ErrorKind};

use tower_model_route::{RouteTable, ServerSnapshot};

use crate::{Args, config::Config, print::say, tls::Tls};

/// Prints the report, and fails if there are errors in it or in the certificates.
pub(crate) fn run(config: &Config, tls: &Tls) -> ExitCode {
    if config.paths().next().is_none() {
        let problem = "nothing to check: give a file or a directory, --check PATH";
        Args::command()
            .error(ErrorKind::MissingRequiredArgument, problem)
            .exit();
    }
    let manifests = config.manifests();
    let report = manifests.check();
    say(&report);
    let table = manifests.build().ok();
    if table.as_ref().is_some_and(has_https) {
        say(
            "note: the certificates of https endpoints must be known to the certificate \
             authorities of this machine, or to those of --ca",
        );
    }
    let client = tls.client(table.as_ref());
    if let Err(error) = &client {
        eprintln!("{error}");
    }
    if report.has_errors() || client.is_err() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn has_https(table: &RouteTable) -> bool {
    let servers = table.servers();
    let mut endpoints = servers.iter().flat_map(ServerSnapshot::endpoints);
    endpoints.any(|endpoint| endpoint.uri().starts_with("https://"))
}

//! `--check`: what is wrong in manifests, and what looks wrong.

use std::process::ExitCode;

use clap::{CommandFactory, error::ErrorKind};

use crate::{Args, config::Config, print::say};

/// Prints the report, and fails if there are errors in it.
pub(crate) fn run(config: &Config) -> ExitCode {
    if config.paths().next().is_none() {
        let problem = "nothing to check: give a file or a directory, --check PATH";
        Args::command()
            .error(ErrorKind::MissingRequiredArgument, problem)
            .exit();
    }
    let report = config.manifests().check();
    say(&report);
    if report.has_errors() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

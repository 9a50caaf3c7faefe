//! The access log: a line on stdout for each request that has ended.

use std::{cell::RefCell, fmt::Write, time::SystemTime};

use clap::ValueEnum;
use humantime::format_rfc3339_micros;
use tower_model_route::{EndFacts, Observer};

use crate::print::log;

/// How a request is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// A JSON object in a line
    Json,
    /// A line for people
    Text,
    /// Not at all
    Off,
}

/// Logs each request when it has ended.
pub(crate) struct AccessLog {
    pub(crate) is_json: bool,
}

thread_local! {
    /// The line that this thread writes, whose memory is that of the one before.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Observer for AccessLog {
    fn ended(&self, end: &EndFacts<'_>) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            self.write(end, line);
            log(line);
        });
    }
}

impl AccessLog {
    fn write(&self, end: &EndFacts<'_>, line: &mut String) {
        line.push_str(if self.is_json {
            "{\"timestamp\":\""
        } else {
            "["
        });
        // Writing to a String can't fail.
        _ = write!(line, "{}", format_rfc3339_micros(SystemTime::now()));
        if self.is_json {
            let at = line.len();
            _ = write!(line, "{}", end.json());
            // In place of the brace that begins the object.
            line.replace_range(at..=at, "\",");
        } else {
            _ = write!(line, "] {}", end.text());
        }
    }
}

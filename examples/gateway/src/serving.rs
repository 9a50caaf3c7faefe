//! How the gateway serves, from the command line.

use std::{fs, net::SocketAddr, num::NonZero, thread, time::Duration};

use axum::http::{HeaderValue, Uri};
use clap::{Args, ValueEnum};
use tower_http::cors::{Any, CorsLayer};
use tower_model_route::{
    BuildError, EngineClient, EngineMetrics, EngineMetricsHandle, ForwardedFields, RouteTableHandle,
};

use crate::{access::Style, tls::Tls};

#[derive(Debug, Clone, Args)]
pub(crate) struct Serving {
    /// How long requests in flight have to finish once the gateway is asked to stop and --drain-delay
    /// is over, such as 90s or 5m; a second signal ends them at once
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time, verbatim_doc_comment)]
    pub(crate) drain: Duration,

    /// How long the gateway keeps serving, with /readyz at 503, when it is asked to stop, so that load
    /// balancers notice: at least their probe's period times its failure threshold
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time, verbatim_doc_comment)]
    pub(crate) drain_delay: Duration,

    /// How many client connections are accepted at a time; more have to wait. By default half of the
    /// file descriptors that this process may have
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..), verbatim_doc_comment)]
    max_connections: Option<u32>,

    /// How many threads serve clients, each with its own connections to engines. By default one per
    /// core
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..), verbatim_doc_comment)]
    workers: Option<u16>,

    /// How long a client may read nothing of its answer (over HTTP/2, up to twice as long); then its
    /// connection or stream is closed, and its place at the engine is free
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = some_time, verbatim_doc_comment)]
    pub(crate) send_timeout: Duration,

    /// Serve the admin view and /metrics on this address
    #[arg(
        long = "admin-listen",
        alias = "admin",
        value_name = "ADDR",
        conflicts_with = "demo"
    )]
    pub(crate) admin: Option<SocketAddr>,

    /// Serve /metrics on this address, for Prometheus
    #[arg(long, value_name = "ADDR", conflicts_with = "demo")]
    pub(crate) metrics_listen: Option<SocketAddr>,

    /// How each request is logged to stdout when it ends. If stdout is too slow, lines are dropped and
    /// counted
    #[arg(
        long,
        value_enum,
        value_name = "STYLE",
        default_value = "text",
        verbatim_doc_comment
    )]
    pub(crate) access_log: Style,

    /// Read the engines' load from their /metrics every MS milliseconds (1000 if MS is left out), so
    /// that requests sent by others count
    #[arg(
        long,
        value_name = "MS",
        num_args = 0..=1,
        default_missing_value = "1000",
        value_parser = clap::value_parser!(u64).range(1..),
        conflicts_with = "demo",
        verbatim_doc_comment
    )]
    engine_metrics: Option<u64>,

    #[command(flatten)]
    pub(crate) tls: Tls,

    /// Let pages of ORIGIN, or "*" for those of all origins, use the answers; may be repeated
    #[arg(
        long,
        value_name = "ORIGIN",
        value_parser = origin,
        help = "Let pages of ORIGIN, such as https://chat.example, use the answers (CORS), or \"*\" for pages\nof all origins; may be repeated"
    )]
    cors: Vec<HeaderValue>,

    /// Forward requests that name no model and whose body is not read, such as GET, to URL, whatever
    /// their path. A body that names no model is answered with 400. By default such requests go where
    /// the manifests say, or are answered with 404 or 400
    #[arg(long, value_name = "URL", value_parser = base, verbatim_doc_comment)]
    pub(crate) forward: Option<Uri>,

    /// What engines get in X-Forwarded-* and Forwarded: what the client sent (unchanged), nothing
    /// (remove), the client's address, host and protocol (replace), or these appended to what it sent
    /// (append), for clients that are all trusted proxies
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        default_value_t = Forwarded::Unchanged,
        hide_possible_values = true,
        verbatim_doc_comment
    )]
    pub(crate) forwarded_fields: Forwarded,
}

/// The library's `ForwardedFields`, on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Forwarded {
    Unchanged,
    Remove,
    Replace,
    Append,
}

impl From<Forwarded> for ForwardedFields {
    fn from(how: Forwarded) -> Self {
        match how {
            Forwarded::Unchanged => Self::Unchanged,
            Forwarded::Remove => Self::Remove,
            Forwarded::Replace => Self::Replace,
            Forwarded::Append => Self::Append,
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        _ => (text, 1),
    };
    let number: u32 = number
        .parse()
        .map_err(|_| "it must be a number of seconds, minutes or hours, such as 30s or 5m")?;
    Ok(Duration::from_secs(u64::from(number) * unit))
}

fn some_time(text: &str) -> Result<Duration, String> {
    match time(text)? {
        Duration::ZERO => Err("it must be longer than that".to_owned()),
        time => Ok(time),
    }
}

fn origin(text: &str) -> Result<HeaderValue, String> {
    let is_origin = || {
        let uri: Uri = text.parse().ok()?;
        let has_path = text.ends_with('/') || uri.path() != "/" || uri.query().is_some();
        (uri.scheme().is_some() && uri.authority().is_some() && !has_path).then_some(())
    };
    if text != "*" && is_origin().is_none() {
        return Err("it must be like https://chat.example, without a path, or *".to_owned());
    }
    HeaderValue::from_str(text).map_err(|error| error.to_string())
}

fn base(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|_| "it is not a valid URL")?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_http || uri.path() != "/" || uri.query().is_some() {
        return Err("it must be like http://10.0.0.7:8000, without a path".to_owned());
    }
    Ok(uri)
}

impl Serving {
    /// Reads the engines' metrics, if that is wanted, until it is dropped.
    pub(crate) fn read_metrics(
        &self,
        table: &RouteTableHandle,
        client: &EngineClient,
    ) -> Result<Option<EngineMetricsHandle>, BuildError> {
        let interval = self.engine_metrics.map(Duration::from_millis);
        let metrics = interval.map(|interval| EngineMetrics::new().interval(interval));
        let start = |metrics: EngineMetrics| metrics.start(table.clone(), client.clone());
        metrics.map(start).transpose()
    }

    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        let cors = CorsLayer::new()
            .allow_methods(Any)
            .allow_headers(tower_http::cors::AllowHeaders::mirror_request())
            .expose_headers(Any);
        match &*self.cors {
            [] => None,
            origins if origins.iter().any(|origin| origin == "*") => Some(cors.allow_origin(Any)),
            origins => Some(cors.allow_origin(origins.to_vec())),
        }
    }

    pub(crate) fn workers(&self) -> usize {
        match self.workers {
            Some(count) => count.into(),
            None => thread::available_parallelism().map_or(1, NonZero::get),
        }
    }

    pub(crate) fn max_connections(&self) -> usize {
        match self.max_connections {
            Some(count) => count as usize,
            None => descriptors().map_or(FALLBACK, |count| (count / 2).max(1)),
        }
    }
}

/// Where it is not known how many files may be open.
const FALLBACK: usize = 4096;

/// How many files this process may have open (proc_pid_limits(5)).
fn descriptors() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_checked() {
        for (text, seconds) in [
            ("30", 30),
            ("30s", 30),
            ("5m", 300),
            ("1h", 3600),
            ("0s", 0),
        ] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "-1", "1.5s", "500ms", "1d"] {
            assert!(time(text).is_err(), "{text}");
        }
        assert!(some_time("1s").is_ok() && some_time("0m").is_err());
        assert!(origin("*").is_ok() && origin("https://chat.example:8443").is_ok());
        assert!(origin("chat.example").is_err() && origin("https://chat.example/").is_err());
        assert!(base("http://10.0.0.7:8000").is_ok() && base("http://10.0.0.7/v1").is_err());
        assert!(base("ftp://h").is_err());
    }
}

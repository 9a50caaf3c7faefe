//! A traffic policy: Kthena's part of it, and the rest.

use serde::{Serialize, Serializer};

use crate::{
    config::{HashKey, ModelServer, TrafficPolicy, format},
    manifest::options::{
        Access, DETECTION, ENGINE, OUTLIER_DETECTION, POLICY, RETRY_STATUSES, Setting,
        kthenas_retries,
    },
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KthenaPolicy {
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<Retry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_sticky: Option<Sticky>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sticky {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_affinity_seconds: Option<u64>,
    sources: Vec<Source>,
}

#[derive(Serialize)]
struct Source {
    r#type: &'static str,
    name: String,
}

impl Sticky {
    /// As far as Kthena has it; `None` if it has none of its sources.
    fn of(policy: &TrafficPolicy) -> Option<Self> {
        let sticky = policy.get_session_sticky()?;
        let sources: Vec<_> = sticky.get_sources().iter().filter_map(Source::of).collect();
        let seconds = sticky.get_idle().as_secs();
        (!sources.is_empty()).then_some(Self {
            session_affinity_seconds: (seconds != 300).then_some(seconds),
            sources,
        })
    }
}

impl Source {
    fn of(key: &HashKey) -> Option<Self> {
        let (r#type, name) = match key {
            HashKey::Header(name) => ("Header", name),
            HashKey::Query(name) => ("Query", name),
            HashKey::Cookie(name) => ("Cookie", name),
            HashKey::Extension(name) => ("JWTClaim", name),
            _ => return None,
        };
        let name = name.clone();
        Some(Self { r#type, name })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Retry {
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_interval: Option<String>,
}

/// What Kthena's schema has fields for; `None` if all of it is what a manifest without it has.
pub(super) fn kthena(policy: &TrafficPolicy) -> Option<KthenaPolicy> {
    let (retries, interval) = (policy.get_max_retries(), policy.get_retry_interval());
    let default = TrafficPolicy::new().get_retry_interval();
    let retry = (!has_kthenas_retries(policy)).then(|| Retry {
        attempts: retries,
        retry_interval: (interval != default).then(|| format(interval)),
    });
    let timeout = policy.get_timeout().map(format);
    let session_sticky = Sticky::of(policy);
    let is_said = timeout.is_some() || retry.is_some() || session_sticky.is_some();
    is_said.then_some(KthenaPolicy {
        timeout,
        retry,
        session_sticky,
    })
}

/// Whether `retry` can be left out.
fn has_kthenas_retries(policy: &TrafficPolicy) -> bool {
    let default = kthenas_retries(TrafficPolicy::new());
    (policy.get_max_retries(), policy.get_retry_interval())
        == (default.get_max_retries(), default.get_retry_interval())
}

/// The rest, by the keys of the annotation.
pub(super) struct Settings(Vec<(&'static str, Value)>);

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Time(String),
    Count(u64),
    Flag(bool),
    Word(&'static str),
    Statuses(Vec<u16>),
    Settings(Settings),
}

impl Settings {
    /// Those that are not the default; `None` if there are none.
    pub(super) fn of(policy: &TrafficPolicy) -> Option<Self> {
        let mut written = Self::written(policy, &POLICY);
        let statuses = policy.get_retry_statuses();
        let default = match has_kthenas_retries(policy) {
            true => kthenas_retries(TrafficPolicy::new()),
            false => TrafficPolicy::new(),
        };
        if statuses != default.get_retry_statuses() {
            let statuses = statuses.iter().map(|status| status.as_u16()).collect();
            written.push((RETRY_STATUSES, Value::Statuses(statuses)));
        }
        let detection = Self::written(policy.get_outlier_detection(), &DETECTION);
        if !detection.is_empty() {
            written.push((OUTLIER_DETECTION, Value::Settings(Self(detection))));
        }
        (!written.is_empty()).then_some(Self(written))
    }

    /// The same of the options of engines.
    pub(super) fn of_engine(server: &ModelServer) -> Option<Self> {
        let written = Self::written(server, &ENGINE);
        (!written.is_empty()).then_some(Self(written))
    }

    fn written<T>(config: &T, settings: &[Setting<T>]) -> Vec<(&'static str, Value)> {
        let value = |setting: &Setting<T>| match setting.access {
            Access::Time(_, get) => get(config).map(|time| Value::Time(format(time))),
            Access::Count(_, _, get) => get(config).map(Value::Count),
            Access::Flag(_, get) => get(config).map(Value::Flag),
            Access::Word(_, _, get) => get(config).map(Value::Word),
        };
        let settings = settings.iter();
        settings
            .filter_map(|setting| Some((setting.key, value(setting)?)))
            .collect()
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

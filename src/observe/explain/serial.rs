//! What of an explanation does not serialize by itself.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::target::ExplainedFigure;
use crate::{
    error::RouteError,
    observe::snapshot::{EndpointSnapshot, ServerSnapshot},
    server::{ReportSource, ReportedLoad},
};

#[derive(Serialize)]
struct Answer<'a> {
    status: u16,
    code: &'static str,
    message: &'a str,
}

pub(super) fn error<S: Serializer>(
    error: &Option<RouteError>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let answer = error.as_ref().map(|error| Answer {
        status: error.status().as_u16(),
        code: error.kind().code(),
        message: error.message(),
    });
    answer.serialize(serializer)
}

impl Serialize for ServerSnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut server = serializer.serialize_struct("ServerSnapshot", 3)?;
        server.serialize_field("name", self.name())?;
        server.serialize_field("in_flight", &self.in_flight())?;
        server.serialize_field("endpoints", self.endpoints())?;
        server.end()
    }
}

/// An `Instant` is meaningless outside the process, so `ejected_until` becomes
/// `ejected_for_seconds`, from now on.
impl Serialize for EndpointSnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut endpoint = serializer.serialize_struct("EndpointSnapshot", 10)?;
        endpoint.serialize_field("uri", self.uri())?;
        match self.name() {
            Some(name) => endpoint.serialize_field("name", name)?,
            None => endpoint.skip_field("name")?,
        }
        endpoint.serialize_field("in_flight", &self.in_flight())?;
        endpoint.serialize_field("health", self.health().as_str())?;
        endpoint.serialize_field("consecutive_failures", &self.consecutive_failures())?;
        endpoint.serialize_field(
            "ejected_for_seconds",
            &self.ejected_for().as_ref().map(Duration::as_secs_f64),
        )?;
        endpoint.serialize_field("requests", &self.requests())?;
        endpoint.serialize_field("failures", &self.failures())?;
        endpoint.serialize_field("ejections", &self.ejections())?;
        endpoint.serialize_field("reported", self.reported())?;
        endpoint.end()
    }
}

impl Serialize for ReportedLoad {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = self.report();
        let mut reported = serializer.serialize_struct("ReportedLoad", 6)?;
        reported.serialize_field("source", self.source().name())?;
        reported.serialize_field("age_seconds", &self.age().as_secs_f64())?;
        reported.serialize_field("is_fresh", &self.is_fresh())?;
        reported.serialize_field("running", &report.get_running())?;
        reported.serialize_field("waiting", &report.get_waiting())?;
        reported.serialize_field("kv_cache_use", &report.get_kv_cache_use())?;
        reported.end()
    }
}

impl Serialize for ExplainedFigure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut figure = serializer.serialize_struct("ExplainedFigure", 4)?;
        figure.serialize_field("name", self.name())?;
        figure.serialize_field("value", &self.value())?;
        figure.serialize_field("source", &self.source().map(ReportSource::name))?;
        let age = self.age().as_ref().map(Duration::as_secs_f64);
        figure.serialize_field("age_seconds", &age)?;
        figure.end()
    }
}

//! Loads that the program itself knows.

use super::handle::RouteTableHandle;
use crate::{
    config::Address,
    server::{LoadReport, ReportSource},
};

/// Tells a table what the program knows of its endpoints' load: from a controller of its own, say,
/// or from an engine that has no metrics the gateway can read.
///
/// It is made by [`RouteTableHandle::load_source`]; clones are the same.
///
/// ```
/// use tower_model_route::{LoadReport, ModelServer, RouteTable, RouteTableHandle};
///
/// let server = ModelServer::new("small").endpoint("http://10.0.0.7:8000");
/// let handle = RouteTableHandle::new(RouteTable::builder().model_server(server).build()?);
/// let loads = handle.load_source();
/// assert!(loads.report("http://10.0.0.7:8000", LoadReport::new().running(5).waiting(2)));
/// assert!(!loads.report("http://10.0.0.9:8000", LoadReport::new().running(5)));
/// # Ok::<(), tower_model_route::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LoadSource(RouteTableHandle);

impl RouteTableHandle {
    /// By which the program tells what it knows of the endpoints' load.
    pub fn load_source(&self) -> LoadSource {
        LoadSource(self.clone())
    }
}

impl LoadSource {
    /// Says how an endpoint is at this moment.
    ///
    /// What the report says of running and waiting requests includes the gateway's own: those that
    /// it has in flight there now are subtracted, and what is left counts on top of whatever it
    /// has in flight, for two seconds or until the next report. Who pushes should do so every
    /// second. It counts for every balance that compares loads, in all ModelServers that have the
    /// endpoint. Of several sources (see [`ReportSource`]) the one that knows of the most requests
    /// counts. A report that says nothing changes nothing.
    ///
    /// `endpoint` may be written in any way that is the same endpoint. Returns whether the current
    /// table has it. Takes time linear in the number of endpoints.
    pub fn report(&self, endpoint: &str, report: LoadReport) -> bool {
        let Ok(address) = Address::called(endpoint) else {
            return false;
        };
        let Some(endpoint) = self.0.load().endpoint(&address.uri) else {
            return false;
        };
        endpoint.report(ReportSource::Pushed, report, endpoint.in_flight());
        true
    }
}

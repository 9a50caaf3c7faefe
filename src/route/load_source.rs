//! Loads that the program itself reports.

use super::handle::RouteTableHandle;
use crate::{
    config::Address,
    server::{LoadReport, ReportSource},
};

/// Reports to a table what the program knows about its endpoints' load: from its own controller,
/// say, or from an engine whose metrics the gateway can't read.
///
/// It is made by [`RouteTableHandle::load_source`]; clones are equivalent.
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
    /// A source through which the program reports the load of endpoints.
    pub fn load_source(&self) -> LoadSource {
        LoadSource(self.clone())
    }
}

impl LoadSource {
    /// Reports the current load of an endpoint.
    ///
    /// The report's running and waiting requests include the gateway's own: those in flight there
    /// now are subtracted, and the rest is added to the gateway's own load for two seconds or
    /// until the next report. So push a report every second. It counts for every balance that
    /// compares loads, in all ModelServers that have the endpoint. Of several sources (see
    /// [`ReportSource`]) the one that reports the most requests counts. An empty report changes
    /// nothing.
    ///
    /// `endpoint` may be any spelling of the endpoint. Returns whether the current table has it.
    /// Takes time linear in the number of endpoints.
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

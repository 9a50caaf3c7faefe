//! One page of each engine after the other.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Buf;
use http::Response;
use http_body::Body;
use tokio::time::Instant;

use super::{
    gauges::{Gauges, MAX_LAG},
    samples::Lines,
};
use crate::{
    policy::poll::{Listener, address},
    server::{Endpoint, ReportSource, Server},
};

/// A page is read as far as this; vLLM's has 70 KB.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Counts that are closer than this are remembered as one.
const APART: Duration = Duration::from_millis(100);

/// Who reads the pages.
#[derive(Default)]
pub(super) struct Scraper {
    /// By the endpoints' addresses in memory.
    own: HashMap<usize, Own>,
}

/// How many of the gateway's own requests were in flight at the last pages.
#[derive(Default)]
struct Own(VecDeque<(Instant, usize)>);

impl Own {
    /// There are so many now.
    fn count(&mut self, in_flight: usize) {
        let now = Instant::now();
        let age = |at: Instant| now.saturating_duration_since(at);
        while self.0.front().is_some_and(|(at, _)| age(*at) > MAX_LAG) {
            self.0.pop_front();
        }
        match self.0.back_mut() {
            Some((at, count)) if age(*at) < APART => *count = in_flight.max(*count),
            _ => self.0.push_back((now, in_flight)),
        }
    }

    /// The most that a page may count among its requests that lags so far.
    fn most(&self, lag: Duration) -> usize {
        let now = Instant::now();
        let counts = self.0.iter().rev();
        let counts = counts.take_while(|(at, _)| now.saturating_duration_since(*at) <= lag);
        counts.map(|(_, count)| *count).max().unwrap_or_default()
    }
}

impl<R> Listener<R> for Scraper
where
    R: Body + Send + 'static,
    R::Data: Send,
{
    type Reading = Gauges;

    async fn read(answer: Response<R>) -> Option<Gauges> {
        if !answer.status().is_success() {
            return None;
        }
        let mut body = pin!(answer.into_body());
        let (mut lines, mut gauges) = (Lines::default(), Gauges::default());
        let mut left = MAX_BYTES;
        while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            // Half a page would be half of the load.
            let Ok(mut data) = frame.ok()?.into_data() else {
                continue;
            };
            while data.has_remaining() {
                let chunk = data.chunk();
                left = left.checked_sub(chunk.len())?;
                lines.feed(chunk, |line| gauges.see(line));
                let read = chunk.len();
                data.advance(read);
            }
        }
        lines.end(|line| gauges.see(line));
        Some(gauges)
    }

    fn begin(&mut self, endpoints: &[(Arc<Endpoint>, Arc<Server>)]) {
        let present: HashSet<usize> = endpoints
            .iter()
            .map(|(endpoint, _)| address(endpoint))
            .collect();
        self.own.retain(|address, _| present.contains(address));
    }

    fn heard(&mut self, endpoint: Arc<Endpoint>, gauges: Option<Gauges>) {
        let own = self.own.entry(address(&endpoint)).or_default();
        own.count(endpoint.in_flight());
        let Some(gauges) = gauges else { return };
        let own = own.most(gauges.lag());
        endpoint.report(ReportSource::Scraped, gauges.report(), own);
        if let Some(adapters) = gauges.into_adapters() {
            let active = adapters.active.iter().map(String::as_str);
            endpoint.adapters.reported(active, adapters.max);
        }
    }
}

//! Streams through a layer, timed.

use std::convert::Infallible;

use bytes::Bytes;
use criterion::{BenchmarkGroup, measurement::WallTime};
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::{Service, ServiceExt};

use super::frames::drain;

/// Forwards the stream of so many frames that `service` answers with; the answer is made outside of
/// what is measured.
pub fn forward_by<S, R>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    service: S,
    frames: usize,
) where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
    R: Body,
{
    let answer = || {
        let body = Full::new(Bytes::from_static(br#"{"model":"m","stream":true}"#));
        let request = Request::post("/v1/chat/completions").body(body).unwrap();
        let call = service.clone().oneshot(request);
        call.now_or_never().unwrap().unwrap().into_body()
    };
    group.bench_function(name, |b| {
        b.iter_batched(answer, |body| assert_eq!(drain(body), frames), super::BATCH);
    });
}

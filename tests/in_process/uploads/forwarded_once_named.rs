//! How much of a body that is at hand is read before the request goes on.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_model_route::{ModelRoute, ModelRouteLayer, ModelServer, RouteBody, RouteTable, Rule};

const FIRST: &[u8] = br#"{"model":"asked","prompt":"#;
const REST: &[u8] = br#""0123456789012345678901234"}"#;

/// Two chunks that are both there.
struct AtHand {
    chunks: Vec<&'static [u8]>,
    taken: Arc<AtomicUsize>,
}

impl Body for AtHand {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.chunks.pop();
        self.taken.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(Bytes::from_static(chunk)))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.chunks.iter().map(|chunk| chunk.len() as u64).sum())
    }
}

/// How many chunks were taken when the engine was called.
async fn taken(replay_bytes: usize) -> usize {
    let table = RouteTable::builder()
        .model_server(ModelServer::new("server").endpoint("http://engine"))
        .model_route(
            ModelRoute::new("route")
                .model_name("asked")
                .rule(Rule::new("all").target("server")),
        )
        .build()
        .unwrap();
    let taken = Arc::<AtomicUsize>::default();
    let seen = Arc::clone(&taken);
    let engine = service_fn(move |_: Request<RouteBody>| {
        let count = seen.load(Ordering::Relaxed).to_string();
        async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(count))) }
    });
    let body = AtHand {
        chunks: vec![REST, FIRST],
        taken: Arc::clone(&taken),
    };
    let service = ModelRouteLayer::new(table)
        .replay_bytes(replay_bytes)
        .layer(engine);
    let request = Request::post("/v1/completions").body(body).unwrap();
    let body = service.oneshot(request).await.unwrap().into_body();
    let text = http_body_util::BodyExt::collect(body)
        .await
        .unwrap()
        .to_bytes();
    std::str::from_utf8(&text).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_body_too_large_to_be_kept_goes_on_as_soon_as_it_names_its_model() {
    assert_eq!(taken(FIRST.len() + REST.len() - 1).await, 1);
}

#[tokio::test]
async fn one_that_can_be_kept_is_read_as_far_as_it_is_there() {
    // The second one is the last, which its length says.
    assert!(taken(FIRST.len() + REST.len()).await >= 2);
}

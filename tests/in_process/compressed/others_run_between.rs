//! A large body that is inflated or compressed leaves the thread to others again and again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use allocation_counter::measure;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use test_kit::body::BoxError;
use tower::{Service, service_fn};
use tower_model_route::{ModelRouteLayer, RouteBody, stack};

use super::{
    bombs_are_refused::document,
    codecs::Coding,
    send::{LARGE, REAL, accepting, chain, keyed, large, layer, post},
};

/// No poll does more than this.
const SLICE: usize = LARGE / 4;

/// Everything that can be done with a body.
fn ways() -> Vec<(&'static str, ModelRouteLayer)> {
    let retried = |models: &[Option<&str>], accept: &[bool]| {
        ModelRouteLayer::new(chain(models, accept)).replay_bytes(2 * LARGE)
    };
    vec![
        ("inflated", layer()),
        ("read for a key", keyed().replay_bytes(SLICE)),
        ("as it is", ModelRouteLayer::new(chain(&[None], &[true]))),
        ("compressed again", accepting()),
        ("inflated later", retried(&[None, None], &[true, false])),
        (
            "compressed again later",
            retried(&[None, Some(REAL)], &[true, true]),
        ),
    ]
}

/// Reads all of it at once; an engine on ports from 8000 on is full.
async fn engine(request: Request<RouteBody>) -> Result<Response<Full<Bytes>>, BoxError> {
    let is_full = request.uri().host() == Some("full.test");
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    let mut response = Response::new(Full::default());
    if is_full {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What each poll has allocated, until there is an answer; each has the next one follow.
fn polls(layer: &ModelRouteLayer, coding: Coding, sent: &[u8]) -> Vec<u64> {
    let mut service = stack(layer.clone()).service(service_fn(engine));
    let mut call = Box::pin(service.call(post(coding.name(), sent.to_vec())));
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(Arc::clone(&woken));
    let mut polls = Vec::new();
    loop {
        let mut polled = Poll::Pending;
        let cost = measure(|| polled = call.as_mut().poll(&mut Context::from_waker(&waker)));
        polls.push(cost.bytes_total);
        if let Poll::Ready(answer) = polled {
            assert_eq!(answer.unwrap().status(), StatusCode::OK);
            return polls;
        }
        assert!(woken.0.swap(false, Ordering::Relaxed), "it would hang");
    }
}

#[test]
fn each_poll_does_a_part() {
    for coding in Coding::ALL {
        let sent = coding.encode(large());
        for (way, layer) in ways() {
            let count = polls(&layer, coding, &sent).len();
            assert!(count >= LARGE / SLICE, "{coding:?} {way}: {count} polls");
        }
    }
}

/// What is inflated is kept or made, but for what is sent as it is. (The codecs' own memory is
/// allocated at once.)
#[test]
fn no_poll_makes_more_than_a_slice() {
    let sent = Coding::Gzip.encode(large());
    for (way, layer) in ways() {
        for most in polls(&layer, Coding::Gzip, &sent) {
            assert!(most <= (SLICE + (400 << 10)) as u64, "{way}: {most} bytes");
        }
    }
}

#[test]
fn a_small_one_is_done_at_once() {
    for coding in Coding::ALL {
        let sent = coding.encode(document(20_000));
        for (way, layer) in ways() {
            let count = polls(&layer, coding, &sent).len();
            assert_eq!(count, 1, "{coding:?} {way}");
        }
    }
}

#[tokio::test]
async fn another_task_of_the_thread_has_its_turns() {
    let sent = Coding::Gzip.encode(large());
    for (way, layer) in ways() {
        let turns = Arc::<AtomicUsize>::default();
        let other = Arc::clone(&turns);
        let other = tokio::spawn(async move {
            loop {
                other.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        let mut service = stack(layer).service(service_fn(engine));
        let request = post("gzip", sent.clone());
        let answer = service.call(request).await;
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
        other.abort();
        let turns = turns.load(Ordering::Relaxed);
        assert!(turns >= LARGE / SLICE, "{way}: {turns} turns");
    }
}

/// A client that leaves in between takes what was held along.
#[test]
fn what_is_given_up_in_between_is_given_back() {
    let sent = Coding::Gzip.encode(large());
    for (way, layer) in ways() {
        let count = polls(&layer, Coding::Gzip, &sent).len();
        for stop in [1, count / 4, count / 2, count * 3 / 4] {
            let mut service = stack(layer.clone()).service(service_fn(engine));
            let request = post("gzip", sent.clone());
            let mut call = Box::pin(service.call(request));
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..stop {
                assert!(call.as_mut().poll(&mut cx).is_pending());
            }
            // Of a body that is not kept, what has come counts once it has been looked at.
            assert!(layer.buffered_bytes() > 0 || way == "as it is");
            drop(call);
            assert_eq!(layer.buffered_bytes(), 0, "{way} at {stop}");
        }
    }
}

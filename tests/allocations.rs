//! What a routed request costs in allocations, and that none of them is of its body's size.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use allocation_counter::{AllocationInfo, measure, opt_out};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, service_fn};
use tower_model_route::{
    Balance, HashKey, ModelRoute, ModelRouteLayer, ModelServer, OnInterruption, RouteBody,
    RouteTable, Rule, TrafficPolicy,
};

/// What each routed request allocates:
/// - for the decision in the response's extensions, the box of their map, its table, and the box
///   of the decision: 3
/// - the body and the scan that watches it, in one box: 1
/// - the model's name: 1
/// - what the layer and the failover below it share of the request: 1
/// - the request's id, if the client has none: 1
/// - what is held until the answer has ended, since bodies are moved often: 1
/// - a map of the answer's fields, for the id and Via, since this engine sends none: 2
///
/// Not the future, the URI, Host, the fields of the request, or anything of the body's bytes.
const EACH: u64 = 10;
/// The value of Content-Length, where the model's new name changes it.
const REWRITTEN: u64 = 1;

/// What is allocated on top for a body that is sent while it still arrives: what its readers
/// share (2), what the clones share of one that is too large to be kept (1), and the list of the chunks
/// that were there, in a box while it is received and while it is kept (3), and the box of what is
/// still to be sent (1). It has no Content-Length.
const UPLOAD: u64 = 7;

const KB: usize = 1024;
const MB: usize = 1024 * 1024;

fn table(endpoint: &str) -> RouteTable {
    RouteTable::builder()
        .model_server(ModelServer::new("server").model("real").endpoint(endpoint))
        .model_route(
            ModelRoute::new("route")
                .model_name("asked")
                .lora_adapter("adapter")
                .rule(Rule::new("rule").target("server")),
        )
        .build()
        .unwrap()
}

/// A body of `size` bytes that asks for `model`, which stands in its middle.
fn text(model: &str, size: usize) -> String {
    let fill = size - format!(r#"{{"a":"","model":"{model}","z":""}}"#).len();
    let (before, after) = ("a".repeat(fill / 2), "z".repeat(fill - fill / 2));
    format!(r#"{{"a":"{before}","model":"{model}","z":"{after}"}}"#)
}

/// Bytes as a server's are: already shared, so that a slice of them allocates nothing.
fn shared(text: String) -> Bytes {
    let bytes = unshared(text);
    drop(bytes.clone());
    bytes
}

fn unshared(text: String) -> Bytes {
    Bytes::from(text.into_bytes().into_boxed_slice())
}

/// With the headers that clients send.
fn request<B>(length: usize, body: B) -> Request<B> {
    Request::post("/v1/chat/completions")
        .header("host", "gateway")
        .header("content-type", "application/json")
        .header("content-length", length)
        .header("authorization", "Bearer key")
        .body(body)
        .unwrap()
}

/// What the layer allocates from the call to the head of the answer; not what the service below
/// does. `body` is called for each of two requests, and the second counts: the first makes what
/// the table has ready for all of them shareable.
fn cost<B>(endpoint: &str, length: usize, body: impl Fn() -> B) -> AllocationInfo
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let engine = service_fn(|request: Request<RouteBody>| {
        let mut response = None;
        opt_out(|| {
            drop(request);
            response = Some(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
        });
        std::future::ready(response.unwrap())
    });
    let mut service = ModelRouteLayer::new(table(endpoint)).layer(engine);
    let mut measure_one = || {
        let request = request(length, body());
        let mut response = None;
        let cost = measure(|| {
            let mut call = pin!(service.call(request));
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..2 {
                if let Poll::Ready(ready) = call.as_mut().poll(&mut cx) {
                    response = Some(ready);
                    break;
                }
            }
        });
        let response = response.expect("the answer is there").unwrap();
        assert_eq!(response.status(), 200);
        cost
    };
    measure_one();
    measure_one()
}

fn cost_of(model: &str, size: usize) -> AllocationInfo {
    let body = shared(text(model, size));
    cost("http://engine:8000", size, || Full::new(body.clone()))
}

/// The same of a body that is still on its way when it is sent: in three chunks.
fn upload_of(model: &str, size: usize) -> AllocationInfo {
    let body = shared(text(model, size));
    let thirds = || {
        let thirds = (0..3).rev().map(|third| {
            let third = third * size / 3..(third + 1) * size / 3;
            body.slice(third)
        });
        Chunks(thirds.collect(), true)
    };
    cost("http://engine:8000", size, thirds)
}

#[test]
fn a_request_allocates_a_fixed_number_of_times_rewritten_or_not() {
    assert_eq!(cost_of("asked", KB).count_total, EACH + REWRITTEN);
    assert_eq!(cost_of("adapter", KB).count_total, EACH);
}

#[test]
fn what_may_come_on_top() {
    // The joined path.
    let body = shared(text("asked", KB));
    let prefixed = cost("http://engine:8000/prefix", KB, || Full::new(body.clone()));
    assert_eq!(prefixed.count_total, EACH + REWRITTEN + 1);
    // Not the count that lets the parts of a body share what nobody shared before: it is split
    // where it is sent.
    let first_shared = cost("http://engine", KB, || {
        Full::new(unshared(text("asked", KB)))
    });
    assert_eq!(first_shared.count_total, EACH + REWRITTEN);
}

#[test]
fn the_bytes_do_not_grow_with_the_body() {
    for (model, digits) in [("asked", 2), ("adapter", 0)] {
        let (small, large) = (cost_of(model, KB), cost_of(model, 512 * KB));
        assert_eq!(small.count_total, large.count_total);
        // But for the digits of a new Content-Length.
        assert_eq!(large.bytes_total - small.bytes_total, digits);
        assert!(small.bytes_total < 2000, "{small:?}");
        // More than `replay_bytes`: it is sent before it has come to its end.
        let (large, larger) = (upload_of(model, 3 * MB), upload_of(model, 12 * MB));
        assert_eq!(large.count_total, EACH + UPLOAD);
        assert_eq!(larger, large);
        assert!(large.bytes_total < 2900, "{large:?}");
    }
}

/// A body that comes in two chunks, each at a poll of its own, as over a socket.
struct Chunks(Vec<Bytes>, bool);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !std::mem::replace(&mut self.1, true) {
            return Poll::Pending;
        }
        Poll::Ready(self.0.pop().map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// hyper hands a body over at the second look: a timer for that would be an allocation, and more.
#[test]
fn a_body_at_the_second_look_costs_no_timer() {
    let body = shared(text("asked", KB));
    let late = cost("http://engine", KB, || Chunks(vec![body.clone()], false));
    assert_eq!(late.count_total, EACH + REWRITTEN);
}

/// Large chunks stay as they are. What comes on top is the list of them, and a box around it
/// while it is received and while it is sent, and around what is left of that.
#[test]
fn a_body_in_chunks_costs_no_buffer() {
    let body = shared(text("asked", 512 * KB));
    let (left, right) = (body.slice(..256 * KB), body.slice(256 * KB..));
    let halves = || Chunks(vec![right.clone(), left.clone()], true);
    let listed = cost("http://engine", 512 * KB, halves);
    assert_eq!(listed.count_total, EACH + REWRITTEN + 4);
    assert!(listed.bytes_total < 2500, "{listed:?}");
}

/// The frames that reach the engine.
fn forwarded(body: Bytes) -> Vec<Bytes> {
    let frames = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&frames);
    let engine = service_fn(move |request: Request<RouteBody>| {
        let mut body = request.into_body();
        while let Some(frame) = body.frame().now_or_never().expect("it is buffered") {
            seen.lock()
                .unwrap()
                .push(frame.unwrap().into_data().unwrap());
        }
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let mut service = ModelRouteLayer::new(table("http://engine")).layer(engine);
    let call = service.call(request(body.len(), Full::new(body)));
    call.now_or_never().expect("nothing to wait for").unwrap();
    let frames = frames.lock().unwrap();
    frames.clone()
}

#[test]
fn a_body_in_one_chunk_is_not_copied() {
    // A short one is, since that is faster than to send it in pieces.
    assert_eq!(forwarded(Bytes::from(text("asked", KB))).len(), 1);
    for size in [5 * KB, MB] {
        let body = Bytes::from(text("asked", size));
        let range = body.as_ptr_range();
        let frames = forwarded(body.clone());
        let [before, model, after] = &frames[..] else {
            panic!("{} frames", frames.len())
        };
        assert_eq!(before.as_ptr_range().start, range.start);
        assert_eq!(after.as_ptr_range().end, range.end);
        assert_eq!(model, r#""real""#);
        let replaced = before.len()..body.len() - after.len();
        assert_eq!(body[replaced], *br#""asked""#);

        let body = Bytes::from(text("adapter", size));
        let frames = forwarded(body.clone());
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].as_ptr_range(), body.as_ptr_range());
    }
}

/// Choosing an endpoint allocates nothing, however many there are: what is
/// left is the decision itself.
#[test]
fn the_number_of_endpoints_does_not_matter() {
    let session = HashKey::Header("x-session".to_owned());
    for balance in [
        Balance::LeastRequest,
        Balance::RoundRobin,
        Balance::Random,
        Balance::PeakEwma,
        Balance::ConsistentHash(session.into()),
        Balance::PrefixHash(1000.into()),
    ] {
        let allocated = [1, 1000].map(|endpoints| {
            let uris = (0..endpoints).map(|i| format!("http://h{i}"));
            let server = ModelServer::new("server").endpoints(uris);
            let rule = Rule::new("rule").target("server");
            let table = RouteTable::builder()
                .model_server(server.balance(balance.clone()))
                .model_route(ModelRoute::new("route").model_name("asked").rule(rule))
                .build()
                .unwrap();
            let head = Request::post("/").header("x-session", "s");
            let (head, ()) = head.body(()).unwrap().into_parts();
            measure(|| (0..100).for_each(|_| drop(table.decide(&head, "asked").unwrap())))
                .count_total
        });
        assert_eq!(allocated[0], allocated[1], "{balance:?}");
    }
}

/// A stream that never ends, with an event at every second look.
struct Events(bool);

const EVENT: &[u8] = b"data: {\"id\":\"chatcmpl-a1598ab13fcbac04\",\"object\":\"chat.completion.chunk\",\"created\":1795833026,\"model\":\"org/base\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" the\"},\"finish_reason\":null}]}\n\n";

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 = !self.0;
        match self.0 {
            true => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(EVENT))))),
            false => Poll::Pending,
        }
    }
}

/// What is held of a stream that is open, and what its next 1,000 events allocate.
fn open_stream(policy: TrafficPolicy) -> (i64, u64) {
    let engine = service_fn(|request: Request<RouteBody>| {
        let mut response = None;
        opt_out(|| {
            drop(request);
            let answer = Response::builder().header("content-type", "text/event-stream");
            response = Some(Ok::<_, Infallible>(answer.body(Events(false)).unwrap()));
        });
        std::future::ready(response.unwrap())
    });
    let server = ModelServer::new("server").endpoint("http://engine:8000");
    let table = RouteTable::builder()
        .model_server(server.traffic_policy(policy))
        .model_route(
            ModelRoute::new("route")
                .model_name("asked")
                .rule(Rule::new("rule").target("server")),
        )
        .build()
        .unwrap();
    let mut service = ModelRouteLayer::new(table).layer(engine);
    let text = r#"{"model":"asked","stream":true}"#;
    let body = shared(text.to_owned());
    let mut open = || {
        let request = request(text.len(), Full::new(body.clone()));
        let mut answer = None;
        let held = measure(|| {
            let response = service.call(request).now_or_never().expect("it is there");
            let mut body = Box::pin(response.unwrap().into_body());
            for _ in 0..4 {
                _ = body.frame().now_or_never();
            }
            answer = Some(body);
        });
        let mut body = answer.expect("an answer");
        let later = measure(|| (0..2000).for_each(|_| _ = body.frame().now_or_never()));
        (held.bytes_current, later.count_total)
    };
    open();
    open()
}

/// Of all that can be said of streams: what it takes beside what the stream takes anyway.
#[test]
fn an_open_stream_holds_little_and_its_events_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().unwrap();
    let _entered = runtime.enter();
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let off = || {
        TrafficPolicy::new()
            .stream_idle_timeout(Duration::ZERO)
            .on_interruption(OnInterruption::Pass)
    };
    // The request's own parts are freed meanwhile, and with them the exchange.
    let (nothing_on, later) = open_stream(off());
    assert!(nothing_on <= 0, "{nothing_on} bytes are held");
    assert_eq!(later, 0);
    for (policy, most) in [
        (off().stream_idle_timeout(minutes(5)), 750),
        (TrafficPolicy::new(), 750),
        (
            TrafficPolicy::new()
                .first_event_slow(minutes(1))
                .sse_keepalive(minutes(1)),
            1600,
        ),
    ] {
        let (held, later) = open_stream(policy.clone());
        let more = held - nothing_on;
        assert!(more <= most, "{more} bytes are held: {policy:?}");
        assert_eq!(later, 0, "{policy:?}");
    }
}

//! The limit on what the bodies of all requests together take.

use http::StatusCode;
use proptest::prelude::*;
use test_kit::{
    answer::own,
    body::{Script, read_on, script},
    mock::{Handle, Mock, called, mock, ok, waits},
    request::{ASKED, chat},
    table::simple,
};
use tokio_test::{assert_ready_ok, task};
use tower::{Layer, Service};
use tower_model_route::{ModelRouteLayer, ResponseFuture};

const KIB: usize = 1 << 10;

/// May hold 10 KiB.
fn layer() -> ModelRouteLayer {
    ModelRouteLayer::new(simple())
        .max_total_buffer_bytes(10 * KIB)
        .drain_bytes(0)
}

type Call = task::Spawn<ResponseFuture<Mock>>;

/// A request of which `bytes` have come, and not the model.
fn begun(layer: &ModelRouteLayer, bytes: usize) -> (Call, Script, Handle) {
    let (mock, handle) = mock();
    let (upload, body) = script();
    upload.data(" ".repeat(bytes));
    let call = task::spawn(layer.layer(mock).call(chat(body)));
    (call, upload, handle)
}

#[tokio::test(start_paused = true)]
async fn the_request_that_is_too_much_is_refused_and_no_other() {
    let layer = layer();
    let (mut first, upload, mut handle) = begun(&layer, 6 * KIB);
    waits(&mut first);
    // Another service of the same layer.
    let (mut second, ..) = begun(&layer.clone(), 5 * KIB);
    let refused = own(assert_ready_ok!(second.poll()));
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.code, "overloaded");
    assert_eq!(refused.headers["retry-after"], "1");
    drop(second);
    assert_eq!(layer.buffered_bytes(), 6 << 10);

    let (mut third, ..) = begun(&layer, 4 * KIB);
    waits(&mut third);
    assert_eq!(layer.buffered_bytes(), 10 << 10);
    drop(third);

    upload.data(ASKED).end();
    waits(&mut first);
    let (request, reply) = called(&mut handle);
    reply.send_response(ok(""));
    assert_eq!(assert_ready_ok!(first.poll()).status(), StatusCode::OK);
    drop(first);
    // Somebody can still send it.
    assert_eq!(layer.buffered_bytes(), (6 * KIB + ASKED.len()) as u64);
    drop(request);
    assert_eq!(layer.buffered_bytes(), 0);
}

/// Not kept it can still be sent, though only once.
#[tokio::test(start_paused = true)]
async fn an_upload_on_its_way_is_not_refused_but_not_kept() {
    let layer = layer();
    let (mut call, upload, mut handle) = begun(&layer, 100);
    upload.data(r#"{"model":"asked","a":""#);
    waits(&mut call);
    let (request, _reply) = called(&mut handle);
    let mut body = request.into_body();
    let again = body.clone();
    upload.data("x".repeat(5 * KIB));
    read_on(&mut body);
    assert!(again.is_replayable());
    assert!(layer.buffered_bytes() > 5 << 10);
    upload.data("x".repeat(5 * KIB));
    assert!(read_on(&mut body).1.is_none());
    assert!(!again.is_replayable());
    assert_eq!(layer.buffered_bytes(), 0);
    upload.data("\"}").end();
    assert!(matches!(read_on(&mut body).1, Some(Ok(()))));
}

#[tokio::test(start_paused = true)]
async fn what_is_inflated_counts_too() {
    use test_kit::request::post;
    let body = format!(r#"{{"a":"{}","model":"asked"}}"#, "x".repeat(9 * KIB));
    let mut encoder = async_compression::tokio::bufread::GzipEncoder::new(body.as_bytes());
    let mut compressed = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut encoder, &mut compressed)
        .await
        .unwrap();
    for (limit, fits) in [(5 * KIB, false), (50 * KIB, true)] {
        let (mock, mut handle) = mock();
        let layer = layer().max_total_buffer_bytes(limit);
        let mut request = post("/v1/chat/completions", compressed.clone());
        let headers = request.headers_mut();
        headers.insert("content-encoding", "gzip".parse().unwrap());
        let mut call = task::spawn(layer.layer(mock).call(request));
        if fits {
            waits(&mut call);
            let request = called(&mut handle).0;
            assert!(layer.buffered_bytes() > 9 << 10);
            drop(request);
        } else {
            let refused = own(assert_ready_ok!(call.poll()));
            assert_eq!(refused.code, "overloaded");
        }
        drop(call);
        assert_eq!(layer.buffered_bytes(), 0);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Data(usize, usize),
    Named(usize),
    End(usize),
    Leave(usize),
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0_usize..4;
    prop_oneof![
        4 => (which.clone(), 1..4000_usize).prop_map(|(which, bytes)| Step::Data(which, bytes)),
        1 => which.clone().prop_map(Step::Named),
        1 => which.clone().prop_map(Step::End),
        1 => which.clone().prop_map(Step::Leave),
        2 => which.prop_map(Step::Read),
    ]
}

struct Client {
    call: Option<Call>,
    upload: Script,
    handle: Handle,
    sent: Option<(tower_model_route::RouteBody, tower_model_route::RouteBody)>,
}

proptest! {
    #[test]
    fn whatever_clients_do_the_limit_holds_and_all_is_given_back(
        steps in proptest::collection::vec(step(), 0..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let layer = layer();
        let client = || {
            let (call, upload, handle) = begun(&layer, 1);
            Client { call: Some(call), upload, handle, sent: None }
        };
        let mut clients: Vec<_> = (0..4).map(|_| client()).collect();
        for step in steps {
            match step {
                Step::Data(which, bytes) => _ = clients[which].upload.data("x".repeat(bytes)),
                Step::Named(which) => _ = clients[which].upload.data(r#"{"model":"asked","a":""#),
                Step::End(which) => _ = clients[which].upload.data("\"}").end(),
                Step::Leave(which) => clients[which] = client(),
                Step::Read(which) => {
                    if let Some((first, _)) = &mut clients[which].sent {
                        read_on(first);
                    }
                }
            }
            for client in &mut clients {
                if let Some(call) = &mut client.call
                    && (0..3).any(|_| call.poll().is_ready())
                {
                    client.call = None;
                }
                if let std::task::Poll::Ready(Some((request, _))) = client.handle.poll_request() {
                    let body = request.into_body();
                    client.sent = Some((body.clone(), body));
                }
            }
            prop_assert!(layer.buffered_bytes() <= 10 << 10);
        }
        drop(clients);
        prop_assert_eq!(layer.buffered_bytes(), 0);
    }
}

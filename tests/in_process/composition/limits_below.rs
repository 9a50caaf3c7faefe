//! Limits below the layer: they guard the engines, and a slow upload holds none of them.

use http::StatusCode;
use test_kit::{
    answer::own,
    body::{script, text},
    mock::{assert_not_called, called, mock, ok, waits},
    request::{ASKED, asked, chat},
    table::{in_flight, simple},
};
use tokio_test::{assert_ready_ok, task};
use tower::{Service, ServiceBuilder, limit::GlobalConcurrencyLimitLayer};
use tower_model_route::{AnswerErrorsLayer, ModelRouteLayer};

#[tokio::test(start_paused = true)]
async fn concurrency_limit_a_slow_upload_blocks_nobody() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(simple()))
        .concurrency_limit(1)
        .service(mock);
    let (upload, body) = script();
    let mut slow = task::spawn(service.call(chat(body)));
    upload.data(&ASKED[..1]);
    waits(&mut slow);

    // From the same service and from a clone: servers do either.
    for service in [&mut service.clone(), &mut service] {
        let mut quick = task::spawn(service.call(asked()));
        waits(&mut quick);
        let (_, reply) = called(&mut handle);
        reply.send_response(ok("quick"));
        assert_eq!(text(assert_ready_ok!(quick.poll()).into_body()), "quick");
        waits(&mut slow);
    }

    upload.data(&ASKED[1..]).end();
    waits(&mut slow);
    let (_, reply) = called(&mut handle);
    reply.send_response(ok("slow"));
    assert_eq!(text(assert_ready_ok!(slow.poll()).into_body()), "slow");
}

#[tokio::test(start_paused = true)]
async fn concurrency_limit_the_second_call_waits_for_the_first() {
    let (mock, mut handle) = mock();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(simple()))
        .concurrency_limit(1)
        .service(mock);
    let mut first = task::spawn(service.call(asked()));
    let mut second = task::spawn(service.call(asked()));
    let mut third = task::spawn(service.call(asked()));
    for call in [&mut first, &mut second, &mut third] {
        waits(call);
    }
    let (_, reply) = called(&mut handle);
    assert_not_called(&mut handle);

    reply.send_response(ok("first"));
    assert_ready_ok!(first.poll());
    // The head is there, so the limit is free, even while the body is still being read.
    assert!(second.is_woken());
    waits(&mut second);
    let (_, _running) = called(&mut handle);
    assert_not_called(&mut handle);

    // A client that goes away gives its turn to the next.
    drop(second);
    assert!(third.is_woken());
    waits(&mut third);
    let (_, reply) = called(&mut handle);
    reply.send_response(ok("third"));
    assert_ready_ok!(third.poll());
}

#[tokio::test(start_paused = true)]
async fn global_concurrency_limit_spans_services_of_one_table() {
    let (mock, mut handle) = mock();
    let table = simple();
    // As axum does, which makes a service of each route.
    let layers = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table.clone()))
        .layer(GlobalConcurrencyLimitLayer::new(1));
    let mut one = layers.clone().service(mock.clone());
    let mut other = layers.service(mock);
    let mut first = task::spawn(one.call(asked()));
    let mut second = task::spawn(other.call(asked()));
    waits(&mut first);
    waits(&mut second);
    let (_, reply) = called(&mut handle);
    assert_not_called(&mut handle);
    assert_eq!(in_flight(&table), 2, "the counts are the table's");

    reply.send_response(ok(""));
    assert_ready_ok!(first.poll());
    waits(&mut second);
    called(&mut handle);
}

#[tokio::test(start_paused = true)]
async fn load_shed_over_a_limit_answers_503() {
    let (mock, mut handle) = mock();
    let table = simple();
    let mut service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table.clone()))
        .layer(AnswerErrorsLayer::new())
        .load_shed()
        .concurrency_limit(1)
        .service(mock);
    let (upload, body) = script();
    let mut uploading = task::spawn(service.call(chat(body)));
    waits(&mut uploading);
    let mut first = task::spawn(service.call(asked()));
    waits(&mut first);
    let (_, reply) = called(&mut handle);

    let mut second = task::spawn(service.call(asked()));
    let shed = own(assert_ready_ok!(second.poll()));
    assert_eq!(shed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(shed.code, "overloaded");
    assert_eq!(shed.headers["retry-after"], "1");
    assert_not_called(&mut handle);
    assert_eq!(in_flight(&table), 1);

    // The upload took part in none of it: it is served once the first is done.
    reply.send_response(ok("first"));
    assert_ready_ok!(first.poll());
    upload.data(ASKED).end();
    waits(&mut uploading);
    called(&mut handle).1.send_response(ok("uploaded"));
    assert_ready_ok!(uploading.poll());
}

//! The limit on a body's size: before the first byte where that can be known, else while reading.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{StatusCode, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use test_kit::{
    answer::own,
    body::{BoxError, script},
    mock::{assert_not_called, called, mock, waits},
    request::{ASKED, chat, chat_of},
    table::simple,
};
use tokio_test::{assert_ready_ok, task};
use tower::{Layer, Service};
use tower_model_route::{DuplicateModels, JsonBody, ModelRouteLayer, ModelSources};

const LIMIT: usize = ASKED.len();

/// hyper sends `100 Continue` when the body is polled first: a body that is refused must not be.
struct MustNotBePolled(SizeHint);

impl Body for MustNotBePolled {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        panic!("the body was polled")
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::clone(&self.0)
    }
}

fn layer() -> ModelRouteLayer {
    // What comes after the refusal is another matter.
    let layer = ModelRouteLayer::new(simple()).drain_bytes(0);
    layer.max_body_bytes(LIMIT)
}

#[track_caller]
fn assert_refused<B>(request: http::Request<B>)
where
    B: Body<Error: Into<BoxError>> + Send + 'static,
{
    let (mock, mut handle) = mock();
    let mut call = task::spawn(layer().layer(mock).call(request));
    let refused = own(assert_ready_ok!(call.poll()));
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.code, "body_too_large");
    assert!(refused.error.message().contains(&LIMIT.to_string()));
    assert_not_called(&mut handle);
}

#[track_caller]
fn assert_called<B>(request: http::Request<B>)
where
    B: Body<Error: Into<BoxError>> + Send + 'static,
{
    let (mock, mut handle) = mock();
    let mut call = task::spawn(layer().layer(mock).call(request));
    waits(&mut call);
    called(&mut handle);
}

#[test]
fn an_announced_length_over_it_is_refused_before_the_body_is_polled() {
    for length in ["34", "9999999999", "18446744073709551615"] {
        let mut request = chat(MustNotBePolled(SizeHint::default()));
        request
            .headers_mut()
            .insert(CONTENT_LENGTH, length.parse().unwrap());
        assert_refused(request);
    }
    assert_eq!(LIMIT, 31, "34 is over the limit");
}

#[test]
fn a_size_hint_over_it_is_refused_before_the_body_is_polled() {
    let over = LIMIT as u64 + 1;
    assert_refused(chat(MustNotBePolled(SizeHint::with_exact(over))));
    let mut at_least = SizeHint::new();
    at_least.set_lower(over);
    assert_refused(chat(MustNotBePolled(at_least)));
}

#[test]
fn it_is_counted_while_reading_whatever_was_announced() {
    for announced in [
        None,
        Some("1"),
        Some("nonsense"),
        Some("99999999999999999999999"),
    ] {
        for chunks in [vec![LIMIT + 1], vec![LIMIT, 1], vec![1; LIMIT + 1]] {
            let (upload, body) = script();
            for chunk in chunks {
                upload.data(vec![b' '; chunk]);
            }
            let mut request = chat(body);
            if let Some(length) = announced {
                let length = length.parse().unwrap();
                request.headers_mut().insert(CONTENT_LENGTH, length);
            }
            assert_refused(request);
            assert!(upload.is_dropped());
        }
    }
}

#[test]
fn it_stops_at_the_first_byte_too_many() {
    let (upload, body) = script();
    for _ in 0..100 {
        upload.data(ASKED);
    }
    assert_refused(chat(body));
    assert_eq!(upload.polls(), 2);
}

#[test]
fn a_body_of_just_that_size_passes() {
    let mut request = chat_of(ASKED);
    request
        .headers_mut()
        .insert(CONTENT_LENGTH, LIMIT.to_string().parse().unwrap());
    assert_called(request);

    let (upload, body) = script();
    let mut at_most = SizeHint::new();
    // What may still come is no reason to refuse what may not.
    at_most.set_upper(1 << 40);
    upload.hint(at_most).data(ASKED).data("").end();
    assert_called(chat(body));
}

/// What has to be read whole meets the other limit.
#[test]
fn a_body_that_is_buffered_to_its_end_is_refused_by_the_limit_on_that() {
    let sources = ModelSources::new().or(JsonBody::new().duplicates(DuplicateModels::First));
    for (layer, expected) in [
        (
            layer().extract_model(sources),
            "must be read as a whole, but is larger than the 20 bytes",
        ),
        (layer(), "names no model in its first 20 bytes"),
    ] {
        let (upload, body) = script();
        upload.data("{\"x\":\"0123456789\"").data(",\"y\":1").end();
        let (mock, mut handle) = mock();
        let mut service = layer.max_buffer_bytes(20).layer(mock);
        let mut call = task::spawn(service.call(chat(body)));
        let refused = own(assert_ready_ok!(call.poll()));
        assert_eq!(refused.code, "body_too_large");
        let message = refused.error.message();
        assert!(message.contains(expected), "{message}");
        assert_not_called(&mut handle);
    }
}

//! A service below the layer that the test plays by hand, call by call.

use std::task::Poll;

use http::{Request, Response};
use tokio_test::task::Spawn;
use tower_model_route::RouteBody;
use tower_test::mock;

use crate::body::{Scripted, script};

pub type Mock = mock::Mock<Request<RouteBody>, Response<Scripted>>;
pub type Handle = mock::Handle<Request<RouteBody>, Response<Scripted>>;
pub type Reply = mock::SendResponse<Response<Scripted>>;

pub fn mock() -> (Mock, Handle) {
    mock::pair()
}

/// Polls until the future waits for something that has not happened, as a runtime would.
#[track_caller]
pub fn waits<F: Future>(future: &mut Spawn<F>) {
    loop {
        assert!(future.poll().is_pending(), "the future has ended");
        if !future.is_woken() {
            return;
        }
    }
}

/// The request that the mock has got.
#[track_caller]
pub fn called(handle: &mut Handle) -> (Request<RouteBody>, Reply) {
    match handle.poll_request() {
        Poll::Ready(Some(request)) => request,
        _ => panic!("the inner service was not called"),
    }
}

#[track_caller]
pub fn assert_not_called(handle: &mut Handle) {
    // There is no more to come once the service is gone.
    assert!(
        matches!(handle.poll_request(), Poll::Pending | Poll::Ready(None)),
        "the inner service was called"
    );
}

/// A complete answer of an engine.
pub fn ok(text: &'static str) -> Response<Scripted> {
    let (handle, body) = script();
    handle.data(text).end_known();
    Response::new(body)
}

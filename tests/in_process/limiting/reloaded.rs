//! What a reload leaves of limits.

use http::StatusCode;
use test_kit::{
    engines::Engines,
    gateway::{Gateway, Rig},
};
use tower::ServiceExt;
use tower_model_route::{ModelRouteLayer, Per, RateLimit, RouteTableHandle, stack};

use super::{chat, left, limited};

struct Reloading {
    handle: RouteTableHandle,
    gateway: Gateway,
}

impl Reloading {
    fn new(limits: &[RateLimit]) -> Self {
        let handle = RouteTableHandle::new(limited(limits.to_vec()).build().unwrap());
        let engines = Engines::default();
        let service = stack(ModelRouteLayer::new(handle.clone())).service(engines.service());
        Self {
            handle,
            gateway: Gateway::new(service),
        }
    }

    async fn ask(&self) -> StatusCode {
        let Ok(answer) = self.gateway.clone().oneshot(chat(5)).await;
        answer.status()
    }

    fn reload(&self, limits: &[RateLimit]) {
        self.handle
            .replace(limited(limits.to_vec()).build().unwrap());
    }

    fn left(&self) -> Vec<i64> {
        left(&self.handle.table())
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_the_same_keeps_its_level() {
    let limit = RateLimit::requests(3, Per::Day);
    let gateway = Reloading::new(std::slice::from_ref(&limit));
    gateway.ask().await;
    gateway.ask().await;
    for _ in 0..3 {
        gateway.reload(&[RateLimit::total_tokens(9999, Per::Day), limit.clone()]);
        assert_eq!(gateway.left(), [9999, 1]);
    }
    gateway.ask().await;
    assert_eq!(gateway.ask().await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_removed_is_gone_and_one_that_is_changed_is_new() {
    let limit = RateLimit::requests(1, Per::Day);
    let gateway = Reloading::new(std::slice::from_ref(&limit));
    gateway.ask().await;
    assert_eq!(gateway.ask().await, StatusCode::TOO_MANY_REQUESTS);
    gateway.reload(&[]);
    for _ in 0..5 {
        assert_eq!(gateway.ask().await, StatusCode::OK);
    }
    gateway.reload(&[limit]);
    assert_eq!(gateway.left(), [1]);
    gateway.ask().await;
    gateway.reload(&[RateLimit::requests(2, Per::Day)]);
    assert_eq!(gateway.left(), [2]);
}

#[tokio::test(start_paused = true)]
async fn what_was_reserved_before_a_reload_is_settled_after_it() {
    let limits = [RateLimit::output_tokens(10_000, Per::Day)];
    let handle = RouteTableHandle::new(limited(limits.clone()).build().unwrap());
    let rig = Rig::with(handle.table(), |_| ModelRouteLayer::new(handle.clone()));
    let gate = rig.engines.hold();
    rig.engines.next([super::used(10, 77)]);
    let call = rig.start(chat(500));
    test_kit::paused::settle().await;
    handle.replace(limited(limits).build().unwrap());
    assert_eq!(left(&handle.table()), [9500]);
    gate.add_permits(1);
    call.await.unwrap();
    assert_eq!(left(&handle.table()), [9923]);
}

//! Any mix of successes, failures and cancellations leaves no request in flight.

use http::Response;
use http_body_util::BodyExt;
use proptest::prelude::*;
use test_kit::{
    body::{Script, Scripted, script},
    mock::{Handle, Mock, Reply, called, mock, waits},
    paused,
    request::{ASKED, chat},
    table::{in_flight, simple},
};
use tokio_test::task::{self, Spawn};
use tower::{Layer, Service};
use tower_model_route::{
    ModelRouteLayer, ModelRouteService, ResponseBody, ResponseFuture, RouteTable,
};

/// How one step of a request turns out.
#[derive(Clone, Copy, Debug)]
enum Step {
    Succeeds,
    Fails,
    IsCancelled,
}

type Call = Spawn<ResponseFuture<Mock>>;

/// Where a request stands, with what its next step needs.
enum Stage {
    Uploading(Call, Script, Handle),
    Waiting(Call, Handle),
    Calling(Call, Reply),
    Streaming(ResponseBody<Scripted>, Script),
    Gone,
}

impl Stage {
    fn begin(layer: &ModelRouteLayer) -> Self {
        let (mock, mut handle) = mock();
        handle.allow(0);
        let mut service: ModelRouteService<Mock> = layer.layer(mock);
        let (upload, body) = script();
        let mut call = task::spawn(service.call(chat(body)));
        waits(&mut call);
        Self::Uploading(call, upload, handle)
    }

    fn is_counted(&self) -> bool {
        matches!(
            self,
            Self::Waiting(..) | Self::Calling(..) | Self::Streaming(..)
        )
    }

    fn next(self, step: Step) -> Self {
        match (self, step) {
            (Self::Gone, _) | (_, Step::IsCancelled) => Self::Gone,
            (Self::Uploading(mut call, upload, handle), Step::Succeeds) => {
                upload.data(ASKED).end();
                waits(&mut call);
                Self::Waiting(call, handle)
            }
            (Self::Uploading(mut call, upload, _), Step::Fails) => {
                upload.fail("the client broke off");
                assert!(call.poll().is_ready());
                Self::Gone
            }
            (Self::Waiting(mut call, mut handle), Step::Succeeds) => {
                handle.allow(1);
                waits(&mut call);
                Self::Calling(call, called(&mut handle).1)
            }
            (Self::Waiting(mut call, mut handle), Step::Fails) => {
                handle.send_error("not ready");
                assert!(call.poll().is_ready());
                Self::Gone
            }
            (Self::Calling(mut call, reply), Step::Succeeds) => {
                let (answer, body) = script();
                reply.send_response(Response::new(body));
                match call.poll() {
                    std::task::Poll::Ready(Ok(response)) => {
                        Self::Streaming(response.into_body(), answer)
                    }
                    _ => panic!("the answer is there"),
                }
            }
            (Self::Calling(mut call, reply), Step::Fails) => {
                reply.send_error("refused");
                assert!(call.poll().is_ready());
                Self::Gone
            }
            (Self::Streaming(mut body, answer), Step::Succeeds) => {
                answer.data("token");
                assert!(task::spawn(body.frame()).poll().is_ready());
                Self::Streaming(body, answer)
            }
            (Self::Streaming(mut body, answer), Step::Fails) => {
                answer.fail("reset");
                // Before it breaks off it lets a server send what it has.
                let mut polls = 0..20;
                assert!(polls.any(|_| task::spawn(body.frame()).poll().is_ready()));
                Self::Gone
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => Just(Step::Succeeds),
        1 => Just(Step::Fails),
        1 => Just(Step::IsCancelled),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_counts_are_right_all_along_and_return_to_zero(
        steps in prop::collection::vec((0..8_usize, step()), 0..80),
    ) {
        // What waits for a body keeps a timer, which needs a runtime.
        let runtime = paused::runtime();
        let _entered = runtime.enter();
        let table: RouteTable = simple();
        let layer = ModelRouteLayer::new(table.clone());
        let mut requests: Vec<_> = (0..8).map(|_| Stage::begin(&layer)).collect();
        for (request, step) in steps {
            let stage = std::mem::replace(&mut requests[request], Stage::Gone);
            requests[request] = match stage.next(step) {
                Stage::Gone => Stage::begin(&layer),
                stage => stage,
            };
            let expected = requests.iter().filter(|stage| stage.is_counted()).count();
            prop_assert_eq!(in_flight(&table), expected);
        }
        drop(requests);
        prop_assert_eq!(in_flight(&table), 0);
    }
}

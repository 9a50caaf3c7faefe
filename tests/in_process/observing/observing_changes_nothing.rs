//! Who only listens changes nothing: neither what the client gets nor what counts for endpoints.

use proptest::prelude::*;
use test_kit::{
    answer::Answer,
    body::script_of,
    engines::{Act, answers},
    gateway::Rig,
    paused,
    table::one_server,
};
use tower_model_route::{OnInterruption, TrafficPolicy};

use super::{Heard, millis};

/// What an engine does, in chunks, and whether it then breaks off.
#[derive(Clone, Debug)]
struct Plan {
    content_type: &'static str,
    has_length: bool,
    chunks: Vec<Vec<u8>>,
    fails: bool,
}

impl Plan {
    fn act(&self) -> Act {
        let bytes: usize = self.chunks.iter().map(Vec::len).sum();
        let length = self.has_length.then_some(bytes as u64);
        let (feed, body) = script_of(length);
        for chunk in &self.chunks {
            feed.send(chunk);
        }
        match self.fails {
            true => feed.fail("reset"),
            false => feed.end(),
        };
        answers(200, body).header("content-type", self.content_type)
    }
}

fn plans() -> impl Strategy<Value = Plan> {
    let parts = prop_oneof![
        Just("data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n"),
        Just("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n"),
        Just("data: {\"error\":{\"message\":\"boom\",\"code\":500}}\n\n"),
        Just("data: [DONE]\n\n"),
        Just(": ping\n\n"),
        Just("data: {\"cut"),
        Just("{\"choices\":[{\"message\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}"),
        Just("{\"choices\":["),
        Just("]]}"),
    ];
    let types = prop_oneof![
        Just("text/event-stream"),
        Just("application/json"),
        Just("application/octet-stream")
    ];
    let chunks = prop::collection::vec(parts.prop_map(|part| part.as_bytes().to_vec()), 0..5);
    (types, any::<bool>(), chunks, any::<bool>()).prop_map(
        |(content_type, has_length, chunks, fails)| Plan {
            content_type,
            has_length,
            chunks,
            fails,
        },
    )
}

fn policies() -> impl Strategy<Value = TrafficPolicy> {
    let what = prop_oneof![
        Just(OnInterruption::Pass),
        Just(OnInterruption::Event),
        Just(OnInterruption::Abort)
    ];
    (what, any::<bool>()).prop_map(|(what, idles)| {
        let policy = TrafficPolicy::new().on_interruption(what);
        match idles {
            true => policy.stream_idle_timeout(millis(1000)),
            // With neither, nothing but an observer reads the answer.
            false => policy.stream_idle_timeout(std::time::Duration::ZERO),
        }
    })
}

/// The answer, and what the endpoint has against it.
async fn outcome(rig: &Rig, plan: &Plan) -> (Option<String>, Result<Vec<u8>, String>, u64, u64) {
    rig.engines.next([plan.act()]);
    let answer = Answer::of(rig.answer().await).await;
    let length = answer.header("content-length").map(str::to_owned);
    let endpoint = rig.endpoint("e0");
    let body = answer.body.map(|body| body.to_vec());
    (length, body, endpoint.failures(), endpoint.requests())
}

proptest! {
    #[test]
    fn with_and_without_an_observer(policy in policies(), plan in plans()) {
        paused::runtime().block_on(async {
            let plain = Rig::new(one_server(1, policy.clone()));
            let heard = Heard::default();
            let observed = heard.rig(one_server(1, policy));
            let (without, with) = (outcome(&plain, &plan).await, outcome(&observed, &plan).await);
            assert_eq!(without, with);
            assert_eq!(heard.ends().len(), 1);
        });
    }
}

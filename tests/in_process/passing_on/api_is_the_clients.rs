//! Which API a client speaks is told by its own path. Where its endpoint has a prefix, the engine's
//! path may look like that of another.

use http::Request;
use serde_json::Value;
use test_kit::{
    answer::Answer,
    engines::{Act, answers, fails, resets, says, times_out},
    gateway::Rig,
    request::{ASKED, post},
    table::{retries, table},
};
use tower_model_route::{ModelServer, RouteError, RouteTable, Rule, TrafficPolicy};

/// Each looks like a part of an API.
const PREFIXES: [&str; 6] = [
    "/api",
    "/v2/models/x",
    "/v1/messages",
    "/v1beta/models",
    "/model/x",
    "/v1/chat/completions",
];

const PATHS: [&str; 10] = [
    "/rerank",
    "/score",
    "/v1/rerank",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1beta/models/asked:generateContent",
    "/api/chat",
    "/model/asked/converse",
    "/v2/models/asked/infer",
];

/// Two endpoints with this prefix.
fn prefixed(prefix: &str, policy: TrafficPolicy) -> RouteTable {
    let server = ModelServer::new("server")
        .endpoint(format!("http://e0{prefix}"))
        .endpoint(format!("http://e1{prefix}"));
    table(
        [server.traffic_policy(policy)],
        Rule::new("rule").target("server"),
    )
}

#[tokio::test(start_paused = true)]
async fn an_error_from_below_has_the_shape_of_the_clients_path() {
    let acts: [fn() -> Act; 3] = [fails, resets, times_out];
    for prefix in PREFIXES {
        for path in PATHS {
            for act in acts {
                let rig = Rig::new(prefixed(prefix, TrafficPolicy::new()));
                (0..4).for_each(|_| rig.engines.next([act()]));
                let answer = Answer::of(rig.send(post(path, ASKED)).await).await;
                assert!(!rig.engines.attempts().is_empty(), "{prefix} {path}");
                let error: &RouteError = answer.head.extensions.get().unwrap();
                let request = Request::post(path)
                    .header("x-request-id", answer.header("x-request-id").unwrap());
                let own = error.to_response_to(&request.body(()).unwrap());
                let expected: Value = serde_json::from_slice(own.body()).unwrap();
                assert_eq!(answer.json(), expected, "{prefix} {path}");
                for name in ["request-id", "x-amzn-errortype"] {
                    let expected = own.headers().get(name);
                    assert_eq!(answer.headers().get(name), expected, "{prefix} {path}");
                }
            }
        }
    }
}

/// The events of another API would say nothing, or everything, of how the answer begins.
#[tokio::test(start_paused = true)]
async fn an_answer_is_held_for_the_content_of_the_clients_api() {
    const ROLE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    const ERROR: &str =
        "data: {\"error\":{\"message\":\"no\",\"type\":\"InternalServerError\",\"code\":500}}\n\n";
    const WELL: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    for prefix in PREFIXES {
        let rig = Rig::new(prefixed(prefix, retries(1).first_event_gate(true)));
        let stream = |text: &str| says(200, text).header("content-type", "text/event-stream");
        rig.engines.next([stream(&[ROLE, ERROR].concat())]);
        rig.engines.next([stream(WELL)]);
        let request = post("/v1/chat/completions", r#"{"model":"asked","stream":true}"#);
        let answer = Answer::of(rig.send(request).await).await;
        assert_eq!(answer.text(), WELL, "{prefix}");
        assert_eq!(rig.engines.attempts().len(), 2, "{prefix}");
    }
}

/// A rerank may be answered with any type, whatever Ollama's answers are.
#[tokio::test(start_paused = true)]
async fn an_answer_is_not_refused_for_a_type_that_another_api_has_not() {
    for prefix in PREFIXES {
        let rig = Rig::new(prefixed(prefix, retries(1).first_event_gate(true)));
        let (script, body) = test_kit::body::script();
        script.data("bytes").end();
        rig.engines
            .next([answers(200, body).header("content-type", "application/octet-stream")]);
        let answer = Answer::of(rig.send(post("/rerank", ASKED)).await).await;
        assert_eq!(answer.text(), "bytes", "{prefix}");
        assert_eq!(rig.engines.attempts().len(), 1, "{prefix}");
    }
}

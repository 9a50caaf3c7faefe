//! Each way in which a stream of the mock engine fails, in each of its APIs, through the whole stack.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use mock_llm::{Engine, Fault, RunningEngine};
use test_kit::{
    answer::Answer,
    socket::{HttpClient, Server, http_client},
    table::{in_flight, table},
    time::{eventually, within},
};
use tower_model_route::{
    ModelServer, RouteBody, RouteTable, Rule, TrafficPolicy,
    internal::{Dialect, End, Format, Reader},
    stack,
};

const PATHS: [&str; 4] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
];

const FAULTS: [Fault; 5] = [
    Fault::Break,
    Fault::Hang,
    Fault::End,
    Fault::Error(http::StatusCode::SERVICE_UNAVAILABLE),
    Fault::Error(http::StatusCode::INTERNAL_SERVER_ERROR),
];

/// Long enough for an engine that is well on a machine that is busy.
const LONG: Duration = Duration::from_secs(2);

struct Rig {
    faulty: RunningEngine,
    _well: RunningEngine,
    table: RouteTable,
    server: Server,
    client: HttpClient<Body>,
}

impl Rig {
    async fn new(after: usize, fault: Fault, policy: TrafficPolicy) -> Self {
        let engine = || Engine::new("asked").tokens(4);
        let faulty = engine().fault_after(after, fault).spawn().await.unwrap();
        let well = engine().spawn().await.unwrap();
        let server = ModelServer::new("server")
            .endpoints([faulty.url(), well.url()])
            .traffic_policy(policy);
        let table = table([server], Rule::new("rule").target("server"));
        let service = stack(table.clone()).service(http_client::<RouteBody>(false));
        Self {
            faulty,
            _well: well,
            table,
            server: Server::axum(axum::Router::new().fallback_service(service)).await,
            client: http_client(false),
        }
    }

    /// The answer to a request that the faulty engine has had, and how its stream ended.
    async fn ask(&self, path: &str) -> (Answer, End, bool) {
        let before = self.faulty.requests();
        loop {
            let body = r#"{"model":"asked","stream":true,"max_tokens":4,"prompt":"a","input":"a","messages":[{"role":"user","content":"a"}]}"#;
            let request = Request::post(format!("{}{path}", self.server.url()));
            let request = request.body(Body::from(body)).unwrap();
            let answer = within(self.client.request(request)).await.unwrap();
            let answer = within(Answer::of(answer)).await;
            if self.faulty.requests() > before {
                let mut reader = Reader::new(Dialect::of(path), Format::Sse);
                let mut rest = answer.body.as_deref().expect("a message with its end");
                while reader.next(&mut rest).is_some() {}
                let (_, end) = reader.end();
                return (answer, end, reader.error().is_some());
            }
        }
    }
}

#[tokio::test]
async fn before_its_first_content_the_client_does_not_notice() {
    for fault in FAULTS {
        let policy = TrafficPolicy::new()
            .max_retries(1)
            .retry_interval(Duration::from_millis(1))
            .first_event_timeout(LONG);
        let rig = Rig::new(0, fault, policy).await;
        // The engine would be ejected, or set aside.
        let (answer, end, is_error) = rig.ask(PATHS[0]).await;
        assert_eq!(
            (answer.status().as_u16(), end, is_error),
            (200, End::Complete, false),
            "{fault:?}"
        );
        eventually(|| in_flight(&rig.table) == 0).await;
    }
    for path in PATHS {
        let policy = TrafficPolicy::new()
            .max_retries(1)
            .retry_interval(Duration::from_millis(1))
            .first_event_gate(true);
        let rig = Rig::new(0, FAULTS[4], policy).await;
        let (answer, end, is_error) = rig.ask(path).await;
        let expected = (200, End::Complete, false);
        assert_eq!(
            (answer.status().as_u16(), end, is_error),
            expected,
            "{path}"
        );
    }
}

#[tokio::test]
async fn after_it_the_client_learns_of_it() {
    for path in PATHS {
        for fault in FAULTS {
            let policy = TrafficPolicy::new().stream_idle_timeout(LONG / 2);
            let rig = Rig::new(3, fault, policy).await;
            let (answer, end, is_error) = rig.ask(path).await;
            assert_eq!(answer.status(), 200);
            assert!(is_error, "{path} {fault:?}: {:?}", answer.body);
            // The engine's own error passes as it came, which may be with `[DONE]` behind it.
            let is_own = matches!(fault, Fault::Error(_));
            assert!(is_own || end != End::Complete, "{path} {fault:?}");
            eventually(|| in_flight(&rig.table) == 0).await;
            assert_eq!(test_kit::table::failures(&rig.table), 1, "{path} {fault:?}");
        }
    }
}

//! A response, a file or a batch is asked for where it was made.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use test_kit::{
    answer::Answer,
    body::script,
    engines::{Act, Engines, answers, says, status, streams},
    request::post,
};
use tower::{Layer, ServiceExt};
use tower_model_route::{
    EngineState, ModelRoute, ModelRouteLayer, ModelServer, RouteTable, RouteTableBuilder,
    RouteTableHandle, Rule, TrafficPolicy, WithoutModel, stack,
};

const RESPONSES: &str = "/v1/responses";
const ENGINES: [&str; 4] = [
    "http://e0.test",
    "http://e1.test",
    "http://e2.test",
    "http://e3.test",
];

/// The models `m` and `n` are served by ModelServers of their own, with two endpoints each.
fn builder() -> RouteTableBuilder {
    let of = |name: &str, endpoints: &[&str]| {
        (
            ModelServer::new(format!("{name}-server")).endpoints(endpoints.iter().copied()),
            ModelRoute::new(format!("{name}-route"))
                .model_name(name)
                .rule(Rule::new("all").target(format!("{name}-server"))),
        )
    };
    let (m, to_m) = of("m", &ENGINES[..2]);
    let (n, to_n) = of("n", &ENGINES[2..]);
    let builder = RouteTable::builder().model_server(m).model_server(n);
    builder.model_route(to_m).model_route(to_n)
}

/// A gateway and its engines.
struct Gateway {
    handle: RouteTableHandle,
    engines: Engines,
}

impl Gateway {
    fn new(builder: RouteTableBuilder) -> Self {
        Self {
            handle: RouteTableHandle::new(builder.build().unwrap()),
            engines: Engines::default(),
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let layer = stack(ModelRouteLayer::new(self.handle.clone()));
        let service = layer.service(self.engines.service());
        let Ok(answer) = service.oneshot(request).await;
        Answer::of(answer).await
    }

    /// The engine that a request goes to.
    async fn engine(&self, request: Request<Full<Bytes>>) -> String {
        let answer = self.send(request).await;
        assert_eq!(answer.status(), 200, "{:?}", answer.body);
        answer.decision().endpoint().to_owned()
    }

    /// Makes a thing of this id with an answer like `act`, and says where that was.
    async fn make(&self, uri: &str, body: &str, act: Act) -> String {
        self.engines.next([act]);
        self.engine(post(uri, body.to_owned())).await
    }

    async fn respond(&self, model: &str, id: &str) -> String {
        let body = format!(r#"{{"model":"{model}","input":"x"}}"#);
        self.make(RESPONSES, &body, made(id)).await
    }

    /// Whether all requests of many go to one engine, and which.
    async fn all_to(&self, request: impl Fn() -> Request<Full<Bytes>>) -> Option<String> {
        let first = self.engine(request()).await;
        for _ in 0..6 {
            if self.engine(request()).await != first {
                return None;
            }
        }
        Some(first)
    }
}

fn made(id: &str) -> Act {
    let text = format!(r#"{{"id":"{id}","object":"x","output":[{{"id":"msg_1"}}]}}"#);
    says(200, &text).header("content-type", "application/json")
}

fn bare(method: Method, uri: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(uri);
    request.body(Full::default()).unwrap()
}

fn follow_up(model: &str, id: &str) -> Request<Full<Bytes>> {
    let body = format!(r#"{{"model":"{model}","previous_response_id":"{id}","input":"y"}}"#);
    post(RESPONSES, body)
}

#[tokio::test(start_paused = true)]
async fn a_response_is_continued_shown_cancelled_and_deleted_where_it_was_made() {
    let gateway = Gateway::new(builder());
    for (model, id) in [
        ("m", "resp_1"),
        ("n", "resp_2"),
        ("m", "resp_3"),
        ("n", "resp_4"),
    ] {
        let home = Some(gateway.respond(model, id).await);
        assert_eq!(gateway.all_to(|| follow_up(model, id)).await, home);
        for (method, rest) in [
            (Method::GET, ""),
            (Method::GET, "?include[]=x"),
            (Method::GET, "/input_items"),
            (Method::POST, "/cancel"),
            (Method::DELETE, ""),
        ] {
            let uri = format!("{RESPONSES}/{id}{rest}");
            assert_eq!(
                gateway.all_to(|| bare(method.clone(), &uri)).await,
                home,
                "{uri}"
            );
        }
        let answer = gateway
            .send(bare(Method::GET, &format!("{RESPONSES}/{id}")))
            .await;
        assert_eq!(answer.decision().model(), model);
        assert_eq!(answer.decision().requested_model(), "");
    }
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_stream_counts_before_its_end() {
    let gateway = Gateway::new(builder());
    let (engine, body) = script();
    gateway.engines.next([streams(body)]);
    let service = ModelRouteLayer::new(gateway.handle.clone()).layer(gateway.engines.service());
    let request = post(RESPONSES, r#"{"model":"m","stream":true}"#);
    let answer = service.oneshot(request).await.unwrap();
    let mut body = answer.into_body();
    engine.send("event: response.created\ndata: {\"type\":\"response.created\",\"resp");
    engine.send("onse\":{\"id\":\"resp_1\"}}\n\n");
    for _ in 0..2 {
        http_body_util::BodyExt::frame(&mut body)
            .await
            .unwrap()
            .unwrap();
    }
    let home = gateway.all_to(|| follow_up("m", "resp_1")).await;
    assert!(home.is_some());
}

#[tokio::test(start_paused = true)]
async fn files_and_batches_go_together_and_their_output_too() {
    let gateway = Gateway::new(builder().without_model(WithoutModel::Route("m-route".into())));
    let home = gateway.make("/v1/files", "{}", made("file-1")).await;
    let body = r#"{"input_file_id":"file-1","endpoint":"/v1/chat/completions"}"#;
    let of_file = || post("/v1/batches", body);
    assert_eq!(gateway.all_to(of_file).await, Some(home.clone()));
    gateway.make("/v1/batches", body, made("batch_1")).await;
    let done = r#"{"id":"batch_1","output_file_id":"file-2"}"#;
    let done = says(200, done).header("content-type", "application/json");
    gateway.engines.next([done]);
    for uri in [
        "/v1/batches/batch_1",
        "/v1/files/file-1/content",
        "/v1/files/file-2/content",
    ] {
        let asked = gateway.all_to(|| bare(Method::GET, uri)).await;
        assert_eq!(asked, Some(home.clone()), "{uri}");
    }
    assert_eq!(
        gateway
            .all_to(|| bare(Method::GET, "/v1/files/file-3"))
            .await,
        None
    );
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_not_known_goes_where_it_is_said() {
    let shown = || bare(Method::GET, "/v1/responses/resp_0");
    let gateway = Gateway::new(builder());
    assert_eq!(gateway.send(shown()).await.code(), "route_not_found");
    assert_eq!(gateway.all_to(|| follow_up("m", "resp_0")).await, None);
    let routed = builder().without_model(WithoutModel::Route("n-route".into()));
    let answer = Gateway::new(routed).send(shown()).await;
    assert_eq!(answer.decision().model_server(), "n-server");
}

#[tokio::test(start_paused = true)]
async fn if_its_engine_is_gone_or_out_a_sibling_answers() {
    let gateway = Gateway::new(builder());
    let home = gateway.respond("m", "resp_1").await;
    let shown = || bare(Method::GET, "/v1/responses/resp_1");
    gateway.handle.drain(&home).unwrap();
    assert_ne!(gateway.engine(shown()).await, home);
    assert_ne!(gateway.engine(follow_up("m", "resp_1")).await, home);
    gateway.handle.undrain(&home).unwrap();
    assert_eq!(gateway.all_to(shown).await, Some(home.clone()));
    let left = ENGINES[..2]
        .iter()
        .copied()
        .filter(|engine| **engine != *home);
    gateway.handle.set_endpoints("m-server", left).unwrap();
    assert_ne!(gateway.engine(shown()).await, home);
}

#[tokio::test(start_paused = true)]
async fn a_full_engine_says_so_rather_than_that_it_is_not_known() {
    let policy = TrafficPolicy::new().max_in_flight(1);
    let mut builder = builder();
    for server in builder.model_servers_mut() {
        *server = server.clone().traffic_policy(policy.clone());
    }
    let gateway = Arc::new(Gateway::new(builder));
    let home = gateway.respond("m", "resp_1").await;
    let gate = gateway.engines.hold();
    let first = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.engine(follow_up("m", "resp_1")).await }
    });
    tokio::task::yield_now().await;
    let refused = gateway.send(follow_up("m", "resp_1")).await;
    assert_eq!(refused.code(), "overloaded");
    gate.add_permits(10);
    assert_eq!(first.await.unwrap(), home);
}

/// With a queue it waits for that engine, while another is free.
#[tokio::test(start_paused = true)]
async fn a_full_engine_is_waited_for() {
    let policy = TrafficPolicy::new()
        .max_in_flight(1)
        .max_queue(4)
        .queue_timeout(Duration::from_secs(10));
    let mut builder = builder();
    for server in builder.model_servers_mut() {
        *server = server.clone().traffic_policy(policy.clone());
    }
    let gateway = Arc::new(Gateway::new(builder));
    let home = gateway.respond("m", "resp_1").await;
    let gate = gateway.engines.hold();
    let asked: Vec<_> = (0..3)
        .map(|_| {
            let gateway = Arc::clone(&gateway);
            tokio::spawn(async move { gateway.engine(follow_up("m", "resp_1")).await })
        })
        .collect();
    test_kit::paused::settle().await;
    gate.add_permits(10);
    for asked in asked {
        assert_eq!(asked.await.unwrap(), home);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_there_is_no_reason_to_get_in_before_those_who_wait() {
    let policy = TrafficPolicy::new()
        .max_in_flight(1)
        .max_queue(4)
        .queue_timeout(Duration::from_secs(10));
    let server = ModelServer::new("s").endpoint(ENGINES[0]);
    let route = ModelRoute::new("r")
        .model_name("m")
        .rule(Rule::new("all").target("s"));
    let builder = RouteTable::builder().model_server(server.traffic_policy(policy));
    let gateway = Arc::new(Gateway::new(builder.model_route(route)));
    gateway.respond("m", "resp_1").await;
    let start = |request| {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move { gateway.send(request).await.status().as_u16() })
    };
    let other = || post(RESPONSES, r#"{"model":"m","input":"x"}"#);
    let (body, scripted) = script();
    gateway.engines.next([answers(200, scripted)]);
    let held = start(other());
    test_kit::paused::settle().await;
    let waiting = start(other());
    test_kit::paused::settle().await;
    gateway.engines.next([status(201), status(202)]);
    // The later one is there before the first has been woken.
    body.end();
    let later = start(follow_up("m", "resp_1"));
    assert_eq!(waiting.await.unwrap(), 201);
    assert_eq!(later.await.unwrap(), 202);
    assert_eq!(held.await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn ids_carry_over_reloads_and_expire() {
    let hour = Duration::from_secs(3600);
    let state = EngineState::new().kept_for(hour);
    let gateway = Gateway::new(builder().engine_state(state.clone()));
    let home = Some(gateway.respond("m", "resp_1").await);
    gateway
        .handle
        .replace(builder().engine_state(state).build().unwrap());
    assert_eq!(gateway.all_to(|| follow_up("m", "resp_1")).await, home);
    tokio::time::advance(hour).await;
    assert_eq!(gateway.all_to(|| follow_up("m", "resp_1")).await, None);
    let off = Gateway::new(builder().engine_state(EngineState::off()));
    off.respond("m", "resp_1").await;
    assert_eq!(off.all_to(|| follow_up("m", "resp_1")).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_success_or_no_json_is_not_looked_at() {
    let gateway = Gateway::new(builder());
    let text = r#"{"id":"resp_1"}"#;
    gateway
        .make(RESPONSES, r#"{"model":"m"}"#, says(200, text))
        .await;
    gateway
        .engines
        .next([says(400, text).header("content-type", "application/json")]);
    gateway.send(post(RESPONSES, r#"{"model":"m"}"#)).await;
    assert_eq!(gateway.all_to(|| follow_up("m", "resp_1")).await, None);
}

#[tokio::test(start_paused = true)]
async fn explanations_say_where_it_is_kept() {
    let gateway = Gateway::new(builder());
    let home = gateway.respond("n", "resp_1").await;
    let (head, _) = bare(Method::GET, "/v1/responses/resp_1").into_parts();
    let explanation = gateway.handle.table().explain_request(&head, b"").unwrap();
    assert_eq!(explanation.kept_at(), Some(&*home));
    assert_eq!(explanation.route(), Some("n-route"));
    assert!(explanation.to_string().contains(&home));
}

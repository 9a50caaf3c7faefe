//! Each engine gets the headers of its own ModelServer, and the key of no other.

use axum::body::Body;
use http::{Request, StatusCode};
use test_kit::{
    engines::{Attempt, status},
    gateway::Rig,
    request::ASKED,
    table::{retries, table},
};
use tower_model_route::{ModelServer, Rule};

fn server(name: &str) -> ModelServer {
    ModelServer::new(name)
        .endpoint(format!("http://{name}"))
        .traffic_policy(retries(5))
}

/// What three engines get of a request with these fields, of which the first two can't serve it.
async fn sent(fields: &[(&str, &str)]) -> Vec<Attempt> {
    let servers = [
        server("first")
            .header("Authorization", "Bearer one")
            .header("x-tenant", "t"),
        server("second"),
        server("third").header("authorization", "Bearer three"),
    ];
    let rule = Rule::new("rule")
        .target("first")
        .fallback("second")
        .fallback("third");
    let rig = Rig::new(table(servers, rule));
    rig.engines.next([status(503), status(503)]);
    let mut request = Request::post("/v1/chat/completions");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let answer = rig.send(request.body(Body::from(ASKED)).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    rig.engines.attempts()
}

fn values(attempts: &[Attempt], name: &str) -> Vec<Vec<String>> {
    let values = |attempt: &Attempt| {
        let values = attempt.head.headers.get_all(name).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    };
    attempts.iter().map(values).collect()
}

#[tokio::test(start_paused = true)]
async fn a_client_without_the_header() {
    let attempts = sent(&[]).await;
    let none: Vec<&str> = vec![];
    assert_eq!(
        values(&attempts, "authorization"),
        [vec!["Bearer one"], none.clone(), vec!["Bearer three"]]
    );
    assert_eq!(
        values(&attempts, "x-tenant"),
        [vec!["t"], none.clone(), none]
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_with_fields_of_its_own_that_come_back() {
    let fields = [
        ("authorization", "Bearer mine"),
        ("x-tenant", "a"),
        ("x-tenant", "b"),
    ];
    let attempts = sent(&fields).await;
    assert_eq!(
        values(&attempts, "authorization"),
        [["Bearer one"], ["Bearer mine"], ["Bearer three"]]
    );
    assert_eq!(
        values(&attempts, "x-tenant"),
        [vec!["t"], vec!["a", "b"], vec!["a", "b"]]
    );
}

//! Each engine gets the headers of its own ModelServer, and the key of no other.

use axum::body::Body;
use http::{HeaderName, Request, StatusCode};
use test_kit::{
    engines::{Attempt, status},
    gateway::Rig,
    request::ASKED,
    table::{retries, table},
};
use tower_model_route::{ModelRouteLayer, ModelServer, ModelSources, Rule};

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

/// What comes back for the next engine is not the name by which the client asks for the model.
#[tokio::test(start_paused = true)]
async fn one_that_also_names_the_model() {
    const NAME: HeaderName = HeaderName::from_static("x-model");
    let servers = [
        server("first").header("x-model", "fixed"),
        server("second").model("org/second"),
    ];
    let rule = Rule::new("rule").target("first").fallback("second");
    let rig = Rig::with(table(servers, rule), |table| {
        let sources = ModelSources::standard().and_header(NAME);
        ModelRouteLayer::new(table).extract_model(sources)
    });
    rig.engines.next([status(503)]);
    let request = Request::post("/v1/chat/completions").header(NAME, "asked");
    rig.send(request.body(Body::from(ASKED)).unwrap()).await;
    assert_eq!(
        values(&rig.engines.attempts(), "x-model"),
        [["fixed"], ["org/second"]]
    );
}

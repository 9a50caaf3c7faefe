//! Which of a ModelServer's endpoints a request gets.

use std::collections::HashMap;

use test_kit::{decision::any, request::head};
use tower_model_route::{Balance, Endpoint, HashKey, ModelRoute, ModelServer, RouteTable, Rule};

fn table(server: ModelServer) -> RouteTable {
    let rule = Rule::new("all").target("s");
    RouteTable::builder()
        .model_server(server)
        .model_route(ModelRoute::new("r").model_name("m").rule(rule))
        .build()
        .unwrap()
}

fn servers(balance: Balance, endpoints: usize) -> RouteTable {
    let uris = (0..endpoints).map(|i| format!("http://h{i}"));
    table(ModelServer::new("s").endpoints(uris).balance(balance))
}

fn of_session(table: &RouteTable, session: &str) -> String {
    let head = head("/v1/chat/completions", &[("x-session", session)]);
    table.decide(&head, "m").unwrap().endpoint().to_owned()
}

#[test]
fn turns_are_in_proportion_to_the_weights() {
    for balance in [Balance::LeastRequest, Balance::RoundRobin] {
        let server = ModelServer::new("s")
            .endpoint(Endpoint::new("http://a").weight(3))
            .endpoint("http://b")
            .balance(balance);
        let table = table(server);
        for _ in 0..10 {
            let mut counts = HashMap::new();
            for _ in 0..4 {
                let decision = table.decide(&any(), "m").unwrap();
                *counts.entry(decision.endpoint().to_owned()).or_insert(0) += 1;
            }
            assert_eq!(
                counts,
                HashMap::from([("http://a".into(), 3), ("http://b".into(), 1)])
            );
        }
    }
}

#[test]
fn a_session_keeps_its_endpoint_and_moves_only_if_that_goes() {
    let by_session = || Balance::ConsistentHash(HashKey::Header("X-Session".to_owned()).into());
    let (before, after) = (servers(by_session(), 8), servers(by_session(), 7));
    let mut moved = 0;
    for session in 0..1000 {
        let session = format!("session-{session}");
        let endpoint = of_session(&before, &session);
        assert_eq!(of_session(&before, &session), endpoint);
        if endpoint == "http://h7" {
            moved += 1;
        } else {
            assert_eq!(of_session(&after, &session), endpoint);
        }
    }
    assert!((50..250).contains(&moved), "{moved} of 1000");
}

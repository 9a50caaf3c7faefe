//! Where the endpoint of a key can't take a request.

use std::collections::HashMap;

use http::StatusCode;
use tower_model_route::{Balance, ConsistentHash, HashKey, RouteDecision, Spill};

use super::users::{ENDPOINTS, Gateway, endpoint_of, of_user, uri};

fn by_user() -> Gateway {
    Gateway::balanced(Balance::ConsistentHash(HashKey::User.into()))
}

#[tokio::test]
async fn a_retry_goes_elsewhere_and_for_one_key_always_to_the_same() {
    let gateway = by_user();
    for user in 0..20 {
        let own = gateway.ask(of_user(user, 0)).await;
        let mut second = None;
        for nth in 1..4 {
            let gateway = by_user();
            gateway.engines.fill(&own);
            let answer = gateway.send(of_user(user, nth)).await;
            let endpoint = endpoint_of(&answer);
            let decision = answer.extensions().get::<RouteDecision>().unwrap();
            assert_eq!(decision.attempts(), 2);
            assert_ne!(endpoint, own);
            assert_eq!(*second.get_or_insert_with(|| endpoint.clone()), endpoint);
            assert_eq!(gateway.engines.count(&own), 1);
        }
    }
}

#[tokio::test]
async fn no_endpoint_is_asked_twice_for_one_request() {
    let gateway = by_user();
    (0..ENDPOINTS).for_each(|endpoint| gateway.engines.fill(&uri(endpoint)));
    let answer = gateway.send(of_user(1, 0)).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let counts: Vec<_> = (0..ENDPOINTS)
        .map(|endpoint| gateway.engines.count(&uri(endpoint)))
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), 3);
    assert!(counts.iter().all(|&count| count <= 1));
}

/// An endpoint has at most a quarter more than its share of what is in flight.
#[tokio::test]
async fn a_hot_key_spills_over_and_comes_back() {
    let without_floor = ConsistentHash::by(HashKey::User).spill(Spill::AboveRequests(0));
    let gateway = Gateway::balanced(Balance::ConsistentHash(without_floor));
    let own = gateway.ask(of_user(1, 0)).await;
    let mut answers = Vec::new();
    let mut counts = HashMap::<String, usize>::new();
    for nth in 1..=400 {
        let answer = gateway.send(of_user(1, nth % 10)).await;
        *counts.entry(endpoint_of(&answer)).or_default() += 1;
        answers.push(answer);
        let bound = (nth as f64 / ENDPOINTS as f64 * 1.25).ceil() as usize;
        assert!(counts.values().all(|&count| count <= bound), "{counts:?}");
    }
    // Nor does it take more of them than it needs.
    assert_eq!(counts.len(), 7);
    drop(answers);
    for nth in 0..10 {
        assert_eq!(gateway.ask(of_user(1, nth)).await, own);
    }
}

/// The load of others does not move a key as long as its own endpoint has room.
#[tokio::test]
async fn others_in_flight_do_not_move_it() {
    let gateway = by_user();
    let own = gateway.ask(of_user(1, 0)).await;
    let mut answers = Vec::new();
    for user in 2.. {
        let answer = gateway.send(of_user(user, 0)).await;
        if endpoint_of(&answer) != own {
            answers.push(answer);
        }
        if answers.len() == 40 {
            break;
        }
    }
    assert_eq!(gateway.ask(of_user(1, 1)).await, own);
}

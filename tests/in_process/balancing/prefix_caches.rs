//! `Balance::PrefixCache`: a request goes where the beginning of its prompt was before.

use std::collections::HashSet;

use test_kit::{
    body::script,
    engines::{answers, status},
};
use tower_model_route::{Balance, ModelServer, PrefixCache, RouteTableHandle, Rule, stack};

use super::{chat, endpoint_of, rig};

fn cached() -> Balance {
    Balance::PrefixCache(PrefixCache::new())
}

/// The conversation so far: each turn has some two blocks.
fn turns(conversation: usize, turns: usize) -> Vec<String> {
    let turn = |turn| format!("{conversation} {turn} ").repeat(200);
    (0..turns).map(turn).collect()
}

#[tokio::test(start_paused = true)]
async fn each_turn_goes_where_the_last_one_was() {
    let rig = rig(4, cached());
    let mut homes = Vec::new();
    // Another number than a multiple of the endpoints, which would come round by turns too.
    for conversation in 0..21 {
        homes.push(endpoint_of(&rig.send(chat(&turns(conversation, 1))).await));
    }
    assert_eq!(homes.iter().collect::<HashSet<_>>().len(), 4);
    for turn in 2..6 {
        for (conversation, home) in homes.iter().enumerate() {
            let answer = rig.send(chat(&turns(conversation, turn))).await;
            assert_eq!(endpoint_of(&answer), *home, "{conversation} {turn}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_branches_off_finds_the_part_it_shares() {
    let rig = rig(4, cached());
    let home = endpoint_of(&rig.send(chat(&turns(1, 5))).await);
    for branch in 0..10 {
        let mut messages = turns(1, 3);
        messages.extend(turns(100 + branch, 2));
        assert_eq!(endpoint_of(&rig.send(chat(&messages)).await), home);
    }
}

#[tokio::test(start_paused = true)]
async fn a_home_that_is_full_of_work_is_left() {
    let rig = rig(2, cached());
    let home = endpoint_of(&rig.send(chat(&turns(1, 1))).await);
    let mut held = Vec::new();
    let mut left = false;
    // Each of these is new to the engine beyond the first turn, and so counts.
    for nth in 0..20 {
        let (_, body) = script();
        rig.engines.next([answers(200, body)]);
        let mut messages = turns(1, 1);
        messages.extend(turns(1000 + nth, 8));
        let answer = rig.send(chat(&messages)).await;
        left |= endpoint_of(&answer) != home;
        held.push(answer);
    }
    assert!(left);
}

/// What engines have outlives a reload that adds an endpoint.
#[tokio::test(start_paused = true)]
async fn what_was_seen_is_carried_over() {
    let table = |endpoints: &[&str]| {
        let server = ModelServer::new("server").endpoints(endpoints.iter().copied());
        test_kit::table::table(
            [server.balance(cached())],
            Rule::new("rule").target("server"),
        )
    };
    let handle = RouteTableHandle::new(table(&["http://a", "http://b"]));
    let engines = test_kit::engines::Engines::default();
    let service = stack(handle.clone()).service(engines.service());
    let ask = async |conversation, count| {
        let request = chat(&turns(conversation, count));
        let answer = tower::ServiceExt::oneshot(service.clone(), request).await;
        endpoint_of(&answer.unwrap())
    };
    let mut homes = Vec::new();
    for conversation in 0..10 {
        homes.push(ask(conversation, 1).await);
    }
    handle.replace(table(&["http://c", "http://b", "http://a"]));
    for (conversation, home) in homes.iter().enumerate() {
        assert_eq!(ask(conversation, 2).await, *home);
    }
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_nobody_has_seen_goes_by_load() {
    let rig = rig(2, cached());
    let (_script, body) = script();
    rig.engines.next([answers(200, body)]);
    let busy = rig.send(chat(&turns(1, 4))).await;
    for conversation in 2..10 {
        let answer = rig.send(chat(&turns(conversation, 1))).await;
        assert_ne!(endpoint_of(&answer), endpoint_of(&busy));
    }
    rig.engines.next([status(200)]);
    assert_ne!(
        endpoint_of(&rig.send(chat(&["hi".into()])).await),
        endpoint_of(&busy)
    );
}

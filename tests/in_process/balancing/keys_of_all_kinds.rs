//! Keys from an ordered list of sources, and affinity that holds while the load is low.

use std::collections::HashSet;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use test_kit::{body::script, engines::answers, request::chat_of};
use tower_model_route::{AffinityKeys, Balance, ConsistentHash, HashKey, Spill};

use super::{endpoint_of, rig};

type Keyed = fn(usize) -> Request<Full<Bytes>>;

fn body(member: &str) -> Request<Full<Bytes>> {
    chat_of(format!(r#"{{"model":"asked","messages":[],{member}}}"#))
}

fn plain() -> Request<Full<Bytes>> {
    body(r#""n":1"#)
}

fn all() -> Vec<(HashKey, Keyed)> {
    vec![
        (HashKey::Query("sid".into()), |key| {
            let mut request = plain();
            let uri = format!("/v1/chat/completions?a=b&sid=s{key}");
            *request.uri_mut() = uri.parse().unwrap();
            request
        }),
        (HashKey::Cookie("sid".into()), |key| {
            let mut request = plain();
            let cookie = format!("a=b; sid=s{key}").parse().unwrap();
            request.headers_mut().insert("cookie", cookie);
            request
        }),
        (HashKey::Extension("sub".into()), |key| {
            let mut request = plain();
            let keys = AffinityKeys::new().with("sub", key.to_string());
            request.extensions_mut().insert(keys);
            request
        }),
        (HashKey::PromptCacheKey, |key| {
            body(&format!(r#""prompt_cache_key":"k{key}""#))
        }),
        (HashKey::Conversation, |key| match key % 2 {
            0 => body(&format!(r#""conversation":"c{key}""#)),
            _ => body(&format!(r#""conversation":{{"id":"c{key}"}}"#)),
        }),
    ]
}

#[tokio::test(start_paused = true)]
async fn each_kind_keeps_its_requests_together() {
    for (key, request) in all() {
        let rig = rig(4, Balance::ConsistentHash(key.clone().into()));
        let mut homes = HashSet::new();
        for nth in 0..30 {
            let home = endpoint_of(&rig.send(request(nth)).await);
            for _ in 0..3 {
                assert_eq!(endpoint_of(&rig.send(request(nth)).await), home, "{key:?}");
            }
            homes.insert(home);
        }
        assert_eq!(homes.len(), 4, "{key:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_that_is_there_counts() {
    let by = ConsistentHash::by(HashKey::Header("x-session".into()))
        .or_by(HashKey::PromptCacheKey)
        .or_by(HashKey::User);
    let rig = rig(8, Balance::ConsistentHash(by));
    let of = |header: &'static str, key: &str, user: &str| {
        let member = format!(r#""user":"{user}","prompt_cache_key":"{key}""#);
        let mut request = body(&member);
        let header = http::HeaderValue::from_static(header);
        request.headers_mut().insert("x-session", header);
        request
    };
    let mut by_user = HashSet::new();
    for user in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let at = async |header, key| endpoint_of(&rig.send(of(header, key, user)).await);
        assert_eq!(at("s", "k").await, at("s", "other").await);
        assert_eq!(at("", "k").await, at("", "k").await);
        by_user.insert(at("", "").await);
    }
    assert!(by_user.len() > 2, "{by_user:?}");
}

/// Four sessions over four idle endpoints, each with some requests at a time.
#[tokio::test(start_paused = true)]
async fn at_low_load_no_turn_leaves_its_endpoint() {
    for spill in [
        Spill::default(),
        Spill::AboveTokens(100_000),
        Spill::Never,
        Spill::AboveRequests(0),
    ] {
        let by = ConsistentHash::by(HashKey::User).spill(spill);
        let rig = rig(4, Balance::ConsistentHash(by));
        let mut homes = vec![HashSet::new(); 4];
        for _ in 0..10 {
            let mut held = Vec::new();
            for (session, homes) in homes.iter_mut().enumerate() {
                for _ in 0..2 {
                    let (_, scripted) = script();
                    rig.engines.next([answers(200, scripted)]);
                    let request = body(&format!(r#""user":"u{session}""#));
                    let answer = rig.send(request).await;
                    homes.insert(endpoint_of(&answer));
                    held.push(answer);
                }
            }
        }
        let stays = homes.iter().all(|homes| homes.len() == 1);
        assert_eq!(stays, spill != Spill::AboveRequests(0), "{spill:?}");
    }
}

/// One key with many requests at a time.
#[tokio::test(start_paused = true)]
async fn above_the_floor_it_spills_unless_it_is_strict() {
    for (spill, leaves_after) in [
        (Spill::default(), Some(16)),
        (Spill::AboveRequests(3), Some(3)),
        // Each has a prompt of 14 tokens, and an eighth of 256: four are below.
        (Spill::AboveTokens(200), Some(5)),
        (Spill::Never, None),
    ] {
        let by = ConsistentHash::by(HashKey::User).spill(spill);
        let rig = rig(4, Balance::ConsistentHash(by));
        let mut held = Vec::new();
        for _ in 0..40 {
            let (_, scripted) = script();
            rig.engines
                .next([answers(200, scripted).late(crate::SECOND)]);
            held.push(rig.start(body(r#""user":"u""#)));
            test_kit::paused::settle().await;
        }
        let hosts = rig.engines.hosts();
        let left = hosts.iter().position(|host| *host != hosts[0]);
        assert_eq!(left, leaves_after, "{spill:?}");
    }
}

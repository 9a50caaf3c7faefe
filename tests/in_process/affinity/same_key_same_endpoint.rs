//! By what requests belong together.

use std::{collections::HashSet, net::SocketAddr};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tower_model_route::{Balance, HashKey};

use super::users::{ENDPOINTS, Gateway, chat, of_user, post};

/// Requests of one key, different as they are, go to one endpoint, and those of many keys to all;
/// a second gateway with the same table does the same.
async fn assert_by_key(balance: Balance, request: impl Fn(usize, usize) -> Request<Full<Bytes>>) {
    let gateways = [(); 2].map(|()| Gateway::balanced(balance.clone()));
    let mut all = HashSet::new();
    for key in 0..100 {
        let endpoint = gateways[0].ask(request(key, 0)).await;
        for nth in 1..4 {
            for gateway in &gateways {
                assert_eq!(gateway.ask(request(key, nth)).await, endpoint);
            }
        }
        all.insert(endpoint);
    }
    assert_eq!(all.len(), ENDPOINTS);
}

#[tokio::test]
async fn the_user() {
    assert_by_key(Balance::ConsistentHash(HashKey::User.into()), of_user).await;
}

#[tokio::test]
async fn anthropics_user() {
    assert_by_key(
        Balance::ConsistentHash(HashKey::User.into()),
        |user, nth| {
            let rest = format!(r#""max_tokens":{nth},"metadata":{{"a":1,"user_id":"{user}"}}"#);
            let mut request = chat(&rest);
            *request.uri_mut() = "/v1/messages".parse().unwrap();
            request
        },
    )
    .await;
}

#[tokio::test]
async fn the_session() {
    assert_by_key(
        Balance::ConsistentHash(HashKey::SessionId.into()),
        |session, nth| {
            let user = r#""user":"the same""#;
            chat(&format!(r#""session_id":"s-{session}",{user},"n":{nth}"#))
        },
    )
    .await;
}

#[tokio::test]
async fn a_header() {
    let by_header = Balance::ConsistentHash(HashKey::Header("X-Session".into()).into());
    assert_by_key(by_header, |session, nth| {
        let mut request = chat(&format!(r#""n":{nth}"#));
        let value = session.to_string().parse().unwrap();
        request.headers_mut().insert("x-session", value);
        request
    })
    .await;
}

/// The port is another for each connection.
#[tokio::test]
async fn the_clients_address() {
    assert_by_key(
        Balance::ConsistentHash(HashKey::ClientAddr.into()),
        |client, nth| {
            let mut request = chat(&format!(r#""n":{nth}"#));
            let ip = format!("10.0.0.{client}");
            let addr = match nth % 2 {
                0 => format!("{ip}:{}", 1000 + nth),
                _ => format!("[::ffff:{ip}]:{}", 1000 + nth),
            };
            let addr: SocketAddr = addr.parse().unwrap();
            request.extensions_mut().insert(addr);
            request
        },
    )
    .await;
}

/// It grows, turn by turn, and what else is asked for changes.
#[tokio::test]
async fn the_conversation() {
    assert_by_key(Balance::PrefixHash(1024.into()), |conversation, turns| {
        let mut messages = vec![
            json!({"role": "system", "content": "be brief"}),
            json!({"role": "user", "content": format!("tell me about {conversation}")}),
        ];
        for turn in 0..turns {
            messages.push(json!({"role": "assistant", "content": "well"}));
            messages.push(json!({"role": "user", "content": format!("go on {turn}")}));
        }
        let body = json!({"temperature": turns, "messages": messages, "model": "asked"});
        post(body.to_string())
    })
    .await;
}

/// What is beyond the prefix, or in the same system prompt, does not tell conversations apart.
#[tokio::test]
async fn no_more_of_it_than_the_prefix() {
    let gateway = Gateway::balanced(Balance::PrefixHash(8.into()));
    let mut all = HashSet::new();
    for nth in 0..20 {
        let rest = format!(r#""messages":[{{"role":"user","content":"beginning {nth}"}}]"#);
        all.insert(gateway.ask(chat(&rest)).await);
    }
    assert_eq!(all.len(), 1);
}

/// An escape, or white space, says nothing else.
#[tokio::test]
async fn however_it_is_written() {
    let gateway = Gateway::balanced(Balance::ConsistentHash(HashKey::User.into()));
    for user in 0..20 {
        let endpoint = gateway.ask(chat(&format!(r#""user":"u{user}""#))).await;
        let escaped = format!(" \"us\\u0065r\" :\n \"\\u0075{user}\" ");
        assert_eq!(gateway.ask(chat(&escaped)).await, endpoint);
    }
}

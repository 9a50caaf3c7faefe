//! Bytes both ways, each as it comes.

use test_kit::time::within;
use tower_model_route::TrafficPolicy;

use super::{
    Rig,
    frames::{BINARY, CLOSE, PING, PONG, Side, TEXT},
    policy,
};

#[tokio::test]
async fn frames_pass_both_ways_through_hyper_and_axum() {
    for is_axum in [false, true] {
        let rig = Rig::new(is_axum, policy()).await;
        let (mut client, mut engine) = rig.session().await;
        // The engine has said it with its 101.
        assert_eq!(client.hears().await, (TEXT, b"created".to_vec()));
        for turn in 0..20 {
            let asked = format!("question {turn}");
            client.says(TEXT, asked.as_bytes()).await;
            assert_eq!(engine.hears().await, (TEXT, asked.into_bytes()));
            let answer = vec![turn; 100 * usize::from(turn)];
            engine.says(BINARY, &answer).await;
            assert_eq!(client.hears().await, (BINARY, answer));
        }
        engine.says(PING, b"x").await;
        assert_eq!(client.hears().await, (PING, b"x".to_vec()));
        client.says(PONG, b"x").await;
        assert_eq!(engine.hears().await, (PONG, b"x".to_vec()));
        client.says(CLOSE, &[3, 232]).await;
        assert_eq!(engine.hears().await, (CLOSE, vec![3, 232]));
        engine.says(CLOSE, &[3, 232]).await;
        drop(engine);
        assert_eq!(client.hears().await, (CLOSE, vec![3, 232]));
        assert!(client.is_at_end().await);
        rig.is_idle().await;
    }
}

/// Far more than any buffer, both ways at once.
#[tokio::test]
async fn megabytes_pass_both_ways_at_once() {
    let rig = Rig::new(false, policy()).await;
    let (mut client, mut engine) = rig.session().await;
    assert_eq!(client.hears().await.0, TEXT);
    let much: Vec<u8> = (0..5_000_000_u32).map(|i| (i % 251) as u8).collect();
    client.says(TEXT, b"go").await;
    assert_eq!(engine.hears().await.1, b"go");
    // Each writes all before it reads, and 64 KiB at a time, so that the other can.
    for piece in much.chunks(50_000) {
        tokio::join!(client.says(BINARY, piece), engine.says(BINARY, piece));
        let (down, up) = tokio::join!(client.hears(), engine.hears());
        assert!(down.1 == piece && up.1 == piece);
    }
    tokio::join!(
        async {
            client.says(BINARY, &much).await;
            assert!(client.hears().await.1 == much);
        },
        async {
            assert!(engine.hears().await.1 == much);
            engine.says(BINARY, &much).await;
        }
    );
}

/// What one side has sent before it ended reaches the other, which may still answer.
#[tokio::test]
async fn the_end_of_either_side_reaches_the_other() {
    let rig = Rig::new(false, policy()).await;
    let (mut client, mut engine) = rig.session().await;
    client.says(TEXT, b"last").await;
    client.shut_down().await;
    assert_eq!(engine.hears().await.1, b"last");
    assert!(engine.is_at_end().await);
    engine.says(TEXT, b"answer").await;
    drop(engine);
    assert_eq!(client.hears().await.1, b"created");
    assert_eq!(client.hears().await.1, b"answer");
    assert!(client.is_at_end().await);
    rig.is_idle().await;

    let (mut client, mut engine) = rig.session().await;
    engine.says(TEXT, b"last").await;
    engine.shut_down().await;
    assert_eq!(client.hears().await.1, b"created");
    assert_eq!(client.hears().await.1, b"last");
    assert!(client.is_at_end().await);
    drop(client);
    assert!(engine.is_at_end().await);
    rig.is_idle().await;
}

/// `h2c` would be a tunnel past every rule. The request goes on without it.
#[tokio::test]
async fn no_other_protocol_is_asked_for() {
    for protocol in ["h2c", "TLS/1.0", "websocketx", "h2c, x"] {
        let rig = Rig::new(false, policy()).await;
        let mut client = Side::connect(rig.server.address).await;
        client.asks(protocol).await;
        let mut engine = rig.engine().await;
        let head = engine.head().await;
        assert!(!head.contains("upgrade"), "{head}");
        engine
            .write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn an_engine_that_switches_to_another_protocol_is_not_passed_on() {
    let rig = Rig::new(false, TrafficPolicy::new()).await;
    let mut client = Side::connect(rig.server.address).await;
    client.asks("websocket, h2c").await;
    let mut engine = rig.engine().await;
    engine.head().await;
    engine.accepts("h2c").await;
    let head = within(client.head()).await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert!(!head.contains("upgrade"), "{head}");
    rig.is_idle().await;
}

#[tokio::test]
async fn a_refusal_is_an_answer_like_any_other() {
    let rig = Rig::new(true, policy()).await;
    let mut client = Side::connect(rig.server.address).await;
    client.asks("websocket").await;
    let mut engine = rig.engine().await;
    engine.head().await;
    engine.refuses().await;
    assert!(client.head().await.starts_with("HTTP/1.1 403 "));
    // The client's connection is still one of HTTP.
    client.asks("websocket").await;
    engine.head().await;
    engine.accepts("websocket").await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(client.hears().await.1, b"created");
    assert_eq!(rig.in_flight(), 1);
}

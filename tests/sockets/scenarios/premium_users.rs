//! Premium users get the large model, everyone else the small one.

use super::{
    ask::{Ask, KINDS},
    engines::{Engines, LARGE, SMALL},
    gateway::{Gateway, WAYS},
};

#[tokio::test]
async fn premium_users_get_the_large_model_and_others_fall_back() {
    let engines = Engines::spawn().await;
    let users: [(&[(&str, &str)], &str); 7] = [
        (&[("user-type", "premium")], LARGE),
        (&[("User-Type", "premium")], LARGE),
        (&[("user-type", "free"), ("user-type", "premium")], LARGE),
        (&[("user-type", "Premium")], SMALL),
        (&[("user-type", "free")], SMALL),
        (&[("user-type", "")], SMALL),
        (&[], SMALL),
    ];
    for way in WAYS {
        let gateway = Gateway::spawn(way, engines.table()).await;
        for (headers, model) in users {
            for (chat, stream) in KINDS {
                let ask = Ask {
                    model: "deepseek-multi-models",
                    chat,
                    stream,
                    headers,
                };
                let answer = ask.answer(&gateway).await;
                ask.assert_answered(&answer, model);
            }
        }
    }
    assert_eq!(engines.large.requests(), 3 * 4 * 4);
    assert_eq!(engines.requests(), 7 * 4 * 4);
}

/// The header travels on: the engine sees what the client sent.
#[tokio::test]
async fn the_header_reaches_the_engine() {
    let engines = Engines::spawn().await;
    let gateway = Gateway::spawn(WAYS[0], engines.table()).await;
    let ask = Ask {
        model: "deepseek-multi-models",
        chat: true,
        stream: false,
        headers: &[("user-type", "premium"), ("authorization", "Bearer key")],
    };
    ask.answer(&gateway).await;
    let received = engines.large.last_request().unwrap();
    assert_eq!(received.headers["user-type"], "premium");
    assert_eq!(received.headers["authorization"], "Bearer key");
}

//! One name, one ModelServer, whose engines know the model by another name.

use super::{
    ask::{Ask, KINDS, engine},
    engines::{Engines, SMALL},
    gateway::{Gateway, WAYS},
};

#[tokio::test]
async fn it_reaches_the_engines_under_their_name() {
    let engines = Engines::spawn().await;
    for way in WAYS {
        let gateway = Gateway::spawn(way, engines.table()).await;
        for (chat, stream) in KINDS {
            let ask = Ask {
                model: "deepseek-simple",
                chat,
                stream,
                headers: &[],
            };
            let answer = ask.answer(&gateway).await;
            ask.assert_answered(&answer, SMALL);

            let asked = if engine(answer.headers()) == "small-1" {
                0
            } else {
                1
            };
            let engine = &engines.small[asked];
            let received = engine.last_request().unwrap();
            assert_eq!(received.uri, ask.path());
            let body = ask.body(SMALL);
            assert_eq!(received.body, body, "{way:?}");
            // What has a length keeps it: no chunks, and no length of the client's.
            assert_eq!(received.headers["content-length"], body.len().to_string());
            assert!(!received.headers.contains_key("transfer-encoding"));
            assert_eq!(received.headers["host"], engine.addr().to_string());
        }
        assert_eq!(gateway.in_flight(), 0);
    }
}

#[tokio::test]
async fn its_endpoints_take_turns() {
    let engines = Engines::spawn().await;
    for way in WAYS {
        let gateway = Gateway::spawn(way, engines.table()).await;
        let before = engines.small.each_ref().map(|engine| engine.requests());
        for _ in 0..6 {
            let ask = Ask {
                model: "deepseek-simple",
                chat: true,
                stream: false,
                headers: &[],
            };
            ask.answer(&gateway).await;
        }
        let after = engines.small.each_ref().map(|engine| engine.requests());
        assert_eq!(
            [after[0] - before[0], after[1] - before[1]],
            [3, 3],
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn an_unknown_model_reaches_no_engine() {
    let engines = Engines::spawn().await;
    for way in WAYS {
        let gateway = Gateway::spawn(way, engines.table()).await;
        let ask = Ask {
            model: "gpt-unknown",
            chat: true,
            stream: true,
            headers: &[],
        };
        let answer = ask.answer(&gateway).await;
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert!(
            answer.text().contains("model_not_found"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(engines.requests(), 0);
}

/// An engine that is gone is a 502 with an explanation, and not a broken connection.
#[tokio::test]
async fn an_engine_that_is_gone_is_a_502() {
    let engines = Engines::spawn().await;
    let table = engines.table();
    drop(engines);
    for way in WAYS {
        let gateway = Gateway::spawn(way, table.clone()).await;
        let ask = Ask {
            model: "deepseek-simple",
            chat: true,
            stream: false,
            headers: &[],
        };
        let answer = ask.answer(&gateway).await;
        assert_eq!(answer.status(), 502);
        assert!(
            answer.text().contains("upstream_unreachable"),
            "{}",
            answer.text()
        );
        assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
        assert_eq!(gateway.in_flight(), 0);
    }
}

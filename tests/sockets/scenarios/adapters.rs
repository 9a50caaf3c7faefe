//! Adapters are asked for under their own names, their base model is not.

use super::{
    ask::{Ask, KINDS},
    engines::{Engines, SMALL},
    gateway::{Gateway, WAYS},
};

#[tokio::test]
async fn an_adapters_body_is_forwarded_byte_for_byte() {
    let engines = Engines::spawn().await;
    for way in WAYS {
        let gateway = Gateway::spawn(way, engines.table()).await;
        for (chat, stream) in KINDS {
            for model in ["lora-A", "lora-B"] {
                let ask = Ask {
                    model,
                    chat,
                    stream,
                    headers: &[],
                };
                let before = engines.small[0].requests();
                let answer = ask.answer(&gateway).await;
                ask.assert_answered(&answer, model);
                let engine = usize::from(engines.small[0].requests() == before);
                let received = engines.small[engine].last_request().unwrap();
                assert_eq!(received.body, ask.body(model), "{way:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_base_model_is_rewritten_like_any_other() {
    let engines = Engines::spawn().await;
    for way in WAYS {
        let gateway = Gateway::spawn(way, engines.table()).await;
        for (chat, stream) in KINDS {
            let ask = Ask {
                model: "deepseek-lora",
                chat,
                stream,
                headers: &[],
            };
            let answer = ask.answer(&gateway).await;
            ask.assert_answered(&answer, SMALL);
        }
    }
}

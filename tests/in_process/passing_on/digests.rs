//! What a client says of its bytes is not said of others.

use test_kit::{
    gateway::Rig,
    request::chat_of,
    table::{of_each_kind, simple},
};

const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

#[tokio::test(start_paused = true)]
async fn digests_go_with_the_bytes_that_they_are_of() {
    for (table, model, arrive) in [
        (simple(), "asked", false),
        (of_each_kind("http://engine:8000"), "plain", true),
    ] {
        let rig = Rig::new(table);
        let mut request = chat_of(format!(r#"{{"model":"{model}"}}"#));
        for name in DIGESTS {
            let value = "sha-256=:x:".parse().unwrap();
            request.headers_mut().insert(name, value);
        }
        assert_eq!(rig.send(request).await.status(), 200);
        let attempts = rig.engines.attempts();
        for name in DIGESTS {
            assert_eq!(attempts[0].header(name).is_some(), arrive, "{name} {model}");
        }
    }
}

//! `Balance::custom`: a choice of one's own, with what the built-in ones see.

use std::sync::{Arc, Mutex};

use test_kit::{body::script, engines::answers};
use tower_model_route::{Balance, Candidate, ChooseEndpoint, EndpointRequest, RequestHead};

use super::{chat, endpoint_of, rig};

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl ChooseEndpoint for Seen {
    fn counts_tokens(&self) -> bool {
        true
    }

    fn key(&self, head: &RequestHead<'_>) -> Option<u64> {
        assert_eq!(head.model(), "real");
        let value = head.headers().get("x-to")?;
        value.to_str().ok()?.parse().ok()
    }

    fn choose(&self, request: &EndpointRequest<'_>, all: &[Candidate<'_>]) -> Option<usize> {
        let seen = all.iter().map(|candidate| {
            let (uri, in_flight) = (candidate.uri(), candidate.in_flight());
            format!("{uri} {in_flight} {}", candidate.tokens())
        });
        let (prompt, output) = (request.prompt_tokens(), request.output_tokens());
        let seen = seen.collect::<Vec<_>>().join(", ");
        let model = request.model();
        let all = format!("{model} {prompt} {output}: {seen}");
        self.0.lock().unwrap().push(all);
        request.key().map(|key| key as usize)
    }
}

#[tokio::test(start_paused = true)]
async fn it_sees_what_the_built_in_ones_see() {
    let seen = Seen::default();
    let rig = rig(2, Balance::custom("own", seen.clone()));
    let mut held = Vec::new();
    for to in ["1", "1", "0"] {
        let (_, body) = script();
        rig.engines.next([answers(200, body)]);
        let mut request = chat(&["x".repeat(1000)]);
        request.headers_mut().insert("x-to", to.parse().unwrap());
        held.push(rig.send(request).await);
    }
    let went: Vec<_> = held.iter().map(endpoint_of).collect();
    assert_eq!(went, ["http://e1", "http://e1", "http://e0"]);
    // 1,075 bytes at 4 a token. An answer is expected to have 256; once it has begun, as each of
    // these has, an eighth of that counts.
    assert_eq!(
        *seen.0.lock().unwrap(),
        [
            "real 269 256: http://e0 0 0, http://e1 0 0",
            "real 269 256: http://e0 0 0, http://e1 1 32",
            "real 269 256: http://e0 0 0, http://e1 2 64",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn without_its_choice_the_load_decides() {
    let rig = rig(2, Balance::custom("own", Seen::default()));
    let (_script, body) = script();
    rig.engines.next([answers(200, body)]);
    let busy = rig.send(chat(&["hello".into()])).await;
    for to in [None, Some("17")] {
        let mut request = chat(&["hello".into()]);
        if let Some(to) = to {
            request.headers_mut().insert("x-to", to.parse().unwrap());
        }
        assert_ne!(endpoint_of(&rig.send(request).await), endpoint_of(&busy));
    }
}

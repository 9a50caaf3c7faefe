//! Questions to the gateway, and what came back.

use axum::body::Body;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;
use test_kit::{answer::Answer, time::within};

use super::gateway::Gateway;

/// A question to a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) model: &'a str,
    pub(super) chat: bool,
    pub(super) stream: bool,
    pub(super) headers: &'a [(&'a str, &'a str)],
}

/// Whether a chat or a completion, and whether streamed: every kind of question.
pub(super) const KINDS: [(bool, bool); 4] =
    [(true, true), (true, false), (false, true), (false, false)];

impl Ask<'_> {
    /// The body, with what a careless proxy would change: spaces, an escape, a big number, a
    /// second `model` further down, and the model not at the beginning.
    pub(super) fn body(&self, model: &str) -> String {
        let Self { chat, stream, .. } = self;
        let input = if *chat {
            r#""messages": [ {"role":"user","content":"caf\u00e9 \"model\": 1"} ]"#
        } else {
            r#""prompt":"caf\u00e9 \"model\": 1""#
        };
        format!(
            "{{ {input},\t\"seed\":12345678901234567890123,\n\"model\" : \"{model}\" , \
             \"metadata\":{{\"model\":\"another\"}}, \"stream\":{stream}}}\n"
        )
    }

    pub(super) fn path(&self) -> &'static str {
        if self.chat {
            "/v1/chat/completions"
        } else {
            "/v1/completions"
        }
    }

    pub(super) async fn send(&self, gateway: &Gateway) -> Response<Incoming> {
        let mut request = Request::post(format!("{}{}", gateway.url, self.path()))
            .header("content-type", "application/json");
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(self.body(self.model))).unwrap();
        within(gateway.client.request(request)).await.unwrap()
    }

    pub(super) async fn answer(&self, gateway: &Gateway) -> Answer {
        within(Answer::of(self.send(gateway).await)).await
    }

    /// Asserts that the engine of `model` has answered what it was asked.
    #[track_caller]
    pub(super) fn assert_answered(&self, answer: &Answer, model: &str) {
        assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.body);
        let text = if self.stream {
            self.streamed_text(answer)
        } else {
            self.text(&serde_json::from_str(answer.text()).unwrap(), "message")
        };
        assert_eq!(text, format!("This is simulated message from {model}!"));
    }

    fn streamed_text(&self, answer: &Answer) -> String {
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        let mut events: Vec<_> = answer.text().split_terminator("\n\n").collect();
        assert_eq!(events.pop(), Some("data: [DONE]"));
        assert!(events.len() > 4, "there is an event for each token");
        events
            .iter()
            .map(|event| {
                let chunk = event.strip_prefix("data: ").unwrap();
                self.text(&serde_json::from_str(chunk).unwrap(), "delta")
            })
            .collect()
    }

    fn text(&self, answer: &Value, message: &str) -> String {
        let choice = &answer["choices"][0];
        let text = if self.chat {
            &choice[message]["content"]
        } else {
            &choice["text"]
        };
        text.as_str().unwrap_or_default().to_owned()
    }
}

/// The engine that has answered, by its label.
pub(super) fn engine(headers: &HeaderMap) -> &str {
    headers["x-mock-engine"].to_str().unwrap()
}

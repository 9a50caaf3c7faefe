//! Answers as streams of events: what an attempt is worth, and how the client learns of the end.

mod bytes_pass;
mod ends_honestly;
mod first_event_decides;
mod late_first_events;
mod progress_not_bytes;
mod waiting_clients_get_comments;
mod what_is_read_out;

use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use test_kit::{
    body::{Script, script},
    engines::{Act, answers},
    gateway::Rig,
};

/// The dialects in which a stream can end badly: the path, an event that is the role alone, one
/// with content, one that ends the stream.
#[derive(Debug)]
struct Dialect {
    path: &'static str,
    start: &'static str,
    content: &'static str,
    terminal: &'static str,
    ping: &'static str,
}

const CHAT: Dialect = Dialect {
    path: "/v1/chat/completions",
    start: "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    content: "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n",
    terminal: "data: [DONE]\n\n",
    ping: ": keep-alive\n\n",
};

const MESSAGES: Dialect = Dialect {
    path: "/v1/messages",
    start: "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[]}}\n\n",
    content: "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n",
    terminal: "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ping: "event: ping\ndata: {\"type\": \"ping\"}\n\n",
};

const RESPONSES: Dialect = Dialect {
    path: "/v1/responses",
    start: "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\n",
    content: "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n",
    terminal: "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\"}}\n\n",
    ping: ": keep-alive\n\n",
};

const OLLAMA: Dialect = Dialect {
    path: "/api/chat",
    start: "",
    content: "{\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"done\":false}\n",
    terminal: "{\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true}\n",
    ping: "",
};

const GEMINI: Dialect = Dialect {
    path: "/v1beta/models/asked:streamGenerateContent?alt=sse",
    start: "data: {\"responseId\":\"r\"}\n\n",
    content: "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]}}]}\n\n",
    terminal: "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}]},\"finishReason\":\"STOP\"}]}\n\n",
    ping: "\n",
};

const ALL: [&Dialect; 5] = [&CHAT, &MESSAGES, &RESPONSES, &OLLAMA, &GEMINI];

impl Dialect {
    fn request(&self) -> Request<Body> {
        let body = r#"{"model":"asked","stream":true}"#;
        Request::post(self.path).body(Body::from(body)).unwrap()
    }

    fn content_type(&self) -> &'static str {
        match self.path {
            "/api/chat" => "application/x-ndjson",
            _ => "text/event-stream; charset=utf-8",
        }
    }

    /// An answer that has begun, and what feeds it.
    fn stream(&self) -> (Script, Act) {
        let (script, body) = script();
        let answer = answers(200, body).header("content-type", self.content_type());
        (script, answer)
    }

    /// An answer of these parts, which then ends.
    fn says(&self, parts: &[&'static str]) -> Act {
        let (script, act) = self.stream();
        parts.iter().for_each(|part| _ = script.data(*part));
        script.end();
        act
    }

    /// The answer to its request, and all of its body.
    async fn ask(&self, rig: &Rig) -> (Response<()>, Result<String, String>) {
        read(rig.send(self.request()).await).await
    }
}

async fn read(answer: Response<Body>) -> (Response<()>, Result<String, String>) {
    let (head, body) = answer.into_parts();
    let body = test_kit::paused::within(body.collect()).await;
    let text = body.map(|body| String::from_utf8(body.to_bytes().to_vec()).unwrap());
    (
        Response::from_parts(head, ()),
        text.map_err(|error| error.to_string()),
    )
}

const SECOND: Duration = Duration::from_secs(1);

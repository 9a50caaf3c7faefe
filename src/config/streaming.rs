//! The options of a policy about streamed answers.

use std::time::Duration;

use super::{on_interruption::OnInterruption, traffic_policy::TrafficPolicy};

impl TrafficPolicy {
    /// Holds an answer back until its first *content* event, so that an attempt that accepts a
    /// request and then fails can still be followed by another. Off by default.
    ///
    /// Content is text, reasoning or a tool call; an answer that is not streamed is content
    /// from its first byte. Before its first content, an attempt counts as failed
    /// - if the first event is an error, with the status that it carries: a vLLM that is full or
    ///   whose core has died answers 200 and then reports it in the stream.
    ///   [`retry_statuses`](Self::retry_statuses) decides whether another attempt follows; a 5xx
    ///   other than 500, 502, 503, 504 and 529 counts as an attempt without an answer;
    /// - if the stream ends without an event;
    /// - if the answer has a `Content-Type` that was not asked for: one that the API never has,
    ///   such as HTML from a proxy, JSON for a stream, or a stream for JSON. (Whether the request
    ///   asks for a stream is known only if its whole body had arrived when it was sent.)
    ///
    /// If there is no other endpoint to try, the client gets that status and the engine's
    /// error, not the 200. At most 64 KiB are held back; beyond that the answer is passed on.
    ///
    /// It is enforced by the [`AttemptTimeoutLayer`](crate::AttemptTimeoutLayer).
    pub fn first_event_gate(mut self, on: bool) -> Self {
        self.streaming.first_event_gate = on;
        self
    }

    /// The time, from the attempt's start, after which an attempt without a first content
    /// event counts as a failure of its endpoint; the attempt goes on. Off by default, and
    /// if zero.
    ///
    /// A reasoning model may be silent for minutes if its engine does not stream the
    /// reasoning.
    pub fn first_event_slow(mut self, time: Duration) -> Self {
        self.streaming.first_event_slow = unless_zero(time);
        self
    }

    /// How long an attempt may take until its first content event, counted from its start; then
    /// it has timed out, and another may follow. If none is left, the client gets a 504. Off by
    /// default, and if zero.
    ///
    /// It implies the [`first_event_gate`](Self::first_event_gate). See
    /// [`first_event_slow`](Self::first_event_slow) about reasoning models.
    pub fn first_event_timeout(mut self, time: Duration) -> Self {
        self.streaming.first_event_timeout = unless_zero(time);
        self
    }

    /// The longest time that an answer may go without progress once it has begun; then
    /// it is interrupted. 5 minutes by default; zero is no limit.
    ///
    /// Progress of a stream of events is a content event, a finish reason, or the terminal event.
    /// Comments, pings and deltas without content are not progress: an engine whose core hangs, or
    /// a proxy in front of it, may send them forever. In any other answer, every byte is progress.
    ///
    /// Only time in which the client waits for the engine counts: a client that reads slowly is not
    /// cut off, and one that reads nothing holds its place as long as its connection lasts. A
    /// WebSocket session ends when both sides have been silent for this long.
    ///
    /// The default is finite because a vLLM that gets SIGTERM leaves its answers open and
    /// silent (measured with 0.32). Raise it for models that reason in silence for longer.
    pub fn stream_idle_timeout(mut self, timeout: Duration) -> Self {
        self.streaming.stream_idle_timeout = unless_zero(timeout);
        self
    }

    /// The time without anything from the engine after which the client gets a comment (the
    /// first one with the head of the answer), and another after each further such time. Off by
    /// default, and if zero; 10 s is a good value if proxies or clients give up on silent
    /// connections.
    ///
    /// This is done only for requests with `"stream": true` in an API whose streams are known
    /// (chat, completions, responses, Anthropic's messages, Gemini), and whose client does not
    /// exclude `text/event-stream`. The interval is that of the ModelServer that is asked first.
    /// The comment is `: keep-alive`, in Anthropic's dialect `event: ping`, and in Gemini's an
    /// empty line, since Google's SDKs can't read comments. The head (200, `text/event-stream`) is
    /// then the router's own, sent before the engine's is known, without the engine's headers.
    /// Further attempts are still possible after it; if all fail, the client gets an error event
    /// with the status. Engines are asked for uncompressed events (`Accept-Encoding: identity`).
    pub fn sse_keepalive(mut self, interval: Duration) -> Self {
        self.streaming.sse_keepalive = unless_zero(interval);
        self
    }

    /// Makes engines report the usage of streamed chats and completions even if the client has not
    /// asked for it, and hides the report from that client. Off by default.
    ///
    /// `stream_options.include_usage` is written into the request, and the event that has only the
    /// usage is removed from the answer; no other byte changes. This is done if the body is JSON
    /// that fits into [`replay_bytes`](crate::ModelRouteLayer::replay_bytes) and asks for a stream
    /// in OpenAI's API; other APIs report usage unasked. An engine that sends `"usage": null` in
    /// its other events does so here too. An incomplete event is held back until its end, up to 64
    /// KiB.
    pub fn force_usage(mut self, on: bool) -> Self {
        self.streaming.force_usage = on;
        self
    }

    /// What the client sees of a stream that breaks off, makes no progress for too long, or ends
    /// without its terminal event (`[DONE]`, `message_stop`, `response.completed`, a finish
    /// reason): [`OnInterruption::Event`] by default.
    ///
    /// In every case the failure counts against the endpoint. The engine's own error event is
    /// passed on unchanged and counts as well, and no second one follows.
    pub fn on_interruption(mut self, what: OnInterruption) -> Self {
        self.streaming.on_interruption = what;
        self
    }

    /// Whether answers are held back until their first content event.
    pub fn get_first_event_gate(&self) -> bool {
        self.streaming.first_event_gate
    }

    /// Whether answers are held back until their first content event, or until that is too late.
    pub(crate) fn holds_first_event(&self) -> bool {
        self.streaming.first_event_gate || self.streaming.first_event_timeout.is_some()
    }

    /// The time after which a missing first event counts as a failure.
    pub fn get_first_event_slow(&self) -> Option<Duration> {
        self.streaming.first_event_slow
    }

    /// How long an attempt may take until its first event.
    pub fn get_first_event_timeout(&self) -> Option<Duration> {
        self.streaming.first_event_timeout
    }

    /// The longest time without progress in an answer.
    pub fn get_stream_idle_timeout(&self) -> Option<Duration> {
        self.streaming.stream_idle_timeout
    }

    /// The time between comments to a client that waits.
    pub fn get_sse_keepalive(&self) -> Option<Duration> {
        self.streaming.sse_keepalive
    }

    /// Whether engines are asked for usage if the client did not ask.
    pub fn get_force_usage(&self) -> bool {
        self.streaming.force_usage
    }

    /// What the client sees of an interrupted stream.
    pub fn get_on_interruption(&self) -> OnInterruption {
        self.streaming.on_interruption
    }
}

fn unless_zero(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

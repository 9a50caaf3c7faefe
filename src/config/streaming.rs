//! The options of a policy about streamed answers.

use std::time::Duration;

use super::{on_interruption::OnInterruption, traffic_policy::TrafficPolicy};

impl TrafficPolicy {
    /// Holds an answer back until its first *content* event, so that an attempt that accepts a
    /// request and then fails can still be followed by another. Off by default.
    ///
    /// Content is text, reasoning, a tool call; an answer that is not streamed is content from
    /// its first byte. Before it an attempt counts as failed
    /// - if the first event is an error, under the status that it carries: a vLLM that is full or
    ///   whose core has died answers 200 and then says so in the stream. Whether another attempt
    ///   follows is said by the [`retry_statuses`](Self::retry_statuses); a status from 501 on that no
    ///   engine answers with (not 502 to 504, nor 529) counts as an attempt without an answer;
    /// - if the stream ends without an event;
    /// - if the answer has a `Content-Type` that was not asked for: one that the API never has, such
    ///   as a proxy's HTML, JSON for a stream, a stream for JSON. (Whether the request asks for a
    ///   stream is known if its body was whole when it was sent.)
    ///
    /// If nothing is left to ask, the client gets that status and the engine's error, not the
    /// 200. What is held is at most 64 KiB; with more the answer is passed on.
    ///
    /// It is enforced by the [`AttemptTimeoutLayer`](crate::AttemptTimeoutLayer).
    pub fn first_event_gate(mut self, on: bool) -> Self {
        self.streaming.first_event_gate = on;
        self
    }

    /// After which time without a first content event the attempt counts as a failure of its
    /// endpoint, while it goes on; counted from the attempt's start. Off by default, and if
    /// zero.
    ///
    /// A model that reasons may be silent for minutes if the engine keeps its reasoning to
    /// itself.
    pub fn first_event_slow(mut self, time: Duration) -> Self {
        self.streaming.first_event_slow = unless_zero(time);
        self
    }

    /// How long an attempt may take until its first content event, counted from its start; then
    /// it has timed out, and another may follow. With nothing left the client gets a 504. Off by
    /// default, and if zero.
    ///
    /// It implies the [`first_event_gate`](Self::first_event_gate). See
    /// [`first_event_slow`](Self::first_event_slow) on models that reason.
    pub fn first_event_timeout(mut self, time: Duration) -> Self {
        self.streaming.first_event_timeout = unless_zero(time);
        self
    }

    /// The longest time in which an answer that has begun makes no progress; then it is
    /// interrupted. 5 minutes by default; zero is no limit.
    ///
    /// Progress of a stream of events is a content event, a finish reason, or the terminal event.
    /// Comments, pings and deltas without content are none: an engine whose core hangs, or a proxy before it,
    /// may send them for ever. Progress of any other answer is any byte.
    ///
    /// Only time in which the client waits for the engine counts: a client that reads slowly
    /// is not cut off, and one that takes nothing holds its place as long as its connection lasts. A WebSocket session ends when neither side has said anything for this
    /// long.
    ///
    /// The default is finite because a vLLM that gets SIGTERM leaves its answers open and
    /// silent (measured with 0.32). Raise it for models that reason for longer without a word.
    pub fn stream_idle_timeout(mut self, timeout: Duration) -> Self {
        self.streaming.stream_idle_timeout = unless_zero(timeout);
        self
    }

    /// After how long without anything from the engine the client gets a comment, at first
    /// with the head of the answer, and then again after each such time. Off by default, and if
    /// zero; 10 s is a good value where proxies or clients give up on silent connections.
    ///
    /// It is done only for requests with `"stream": true` in an API whose streams are known (chat,
    /// completions, responses, Anthropic's messages, Gemini), and whose client does not exclude
    /// `text/event-stream`. The interval is that of the ModelServer that is asked first. The comment is `: keep-alive`, in Anthropic's dialect `event: ping`, and
    /// in Gemini's an empty line, since Google's SDKs read no comments. The head (200,
    /// `text/event-stream`) is then the router's own, sent before the engine's is known, without
    /// the engine's fields. Further attempts remain possible after it; if all fail, the client gets
    /// an error event that has their status. Engines are asked for plain events
    /// (`Accept-Encoding: identity`).
    pub fn sse_keepalive(mut self, interval: Duration) -> Self {
        self.streaming.sse_keepalive = unless_zero(interval);
        self
    }

    /// Has engines report the usage of streamed chats and completions also where the client has not
    /// asked for it, and hides the report from that client. Off by default.
    ///
    /// `stream_options.include_usage` is written into the request, and the event that has only the
    /// usage is taken out of the answer: every other byte stays as it is. It is done if the body is
    /// JSON that fits into [`replay_bytes`](crate::ModelRouteLayer::replay_bytes) and asks
    /// for a stream in OpenAI's API; other APIs report usage unasked. An engine that sends
    /// `"usage": null` in its other events does so here too. What of an event has come is held
    /// until its end, up to 64 KiB.
    pub fn force_usage(mut self, on: bool) -> Self {
        self.streaming.force_usage = on;
        self
    }

    /// What the client sees of a stream that breaks off, makes no progress for too long, or ends
    /// without its terminal event (`[DONE]`, `message_stop`, `response.completed`, a finish
    /// reason): [`OnInterruption::Event`] by default.
    ///
    /// In any case the failure counts against the endpoint. An error event of the engine's own
    /// passes as it came, counts as well, and no second one follows.
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

    /// From when on a missing first event counts as a failure.
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

    /// Whether usage is asked for in the client's stead.
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

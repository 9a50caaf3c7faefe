//! An engine like vLLM: chunked prefill, first come first served, and decoding in one batch.
//!
//! A step takes every answer forward by a token and computes as much of the prompts as its budget
//! leaves. What it does not have: preemption (a request is admitted only with room for its whole
//! answer), attention that grows with the context, speculation.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use tokio::{
    sync::{Notify, mpsc::UnboundedSender},
    time::{Instant, sleep_until},
};

use crate::{
    kv::{BLOCK, Kv},
    trace::Turn,
};

/// Some 390,000 tokens.
pub const KV_BLOCKS: usize = 24_576;
/// Of a prompt, alone: a large model on one node.
const PREFILL_TOKENS_PER_SECOND: f64 = 10_000.0;
/// `max_num_batched_tokens`
const STEP_TOKENS: usize = 2048;
/// `max_num_seqs`
const MOST_RUNNING: usize = 128;
const STEP: f64 = 0.015;
/// What a step takes longer for each answer in it.
const STEP_PER_ANSWER: f64 = 0.000_2;

#[derive(Default)]
pub struct Engine {
    state: Mutex<Option<State>>,
    bell: Notify,
}

struct State {
    waiting: VecDeque<Job>,
    running: Vec<Job>,
    kv: Kv,
}

/// A request in the engine.
struct Job {
    turn: Arc<Turn>,
    answer: UnboundedSender<Bytes>,
    /// Tokens of the prompt, computed now or before.
    computed: usize,
    /// What this step computes of it.
    chunk: usize,
    /// Tokens of the answer.
    written: usize,
    /// Its blocks that are not computed.
    reserved: usize,
}

impl Job {
    fn left(&self) -> usize {
        self.turn.prompt - self.computed
    }
}

impl Engine {
    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(self.state().get_or_insert_with(|| State {
            waiting: VecDeque::new(),
            running: Vec::new(),
            kv: Kv::new(KV_BLOCKS),
        }))
    }

    /// A request has arrived; its answer goes there.
    pub fn begin(&self, turn: Arc<Turn>, answer: UnboundedSender<Bytes>) {
        self.with(|state| {
            state.waiting.push_back(Job {
                turn,
                answer,
                computed: 0,
                chunk: 0,
                written: 0,
                reserved: 0,
            });
        });
        self.bell.notify_one();
    }

    /// Works for ever.
    pub async fn run(self: Arc<Self>) {
        let mut now = Instant::now();
        loop {
            match self.with(State::begin_step) {
                Some(time) => {
                    // By its own clock, since tokio's ends sleeps at whole milliseconds.
                    now += time;
                    sleep_until(now).await;
                    self.with(State::end_step);
                }
                None => {
                    self.bell.notified().await;
                    now = Instant::now();
                }
            }
        }
    }

    /// When a request that came now would have its first content, if none came after it: for the
    /// oracle.
    pub fn foresee(&self, turn: &Turn) -> Duration {
        self.with(|state| {
            let before = state.running.iter().chain(&state.waiting).map(Job::left);
            let tokens = before.sum::<usize>() + turn.prompt - state.cached(turn);
            let answers = state.running.iter().filter(|job| job.left() == 0).count();
            let steps = tokens.div_ceil(STEP_TOKENS);
            time(steps as f64, answers, tokens)
        })
    }
}

impl State {
    /// How many tokens of the prompt need not be computed: never the last.
    fn cached(&self, turn: &Turn) -> usize {
        let whole = (turn.prompt - 1) / BLOCK;
        self.kv.matched(&turn.chain[..whole]) * BLOCK
    }

    fn begin_step(&mut self) -> Option<Duration> {
        let answers = self.running.iter().filter(|job| job.left() == 0).count();
        let mut budget = STEP_TOKENS.saturating_sub(answers);
        for job in &mut self.running {
            job.chunk = job.left().min(budget);
            budget -= job.chunk;
        }
        while budget > 0
            && self.running.len() < MOST_RUNNING
            && let Some(mut job) = self.waiting.pop_front()
        {
            if !self.admit(&mut job) {
                self.waiting.push_front(job);
                break;
            }
            job.chunk = job.left().min(budget);
            budget -= job.chunk;
            self.running.push(job);
        }
        let tokens = self.running.iter().map(|job| job.chunk).sum();
        (!self.running.is_empty()).then(|| time(1.0, answers, tokens))
    }

    fn admit(&mut self, job: &mut Job) -> bool {
        let cached = self.cached(&job.turn);
        let blocks = (job.turn.prompt + job.turn.output).div_ceil(BLOCK);
        let reserved = blocks - cached / BLOCK;
        if !self.kv.take(&job.turn.chain[..cached / BLOCK], reserved) {
            return false;
        }
        (job.computed, job.reserved) = (cached, reserved);
        job.turn.admitted(cached);
        true
    }

    fn end_step(&mut self) {
        let kv = &mut self.kv;
        self.running.retain_mut(|job| {
            let before = job.computed + job.written;
            if job.left() == 0 {
                job.written += 1;
            } else {
                job.computed += job.chunk;
                job.written = usize::from(job.left() == 0);
            }
            let blocks = before / BLOCK..(job.computed + job.written) / BLOCK;
            job.reserved -= blocks.len();
            let blocks = &job.turn.chain[blocks];
            blocks.iter().for_each(|&block| kv.computed(block));

            // Who does not listen has gone away.
            if job.written == 1 && job.chunk > 0 {
                _ = job.answer.send(Bytes::from_static(CONTENT.as_bytes()));
            }
            job.chunk = 0;
            let has_ended = job.written == job.turn.output;
            if has_ended {
                _ = job.answer.send(end(&job.turn));
                let blocks = (job.computed + job.written) / BLOCK;
                kv.end(&job.turn.chain[..blocks], job.reserved);
            }
            !has_ended
        });
    }
}

fn time(steps: f64, answers: usize, tokens: usize) -> Duration {
    let each = STEP + STEP_PER_ANSWER * answers as f64;
    Duration::from_secs_f64(steps * each + tokens as f64 / PREFILL_TOKENS_PER_SECOND)
}

/// The answer's first event.
pub const CONTENT: &str =
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"The\"}}]}\n\n";

fn end(turn: &Turn) -> Bytes {
    let (prompt, output) = (turn.prompt, turn.output);
    let finish = r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let usage = format!(
        r#"{{"id":"c","choices":[],"usage":{{"prompt_tokens":{prompt},"completion_tokens":{output},"total_tokens":{}}}}}"#,
        prompt + output
    );
    format!("data: {finish}\n\ndata: {usage}\n\ndata: [DONE]\n\n").into()
}

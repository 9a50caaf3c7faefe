//! What clients send: generated, the same from the same seed.

use std::{
    hash::{DefaultHasher, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use fastrand::Rng;

use crate::kv::BLOCK;

/// Bytes of text that are a token.
const TOKEN: usize = 4;

pub struct Trace {
    pub name: &'static str,
    pub engines: usize,
    pub sessions: Vec<Session>,
}

/// Each turn is sent when the answer of the one before has been read.
pub struct Session {
    pub start: Duration,
    pub turns: Vec<Arc<Turn>>,
}

pub struct Turn {
    pub body: Bytes,
    /// How long the user takes to send it.
    pub think: Duration,
    /// In tokens.
    pub prompt: usize,
    pub output: usize,
    /// The hashes of the KV blocks of prompt and answer.
    pub chain: Arc<[u64]>,
    /// Of the last run, how many tokens its engine had in the cache.
    cached: AtomicUsize,
}

impl Turn {
    pub fn admitted(&self, cached: usize) {
        self.cached.store(cached, Ordering::Relaxed);
    }

    pub fn cached(&self) -> usize {
        self.cached.load(Ordering::Relaxed)
    }
}

impl Trace {
    /// Conversations of several turns, each with one of eight long system prompts.
    pub fn chat(name: &'static str, seconds: f64, rate: f64) -> Self {
        let mut rng = Rng::with_seed(1);
        let systems = systems(&mut rng);
        let starts = arrivals(&mut rng, seconds, rate);
        let sessions = starts
            .map(|(start, mut rng)| conversation(&mut rng, &systems, start))
            .collect();
        Self::over_eight(name, sessions)
    }

    /// The same conversations, of which many begin at once every half minute.
    pub fn bursts(name: &'static str, seconds: f64, rate: f64) -> Self {
        let mut rng = Rng::with_seed(2);
        let systems = systems(&mut rng);
        let starts = arrivals(&mut rng, seconds, rate);
        let sessions = starts
            .map(|(start, mut rng)| {
                let burst = (start / 30.0).floor() * 30.0;
                let start = match rng.f64() < 0.6 {
                    true => burst + rng.f64(),
                    false => start,
                };
                conversation(&mut rng, &systems, start)
            })
            .collect();
        Self::over_eight(name, sessions)
    }

    /// Single requests: short ones, and a share that are a document of 20,000 to 120,000 tokens.
    pub fn mixed(name: &'static str, seconds: f64, rate: f64, documents: f64) -> Self {
        let mut rng = Rng::with_seed(3);
        let starts = arrivals(&mut rng, seconds, rate);
        let sessions = starts
            .map(|(start, mut rng)| {
                let prompt = match rng.f64() < documents {
                    true => rng.usize(20_000..120_000),
                    false => around(&mut rng, 400.0, 100..2000),
                };
                let mut talk = Talk::new(&text(&mut rng, 30));
                let (question, output) = (text(&mut rng, prompt), around(&mut rng, 150.0, 20..600));
                let answer = text(&mut rng, output);
                talk.turn(&question, &answer, Duration::ZERO);
                talk.session(start)
            })
            .collect();
        Self::over_eight(name, sessions)
    }

    /// Four sessions over four engines that have nothing else to do.
    pub fn four(name: &'static str, turns: usize) -> Self {
        let mut rng = Rng::with_seed(4);
        let systems = systems(&mut rng);
        let sessions = (0..4).map(|_| {
            let mut talk = Talk::new(&systems[0]);
            for _ in 0..turns {
                next_turn(&mut talk, &mut rng, 2.0);
            }
            talk.session(rng.f64() * 3.0)
        });
        Self {
            name,
            engines: 4,
            sessions: sessions.collect(),
        }
    }

    fn over_eight(name: &'static str, sessions: Vec<Session>) -> Self {
        Self {
            name,
            engines: 8,
            sessions,
        }
    }

    pub fn turns(&self) -> impl Iterator<Item = &Arc<Turn>> {
        self.sessions.iter().flat_map(|session| &session.turns)
    }
}

fn systems(rng: &mut Rng) -> Vec<String> {
    let system = |rng: &mut Rng| {
        let tokens = rng.usize(800..3000);
        text(rng, tokens)
    };
    (0..8).map(|_| system(rng)).collect()
}

fn conversation(rng: &mut Rng, systems: &[String], start: f64) -> Session {
    // Some applications have more users than others.
    let system = (rng.f64().powi(2) * systems.len() as f64) as usize;
    let mut talk = Talk::new(&systems[system]);
    for _ in 0..around(rng, 5.0, 1..25) {
        next_turn(&mut talk, rng, 12.0);
    }
    talk.session(start)
}

fn next_turn(talk: &mut Talk, rng: &mut Rng, think: f64) {
    let question = around(rng, 120.0, 8..2500);
    let answer = around(rng, 220.0, 16..900);
    let (question, answer) = (text(rng, question), text(rng, answer));
    let think = Duration::from_secs_f64(2.0 + exponential(rng) * think);
    talk.turn(&question, &answer, think);
}

/// A conversation while it is made.
struct Talk {
    /// As the client writes it.
    messages: String,
    /// As the engine reads it.
    template: String,
    chain: Vec<u64>,
    turns: Vec<Arc<Turn>>,
}

impl Talk {
    fn new(system: &str) -> Self {
        let mut talk = Self {
            messages: String::new(),
            template: String::new(),
            chain: Vec::new(),
            turns: Vec::new(),
        };
        talk.say("system", system);
        talk
    }

    fn say(&mut self, role: &str, text: &str) {
        if !self.messages.is_empty() {
            self.messages.push(',');
        }
        self.messages += &format!(r#"{{"role":"{role}","content":"{text}"}}"#);
        self.template += &format!("<|im_start|>{role}\n{text}<|im_end|>\n");
    }

    fn turn(&mut self, question: &str, answer: &str, think: Duration) {
        self.say("user", question);
        let messages = &self.messages;
        let body = format!(
            r#"{{"model":"m","stream":true,"stream_options":{{"include_usage":true}},"max_tokens":1024,"messages":[{messages}]}}"#
        );
        let prompt = self.template.len() / TOKEN;
        self.say("assistant", answer);
        let output = self.template.len() / TOKEN - prompt;
        let known = self.chain.len() * BLOCK * TOKEN;
        for block in self.template.as_bytes()[known..].chunks_exact(BLOCK * TOKEN) {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(self.chain.last().copied().unwrap_or(0));
            hasher.write(block);
            self.chain.push(hasher.finish());
        }
        self.turns.push(Arc::new(Turn {
            body: body.into(),
            think,
            prompt,
            output,
            chain: self.chain.as_slice().into(),
            cached: AtomicUsize::new(0),
        }));
    }

    fn session(self, start: f64) -> Session {
        Session {
            start: Duration::from_secs_f64(start),
            turns: self.turns,
        }
    }
}

/// So many a second, independent of each other: when each is, and chance of its own, so that what
/// one does changes none of the others.
fn arrivals(rng: &mut Rng, seconds: f64, rate: f64) -> impl Iterator<Item = (f64, Rng)> + use<> {
    let mut rng = rng.fork();
    let mut at = 0.0;
    std::iter::from_fn(move || {
        at += exponential(&mut rng) / rate;
        (at < seconds).then(|| (at, rng.fork()))
    })
}

fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

/// Log-normal, with this median.
fn around(rng: &mut Rng, median: f64, range: std::ops::Range<usize>) -> usize {
    // The sum of twelve is nearly normal.
    let normal = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
    let value = median * (0.8 * normal).exp();
    (value as usize).clamp(range.start, range.end)
}

/// Words, of so many tokens.
fn text(rng: &mut Rng, tokens: usize) -> String {
    let mut text = String::with_capacity(tokens * TOKEN + 8);
    while text.len() < tokens * TOKEN {
        for _ in 0..rng.usize(2..8) {
            text.push(rng.lowercase());
        }
        text.push(' ');
    }
    text.truncate(tokens * TOKEN);
    text
}

//! The names of a table, and when each is resolved next.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    ops::Range,
    time::Duration,
};

use tokio::time::Instant;
use tracing::warn;

use super::resolve::Resolved;
use crate::{
    error::Chain,
    pieces::{jittered, later},
    route::RouteTableHandle,
    server::Complaints,
};

/// The parts of an interval, so that gateways that were started together don't ask together.
const JITTER: Range<f64> = 0.9..1.1;

/// What a name's time to live is kept within.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// What comes of a look-up.
pub(super) type Answer = Result<Resolved, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, Name>);

#[derive(Debug)]
struct Name {
    due: Instant,
    is_answered: bool,
    complaints: Complaints,
}

impl Names {
    /// Forgets the names that are not in the table any more; new ones are due at once.
    pub(super) fn keep(&mut self, names: BTreeSet<String>, now: Instant) {
        self.0.retain(|name, _| names.contains(name));
        for name in names {
            self.0.entry(name).or_insert_with(|| Name {
                due: now,
                is_answered: false,
                complaints: Complaints::default(),
            });
        }
    }

    /// Up to `most` that are due, those first that have waited the longest. They are due again
    /// after `again`, if nothing comes of it.
    pub(super) fn take_due(&mut self, now: Instant, most: usize, again: Duration) -> Vec<String> {
        let mut due: Vec<_> = self.0.iter_mut().filter(|(_, of)| of.due <= now).collect();
        due.sort_by_key(|(_, of)| of.due);
        due.truncate(most);
        due.into_iter()
            .map(|(name, of)| {
                of.due = later(now, again);
                name.clone()
            })
            .collect()
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().map(|of| of.due).min()
    }

    /// Whether each was answered once, if only with an error.
    pub(super) fn are_answered(&self) -> bool {
        self.0.values().all(|of| of.is_answered)
    }

    /// Puts what a name has resolved to into the table; nothing, where it has not.
    pub(super) fn answered(
        &mut self,
        name: &str,
        answer: Answer,
        interval: Duration,
        table: &RouteTableHandle,
    ) {
        let Some(of) = self.0.get_mut(name) else {
            return;
        };
        of.is_answered = true;
        let answer = answer.and_then(|resolved| match resolved.get_addresses() {
            [] => Err("it has no addresses".into()),
            _ => Ok(resolved),
        });
        let now = Instant::now();
        match answer {
            Ok(resolved) => {
                table.set_addresses(name, resolved.get_addresses().iter().copied());
                let time_to_live = resolved.get_time_to_live();
                let time = time_to_live.map(|time| time.clamp(SHORTEST, LONGEST));
                of.due = later(now, time.unwrap_or_else(|| jittered(interval, JITTER)));
            }
            Err(error) => {
                of.due = later(now, jittered(interval, JITTER));
                of.complain(name, &*error, table);
            }
        }
    }
}

impl Name {
    /// Says, every ten seconds at most, why a name can't be resolved.
    fn complain(&self, host: &str, error: &(dyn Error + 'static), table: &RouteTableHandle) {
        if let Some(unsaid) = self.complaints.due() {
            let table = table.load();
            let kept = table.addresses_of(host).map_or(0, <[_]>::len);
            let error = Chain(error);
            warn!(target: "tower_model_route::dns", host, kept, unsaid, %error, "name can't be resolved");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest time means that a name is never resolved again.
    #[test]
    fn the_longest_interval_stays_one() {
        for _ in 0..100 {
            let time = jittered(Duration::MAX, JITTER);
            assert!(time > Duration::MAX / 2);
            assert!(later(Instant::now(), time) > Instant::now());
        }
    }
}

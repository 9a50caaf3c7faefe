//! The bindings of sessions in Redis: the first that binds a session decides.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use redis::{Script, ScriptInvocation};

use crate::{limit::bindings::Bind, pieces::lock};

/// How many sessions can wait to be written.
const MOST: usize = 10_000;
/// How many are written in one call.
pub(super) const AT_ONCE: usize = 256;
/// Each key has three arguments: the endpoint, the 16 digits of the one in whose place it comes, and
/// the milliseconds after which an idle session is forgotten. It answers where each is bound.
///
/// A key that holds something else is left alone.
const SCRIPT: &str = r"
local answer = {}
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 3
  local to, from, idle = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local known = redis.pcall('GET', key)
  answer[i] = to
  if type(known) ~= 'table' then
    local is = known and string.sub(known, 1, 16)
    if not known or is == string.sub(to, 1, 16) or is == from then
      redis.call('SET', key, to, 'PX', idle)
    else
      answer[i] = known
    end
  end
end
return answer
";

pub(super) fn script() -> Script {
    Script::new(SCRIPT)
}

/// The call for these.
pub(super) fn call<'s>(script: &'s Script, binds: &[Bind]) -> ScriptInvocation<'s> {
    let mut call = script.prepare_invoke();
    for bind in binds {
        let idle = u64::try_from(bind.idle.as_millis()).unwrap_or(u64::MAX);
        call.key(&*bind.key)
            .arg(&*bind.to)
            .arg(&*bind.from)
            .arg(idle.min(MOST_MILLIS));
    }
    call
}

/// Ten years: Redis takes no time of any length.
const MOST_MILLIS: u64 = 10 * 365 * 24 * 3600 * 1000;

/// What has to be written yet.
#[derive(Debug, Default)]
pub(super) struct Unbound(Mutex<HashMap<Arc<str>, Bind>>);

impl Unbound {
    /// The last word on a session counts, but that of another gateway in this process: the first of
    /// those decides. What has no room is not written: the session is bound here all the same, and
    /// written when it is next refreshed.
    pub(super) fn add(&self, bind: Bind) {
        let mut binds = lock(&self.0);
        if let Some(known) = binds.get_mut(&bind.key) {
            if !Weak::ptr_eq(&known.told.0, &bind.told.0) {
                let first = Arc::clone(&known.to);
                drop(binds);
                bind.tell(&first);
                return;
            }
            let from = std::mem::take(&mut known.from);
            *known = bind;
            known.from = from;
        } else if binds.len() < MOST {
            binds.insert(Arc::clone(&bind.key), bind);
        }
    }

    /// What could not be written waits again, unless there is a newer word.
    pub(super) fn again(&self, binds: Vec<Bind>) {
        let mut waiting = lock(&self.0);
        for bind in binds {
            if waiting.len() < MOST {
                waiting.entry(Arc::clone(&bind.key)).or_insert(bind);
            }
        }
    }

    /// Some of them, which are then no more here.
    pub(super) fn some(&self) -> Vec<Bind> {
        let mut binds = lock(&self.0);
        let some = binds.extract_if(|_, _| true).take(AT_ONCE);
        some.map(|(_, bind)| bind).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Debug)]
    struct Nobody;
    impl crate::limit::bindings::Bound for Nobody {
        fn bound(&self, _: u64, _: &str) {}
    }

    fn bind(key: &str, to: &str, from: &str) -> Bind {
        // All are of one gateway.
        Bind {
            key: key.into(),
            to: to.into(),
            from: from.to_owned(),
            idle: Duration::from_secs(1),
            told: (std::sync::Weak::<Nobody>::new(), 0),
        }
    }

    #[test]
    fn what_waits_is_bounded_and_the_last_word_counts() {
        let unbound = Unbound::default();
        for key in 0..=MOST {
            unbound.add(bind(&key.to_string(), "a", "old"));
        }
        unbound.add(bind("7", "b", "a"));
        unbound.again(vec![bind("7", "c", "")]);
        let mut all = Vec::new();
        loop {
            let some = unbound.some();
            assert!(some.len() <= AT_ONCE);
            if some.is_empty() {
                break;
            }
            all.extend(some);
        }
        assert_eq!(all.len(), MOST);
        let seven = all.iter().find(|bind| &*bind.key == "7").unwrap();
        // In Redis is still what was there before both.
        assert_eq!((&*seven.to, &*seven.from), ("b", "old"));
    }
}

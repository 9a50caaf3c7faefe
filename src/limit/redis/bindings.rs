//! The bindings of sessions in Redis: the first that binds a session decides.

use std::{
    collections::{HashMap, hash_map::Entry},
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
            if !is_of_one_gateway(known, &bind) {
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

    /// What could not be written waits again, unless its gateway has a newer word. Another gateway
    /// that has bound the session since then is the second.
    pub(super) fn again(&self, binds: Vec<Bind>) {
        let mut seconds = Vec::new();
        let mut waiting = lock(&self.0);
        for first in binds {
            let has_room = waiting.len() < MOST;
            match waiting.entry(Arc::clone(&first.key)) {
                Entry::Occupied(newer) if is_of_one_gateway(newer.get(), &first) => {}
                Entry::Occupied(mut newer) => {
                    let to = Arc::clone(&first.to);
                    seconds.push((newer.insert(first), to));
                }
                Entry::Vacant(place) if has_room => _ = place.insert(first),
                Entry::Vacant(_) => {}
            }
        }
        drop(waiting);
        for (second, to) in seconds {
            second.tell(&to);
        }
    }

    /// Some of them, which are then no more here.
    pub(super) fn some(&self) -> Vec<Bind> {
        let mut binds = lock(&self.0);
        let some = binds.extract_if(|_, _| true).take(AT_ONCE);
        some.map(|(_, bind)| bind).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }
}

fn is_of_one_gateway(one: &Bind, other: &Bind) -> bool {
    Weak::ptr_eq(&one.told.0, &other.told.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limit::bindings::Bound;

    /// A gateway, and where it was last told that its session is.
    #[derive(Debug, Default)]
    struct Gateway(Mutex<String>);

    impl Bound for Gateway {
        fn bound(&self, _: u64, to: &str) {
            to.clone_into(&mut lock(&self.0));
        }
    }

    fn bind_of(gateway: &Arc<Gateway>, key: &str, to: &str, from: &str) -> Bind {
        let told = Arc::downgrade(gateway) as Weak<dyn Bound>;
        Bind {
            key: key.into(),
            to: to.into(),
            from: from.to_owned(),
            idle: Duration::from_secs(1),
            told: (told, 0),
        }
    }

    #[test]
    fn of_two_gateways_the_first_decides_whatever_fails() {
        let gateways = [Arc::<Gateway>::default(), Arc::default()];
        let told = || gateways.each_ref().map(|gateway| lock(&gateway.0).clone());
        let unbound = Unbound::default();
        unbound.add(bind_of(&gateways[0], "7", "a", ""));
        unbound.add(bind_of(&gateways[1], "7", "b", ""));
        assert_eq!(told(), ["", "a"]);
        // While it is written, another binds it.
        let taken = unbound.some();
        unbound.add(bind_of(&gateways[1], "7", "c", ""));
        lock(&gateways[1].0).clear();
        unbound.again(taken);
        assert_eq!(told(), ["", "a"]);
        let waiting = unbound.some();
        assert_eq!((waiting.len(), &*waiting[0].to), (1, "a"));
    }

    #[test]
    fn what_waits_is_bounded_and_the_last_word_counts() {
        let gateway = Arc::default();
        let bind = |key: &str, to, from| bind_of(&gateway, key, to, from);
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

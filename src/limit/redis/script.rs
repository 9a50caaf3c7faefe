//! The script that decides in Redis.

use redis::{Script, ScriptInvocation};

use crate::limit::store::{StoreLevel, StoreTake};

/// A bucket is a hash with `tokens` and `last_update`, in seconds of Redis's own clock: Kthena's
/// router has the same (filters/ratelimit/global.go), and understands a debt.
///
/// A bucket that was changed in what is the future by now, since the clock was set back, fills from now
/// on.
///
/// A key expires when its bucket is full, as one that is not there is. Ten years are the most: Redis
/// takes no time of any length.
///
/// Each key has five arguments: capacity, period in seconds, the seconds that it is kept at least,
/// amount, and a mode. It answers two
/// numbers for each: whether it fits (2: the key holds something else, and is left alone), and what
/// is left.
const SCRIPT: &str = r"
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local buckets, all = {}, true
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 5
  local bucket = {
    capacity = tonumber(ARGV[at + 1]),
    period = tonumber(ARGV[at + 2]),
    kept = tonumber(ARGV[at + 3]),
    amount = tonumber(ARGV[at + 4]),
    mode = ARGV[at + 5],
  }
  local state = redis.pcall('HMGET', key, 'tokens', 'last_update')
  bucket.bad = state.err ~= nil
  if not bucket.bad then
    local last = tonumber(state[2]) or now
    if last > now then
      last = now
      redis.call('HSET', key, 'last_update', string.format('%.6f', now))
    end
    local tokens = tonumber(state[1]) or bucket.capacity
    local flown = (now - last) * bucket.capacity / bucket.period
    bucket.tokens = math.min(bucket.capacity, tokens + flown)
    bucket.fits = bucket.mode == 'settle' or bucket.tokens >= bucket.amount
  end
  if bucket.mode == 'enforce' and not bucket.bad and not bucket.fits then all = false end
  buckets[i] = bucket
end
local answer = {}
for i, bucket in ipairs(buckets) do
  if all and bucket.fits then
    bucket.tokens = math.min(bucket.capacity, bucket.tokens - bucket.amount)
    redis.call('HSET', KEYS[i], 'tokens', string.format('%.17g', bucket.tokens),
      'last_update', string.format('%.6f', now))
    local fills = (bucket.capacity - bucket.tokens) / bucket.capacity * bucket.period
    local kept = math.min(math.max(bucket.kept, fills + 1), 315360000)
    redis.call('EXPIRE', KEYS[i], math.ceil(kept))
  end
  answer[2 * i - 1] = bucket.bad and 2 or (bucket.fits and 1 or 0)
  answer[2 * i] = bucket.bad and 0 or math.floor(bucket.tokens)
end
return answer
";

pub(super) fn script() -> Script {
    Script::new(SCRIPT)
}

/// What is done with a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Reserve,
    Settle,
}

impl Mode {
    fn of(self, take: &StoreTake) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Reserve if take.enforced => "enforce",
            Self::Reserve => "observe",
        }
    }
}

/// The call for these buckets.
pub(super) fn call<'s>(
    script: &'s Script,
    takes: &[StoreTake],
    mode: Mode,
) -> ScriptInvocation<'s> {
    let mut call = script.prepare_invoke();
    for take in takes {
        call.key(&*take.key)
            .arg(take.capacity)
            .arg(take.period.as_secs_f64())
            .arg(take.kept.as_secs_f64())
            .arg(take.amount)
            .arg(mode.of(take));
    }
    call
}

/// What the script has answered.
pub(super) fn levels(answer: &[i64]) -> Vec<StoreLevel> {
    let levels = answer.chunks_exact(2).map(|pair| match *pair {
        [1, left] => StoreLevel::Fits(left),
        [0, left] => StoreLevel::Short(left),
        _ => StoreLevel::Unusable,
    });
    levels.collect()
}

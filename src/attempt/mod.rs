//! One attempt at a time: the exchange with the engine, the request body sent to
//! it, and the answer that comes back.

mod alarm;
mod body_stream;
mod cut;
mod exchange;
mod goodbye;
mod held;
mod keep_alive;
mod late;
mod learned_ids;
mod outcome;
mod request_body;
mod response_body;
mod retries;
mod short;
mod silence;
mod slow;
mod times;
mod tunnel;
mod watch;

pub(crate) use self::{
    exchange::{Dispatched, Exchange, Finished, Fixed, Next, Timed, Upcoming},
    held::Held,
    keep_alive::KeepAlive,
    late::{Late, fault_of},
    learned_ids::LearnedIds,
    outcome::{outcome_of, outcome_of_answer, outcome_of_error},
    retries::{LEAST_TIME, Retries},
    times::AttemptTimes,
    watch::Watch,
};
pub use self::{request_body::RouteBody, response_body::ResponseBody, tunnel::Tunnels};

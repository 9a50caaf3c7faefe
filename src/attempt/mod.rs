//! One engine at a time: the exchange with it, the body that goes there, and the answer that comes back.

mod exchange;
mod outcome;
mod request_body;
mod response_body;
mod silence;

pub(crate) use self::{
    exchange::{Exchange, Next},
    outcome::{outcome_of_answer, outcome_of_error},
    response_body::Held,
};
pub use self::{request_body::RouteBody, response_body::ResponseBody};

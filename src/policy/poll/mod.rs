//! Asking every endpoint of a live table the same question, again and again: what health checks
//! and the readers of the engines' metrics and models share.

mod listener;
mod options;
mod round;
mod run;

pub(super) use self::{
    listener::Listener,
    options::PollOptions,
    round::address,
    run::{Task, run},
};

//! Polling every endpoint of a live table: shared by the health checks and the readers of
//! engines' metrics and models.

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

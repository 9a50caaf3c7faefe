//! `RouteTable::explain`: the decision as data and as text, without a trace of having been asked.

mod agrees;
mod live;
mod request;
mod secrets;
mod support;
mod text;
mod traces;

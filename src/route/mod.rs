//! The routes: their configuration, its check, and the decision.

mod carry_over;
mod choose;
mod compile;
mod handle;
mod model_route;
mod rule;
mod split;
mod string_match;
mod table;
mod target;

pub(crate) use self::{
    choose::{Chosen, Unavailable},
    rule::Condition,
    string_match::Pattern,
    table::{Inner, Selection, position},
};
pub use self::{
    compile::RouteTableBuilder,
    handle::RouteTableHandle,
    model_route::ModelRoute,
    rule::{ModelMatch, Rule},
    string_match::StringMatch,
    table::RouteTable,
    target::TargetModel,
};

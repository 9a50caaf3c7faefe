//! The routes: their configuration, its check, and the decision.

mod compile;
mod model_route;
mod rule;
mod split;
mod string_match;
mod table;
mod target;

pub use self::{
    compile::RouteTableBuilder,
    model_route::ModelRoute,
    rule::{ModelMatch, Rule},
    string_match::StringMatch,
    table::RouteTable,
    target::TargetModel,
};
pub(crate) use self::{
    rule::Condition,
    string_match::Pattern,
    table::{Inner, Selection, position},
};

//! The routes: their configuration, its check, and the decision.

mod carry_over;
mod choose;
mod compile;
mod handle;
mod info;
mod model_route;
mod outlook;
mod picks;
mod rule;
mod split;
mod string_match;
mod table;
mod target;
mod walk;

pub(crate) use self::{
    choose::{Chosen, Unavailable},
    outlook::{Outlook, Prospect, shares},
    rule::Condition,
    string_match::Pattern,
    table::{Inner, Selection, position},
    walk::{Examined, Found, RuleView},
};
pub use self::{
    compile::RouteTableBuilder,
    handle::RouteTableHandle,
    info::RouteInfo,
    model_route::ModelRoute,
    rule::{ModelMatch, Rule},
    string_match::StringMatch,
    table::RouteTable,
    target::TargetModel,
};

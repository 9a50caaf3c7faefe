//! The compiled table and the decision: look-up, conditions, split, the choice
//! of a target, the live handle.

mod addresses;
pub(crate) mod by_body;
mod carry_over;
mod choose;
mod compile_routes;
mod compiler;
mod decision;
mod handle;
mod home;
mod load_source;
mod matcher;
mod models;
mod names;
mod naming;
mod outlook;
mod picks;
mod routes;
mod rule;
mod split;
mod table;
mod walk;

#[cfg(feature = "kube")]
pub(crate) use self::handle::Unwatched;
pub(crate) use self::{
    choose::{Chosen, Further, Unavailable},
    home::all_but_home,
    models::IsVisible,
    naming::Naming,
    outlook::{Outlook, Prospect, shares},
    rule::CompiledRule,
    table::{CompiledTable, Selection},
    walk::{Examined, Found, RuleView},
};
pub use self::{
    decision::RouteDecision, handle::RouteTableHandle, load_source::LoadSource, table::RouteTable,
};

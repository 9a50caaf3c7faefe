//! `RouteTable::decide`: which route, rule, server and endpoint a request gets; and what
//! `RouteTableBuilder::build` refuses.

mod balance;
mod build;
mod build_text;
mod build_valid;
mod lookup;
mod matching;
mod naive;
mod properties;
mod split;
mod split_threads;
mod support;

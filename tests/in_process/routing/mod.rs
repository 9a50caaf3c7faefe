//! From a request to a route, a rule, a target and an endpoint: `RouteTable::decide`.

mod naive;

mod all_conditions_must_hold;
mod as_a_scan_decides;
mod endpoints_take_turns_by_weight;
mod long_prompts_have_their_rule;
mod models_then_adapters;
mod own_zone_first;
mod split_is_exact;
mod split_is_exact_in_threads;

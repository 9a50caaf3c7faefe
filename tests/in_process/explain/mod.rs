//! `RouteTable::explain`: the decision as data and as text.

mod tables;

mod as_the_layer_reads;
mod costs_of_endpoints;
mod leaves_no_trace;
mod lets_through_as_the_layer;
mod masks_credentials;
mod reads_the_model;
mod says_what_decide_does;
mod shows_live_state;
mod word_for_word;

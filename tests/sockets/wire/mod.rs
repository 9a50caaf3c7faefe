//! The wire: a gateway between raw sockets, and every byte on both sides.

mod answers_are_streamed;
mod answers_as_the_engine_gave;
mod clients_that_leave;
mod expect_continue;
mod hop_by_hop_stays_behind;
mod hostile_bodies;
mod http2_to_http1;
mod length_is_real;
mod mounted_in_axum;
mod no_smuggling;
mod only_the_model_changes;
mod refusals_word_for_word;
mod request_line_and_host;
mod too_large_or_too_slow;
mod trailers_survive;
mod unreachable_engines_are_502;
mod without_model;

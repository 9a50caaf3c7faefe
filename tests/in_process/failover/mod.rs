//! What is tried again, where, and what the client gets in the end.

mod budget_is_shared;
mod connections_are_not_engines;
mod engine_headers;
mod fallbacks_come_last;
mod last_answer_stands;
mod model_written_anew;
mod next_attempt_goes_elsewhere;
mod no_endpoint_asked_twice;
mod split_stays_exact;
mod uploads_sent_again;
mod what_is_tried_again;

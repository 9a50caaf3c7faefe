//! How long things may take, and how much an endpoint has at once.

mod clients_deadlines;
mod max_in_flight;
mod queue_in_order;
mod silent_answers_break_off;
mod the_healthy_are_waited_for;
mod timeouts;

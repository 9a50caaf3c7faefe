//! Uploads that are forwarded while they arrive: either end holds back and breaks off where the
//! test says so.

mod backpressure;
mod early_answers_arrive;
mod either_side_leaves;
mod forwarded_as_it_arrives;
mod limits_on_the_way;
mod over_http2;
mod refusals_arrive;
mod sent_again_from_the_start;
mod upload_cut_off;

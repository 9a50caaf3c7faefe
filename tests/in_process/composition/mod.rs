//! Other layers above and below, as the documentation recommends them.

mod around_one_call;
mod around_the_stack;
mod limits_above;
mod limits_below;
mod own_retries;
mod stack_mounts;
mod tower_http_above;

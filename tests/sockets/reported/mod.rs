//! What engines say of their load, on sockets.

mod as_vllm_says_it;
mod by_a_running_engine;

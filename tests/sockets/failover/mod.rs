//! Engines that die under load, hang, reset, refuse and stall.

mod engine;

mod connections_that_end;
mod killed_under_load;
mod one_faulty_engine;
mod streams_that_fail;

//! Adapters that only some engines have loaded.

mod on_one_of_two;

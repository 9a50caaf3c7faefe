//! Kthena's manifests: what is read from them, what is said about them, and the way back.

mod written;

mod annotations;
mod auto_traits;
mod compressed_bodies;
mod decide_as_the_builder;
mod each_fails_alone;
mod endpoints_from_workloads;
mod engine_annotation;
mod engine_headers;
mod every_field_is_read;
mod files_and_directories;
mod gateways;
mod hostile_files;
mod limits;
mod mistakes_have_their_line;
mod namespaces_and_order;
mod refused_by_kthena;
mod regular_expressions;
mod retries;
mod session_sticky;
mod the_four_scenarios;
mod to_yaml;
mod what_is_ignored_is_said;
mod yaml_and_json_spellings;

//! Kthena's manifests: what is read from them, what is said about them, and the way back.

mod written;

mod annotations;
mod decide_as_the_builder;
mod endpoints_from_workloads;
mod every_field_is_read;
mod files_and_directories;
mod hostile_files;
mod mistakes_have_their_line;
mod namespaces_and_order;
mod the_four_scenarios;
mod to_yaml;
mod what_is_ignored_is_said;
mod yaml_and_json_spellings;

/// They are read in one thread and used in another.
#[test]
fn manifests_are_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<tower_model_route::manifest::Manifests>();
    check::<tower_model_route::manifest::Report>();
    check::<tower_model_route::manifest::ManifestError>();
    check::<tower_model_route::Lint>();
}

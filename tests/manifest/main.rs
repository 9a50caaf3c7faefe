//! Kthena's manifests: what is read from them, what is said about them, and the way back.

mod annotations;
mod directory;
mod endpoints;
mod examples;
mod fields;
mod hostile;
mod kit;
mod namespaces;
mod places;
mod properties;
mod warnings;
mod way_back;
mod yaml;

/// They are read in one thread and used in another.
#[test]
fn manifests_are_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<tower_model_route::manifest::Manifests>();
    check::<tower_model_route::manifest::Report>();
    check::<tower_model_route::manifest::ManifestError>();
    check::<tower_model_route::Lint>();
}

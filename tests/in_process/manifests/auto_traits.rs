//! Manifests are read in one thread and used in another. The test fails by not compiling.

use tower_model_route::{
    Lint,
    manifest::{ManifestError, Manifests, Report},
};

#[test]
fn manifests_are_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Manifests>();
    check::<Report>();
    check::<ManifestError>();
    check::<Lint>();
}

//! The admin view of the library, at `/_`, `/_routes` and `/_explain`.

use axum::Router;
use tower_model_route::{Admin, RouteTableHandle};

/// Adds the view to `app`, outside of the layers that it has.
///
/// It shows the gateway to everyone who can reach it. This one listens on 127.0.0.1 unless told
/// otherwise; one that others can reach needs authentication around this.
pub(crate) fn mount(app: Router, table: impl Into<RouteTableHandle>) -> Router {
    let admin = Admin::new(table);
    ["/_", "/_routes", "/_explain"]
        .into_iter()
        .fold(app, |app, path| app.route_service(path, admin.clone()))
}

//! The admin view of the library, at `/_` and the paths that begin with it.

use axum::Router;
use clap::Args;
use tower_model_route::{Admin, ModelRouteLayer, Recent};

/// What the view answers to, and what it shows.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Serve the admin view and /metrics on the traffic's own address too. Unless that is a loopback
    /// address, the view there can't take engines out of service
    #[arg(long = "admin-here", conflicts_with = "demo", verbatim_doc_comment)]
    pub(crate) here: bool,

    /// Let browsers reach the admin view by the host NAME, besides addresses and localhost; may be
    /// repeated
    #[arg(long = "admin-host", value_name = "NAME", verbatim_doc_comment)]
    hosts: Vec<String>,

    /// Show the values that conditions compare the header NAME with. The admin view masks those of all
    /// headers but user-type; may be repeated
    #[arg(long = "admin-header", value_name = "NAME", verbatim_doc_comment)]
    headers: Vec<String>,
}

/// The view of `layer`, with the last minute where it is kept.
pub(crate) fn of(layer: &ModelRouteLayer, recent: Option<Recent>) -> Admin {
    match recent {
        Some(recent) => layer.admin().recent(recent),
        None => layer.admin(),
    }
}

/// Adds the view `admin` to `app`, outside of the layers that it has.
///
/// It shows the gateway to everyone who can reach it, and lets them take engines out of service
/// unless it is read-only. This one listens on 127.0.0.1 unless told otherwise; one that others
/// can reach needs authentication around this.
pub(crate) fn mount(app: Router, admin: Admin, options: &Options) -> Router {
    let admin = options.hosts.iter().fold(admin, Admin::host);
    // The header of the scenarios, which is no secret.
    let admin = options
        .headers
        .iter()
        .fold(admin.show_header("user-type"), Admin::show_header);
    ["/_", "/_routes", "/_explain", "/_drain", "/_undrain"]
        .into_iter()
        .fold(app, |app, path| app.route_service(path, admin.clone()))
}

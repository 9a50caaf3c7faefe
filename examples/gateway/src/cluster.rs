//! `--kube`: the routes of a Kubernetes cluster.

use std::error::Error;

use clap::Args;
use tower_model_route::{
    RouteTableHandle,
    kube::{Watch, WatchHandle},
};

use crate::config::Config;

/// What says where routes are from in another way, or is about that.
const OTHERS: [&str; 6] = ["manifests", "check", "watch", "lenient", "explain", "demo"];

/// What is read of which cluster.
#[derive(Debug, Clone, Args)]
pub(crate) struct Cluster {
    /// Route by the ModelRoutes and ModelServers of a Kubernetes cluster to the Pods of their engines,
    /// and follow their changes. It is the cluster of this Pod, or else that of the kubeconfig.
    /// Nothing is served until everything has been read once
    #[arg(
        long,
        group = "routes",
        conflicts_with_all = OTHERS,
        verbatim_doc_comment
    )]
    kube: bool,

    /// With --kube: read this namespace only, for which a Role is enough; may be repeated
    #[arg(long = "namespace", value_name = "NAMESPACE", requires = "kube", conflicts_with_all = OTHERS)]
    namespaces: Vec<String>,

    /// With --kube: read only ModelRoutes and ModelServers with these labels, such as
    /// team=ml,tier!=test
    #[arg(long, value_name = "LABELS", requires = "kube", conflicts_with_all = OTHERS, verbatim_doc_comment)]
    label_selector: Option<String>,

    /// With --kube: serve only ModelRoutes attached to this Gateway, such as gateways/inference, or to
    /// one of its listeners, such as gateways/inference/https. By default all are served
    #[arg(
        long,
        value_name = "NAMESPACE/NAME[/SECTION]",
        requires = "kube", conflicts_with_all = OTHERS,
        verbatim_doc_comment
    )]
    gateway_ref: Option<String>,

    /// With --kube: write an Event for each error in a resource; kubectl describe shows it
    #[arg(long, requires = "kube", conflicts_with_all = OTHERS)]
    kube_events: bool,
}

impl Cluster {
    pub(crate) fn is_wanted(&self) -> bool {
        self.kube
    }

    /// Where the routes are from, for people.
    pub(crate) fn source(&self) -> String {
        match &*self.namespaces {
            [] => "the resources of a cluster".to_owned(),
            namespaces => format!(
                "the resources of a cluster in the namespaces {}",
                namespaces.join(", ")
            ),
        }
    }

    /// Keeps the table as the cluster says, with what the command line adds to it, until what this
    /// returns is dropped.
    ///
    /// # Errors
    /// It is not known which cluster, or an option is wrong. That the cluster can't be reached is
    /// none: that may change.
    pub(crate) async fn watch(
        &self,
        config: &Config,
        table: &RouteTableHandle,
    ) -> Result<WatchHandle, Box<dyn Error>> {
        let config = config.clone();
        let mut watch = Watch::new(client().await?)
            .namespaces(&self.namespaces)
            .events(self.kube_events)
            .complete(move |manifests| config.completed(manifests));
        if let Some(labels) = &self.label_selector {
            watch = watch.label_selector(labels);
        }
        if let Some(gateway) = &self.gateway_ref {
            watch = watch.gateway(gateway);
        }
        Ok(watch.start(table)?)
    }
}

/// The way to the API server, as kubectl finds it, or as Pods do.
async fn client() -> Result<kube::Client, String> {
    let no_way = |error: &dyn Error| format!("--kube: there is no way to a cluster: {error}");
    let config = kube::Config::infer().await;
    let mut config = config.map_err(|error| no_way(&error))?;
    // The watch tries again by itself, and says so at once and not after a minute.
    config.default_retry = false;
    kube::Client::try_from(config).map_err(|error| no_way(&error))
}

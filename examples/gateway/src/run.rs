//! From the command line to a gateway that serves, and stops when it is asked to.

use std::{error::Error, future, time::Duration};

use tower_model_route::RouteTableHandle;

use crate::{
    Args, engines::Engines, introduce, listen::Address, prepared::Prepared, routes,
    signals::Signals,
};

/// Slow enough to watch a stream arrive.
const TOKEN_DELAY: Duration = Duration::from_millis(100);

/// Serves by the cluster, the manifests, or the scenarios where there are neither, until it is asked to
/// stop.
///
/// # Errors
/// Something on the command line, or in what it names, is wrong; an address is taken.
pub(crate) async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let address = Address::reserve(args.listen)?;
    let signals = Signals::new()?;
    #[cfg(feature = "kube")]
    if args.cluster.is_wanted() {
        return by_cluster(args, address, signals).await;
    }
    if args.config.has_routes() {
        by_manifests(args, address, signals).await
    } else {
        by_scenarios(args, address, signals).await
    }
}

async fn by_manifests(
    args: &Args,
    address: Address,
    signals: Signals,
) -> Result<(), Box<dyn Error>> {
    let config = &args.config;
    let manifests = config.manifests();
    let table = manifests.build().map_err(|error| error.to_string())?;
    let client = args.serving.tls.client(Some(&table))?;
    // What Kthena would refuse is for --check: it does not concern this gateway.
    let report = manifests.check();
    let said = report.diagnostics().iter();
    for said in said.filter(|said| said.code() != "refused-by-kthena") {
        eprintln!("{said}");
    }
    let table = RouteTableHandle::new(table);
    let _models = config.poll_models(&table, &client)?;
    let gateway = Prepared::new(address, table.clone(), client, args).await?;
    let introduce = |url: &str| {
        introduce::own(url, &config.source(), &table.table(), args);
    };
    let _watch = config.watch(&table)?;
    let mut dns = None;
    let ready = async {
        dns = config.resolve(&table).await?;
        Ok(())
    };
    gateway.serve(ready, introduce, signals).await
}

#[cfg(feature = "kube")]
async fn by_cluster(args: &Args, address: Address, signals: Signals) -> Result<(), Box<dyn Error>> {
    let (config, cluster) = (&args.config, &args.cluster);
    let table = RouteTableHandle::new(tower_model_route::RouteTable::builder().build()?);
    // Which ModelServers there will be, nobody knows.
    let client = args.serving.tls.client(None)?;
    let gateway = Prepared::new(address, table.clone(), client.clone(), args).await?;
    let _models = config.poll_models(&table, &client)?;
    crate::print::say(format_args!(
        "Reading the cluster; until then {} takes no requests.",
        gateway.url()?
    ));
    let watch = cluster.watch(config, &table).await?;
    let mut dns = None;
    let ready = async {
        watch.ready().await;
        dns = config.resolve(&table).await?;
        Ok(())
    };
    let introduce = |url: &str| {
        introduce::own(url, &cluster.source(), &table.table(), args);
    };
    gateway.serve(ready, introduce, signals).await
}

async fn by_scenarios(
    args: &Args,
    address: Address,
    signals: Signals,
) -> Result<(), Box<dyn Error>> {
    let engines = Engines::start(TOKEN_DELAY).await?;
    let table = routes::table(&engines)?;
    let client = args.serving.tls.client(Some(&table))?;
    let gateway = Prepared::new(address, table.into(), client, args).await?;
    let introduce = |url: &str| introduce::scenarios(url, &engines, args);
    gateway
        .serve(future::ready(Ok(())), introduce, signals)
        .await
}

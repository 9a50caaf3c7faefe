//! The Kubernetes names that the parts of a table get.

use std::collections::HashSet;

use crate::{
    config::{RouteTableBuilder, Rule},
    manifest::{
        full_name,
        read::{kubernetes::is_name, metadata::DEFAULT_NAMESPACE},
    },
};

/// A namespace and a name, and the name in the table where that is another.
#[derive(Clone, Debug)]
pub(super) struct KubernetesName {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) table_name: Option<String>,
}

/// The names of the ModelServers and of the ModelRoutes, in the order of the table.
///
/// Where all names are `NAMESPACE/NAME` and no route leaves its namespace, it
/// is those. Else everything is put into one namespace under names made up
/// from the table's, and an annotation keeps the table's.
pub(super) fn names(config: &RouteTableBuilder) -> (Vec<KubernetesName>, Vec<KubernetesName>) {
    let servers: Vec<&str> = config
        .get_model_servers()
        .iter()
        .map(|server| server.get_name())
        .collect();
    let routes: Vec<&str> = config
        .get_model_routes()
        .iter()
        .map(|route| route.get_name())
        .collect();
    namespaced(config, &servers, &routes).unwrap_or_else(|| (made_up(&servers), made_up(&routes)))
}

fn namespaced(
    config: &RouteTableBuilder,
    servers: &[&str],
    routes: &[&str],
) -> Option<(Vec<KubernetesName>, Vec<KubernetesName>)> {
    let within = config.get_model_routes().iter().all(|route| {
        let own = namespace(route.get_name());
        let mut targets = route.get_rules().iter().flat_map(Rule::model_servers);
        targets.all(|target| namespace(target) == own)
    });
    let distinct = routes.iter().collect::<HashSet<_>>().len() == routes.len();
    if !within || !distinct {
        return None;
    }
    let split = |names: &[&str]| names.iter().map(|name| as_it_is(name)).collect();
    Option::zip(split(servers), split(routes))
}

fn namespace(full_name: &str) -> Option<&str> {
    full_name::split(full_name).map(|(namespace, _)| namespace)
}

fn as_it_is(full_name: &str) -> Option<KubernetesName> {
    let (namespace, name) = full_name::split(full_name)?;
    (is_name(namespace) && is_name(name)).then(|| KubernetesName {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        table_name: None,
    })
}

fn made_up(names: &[&str]) -> Vec<KubernetesName> {
    let mut taken = HashSet::new();
    names
        .iter()
        .map(|table_name| {
            let base = slug(table_name);
            let mut name = base.clone();
            let mut count = 1;
            while !taken.insert(name.clone()) {
                count += 1;
                name = format!("{base}-{count}");
            }
            KubernetesName {
                namespace: DEFAULT_NAMESPACE.to_owned(),
                name,
                table_name: Some((*table_name).to_owned()),
            }
        })
        .collect()
}

/// The nearest name that Kubernetes takes.
fn slug(name: &str) -> String {
    let letters = name.chars().take(200).map(|letter| {
        let letter = letter.to_ascii_lowercase();
        match letter {
            'a'..='z' | '0'..='9' => letter,
            _ => '-',
        }
    });
    let slug: String = letters.collect();
    match slug.trim_matches('-') {
        "" => "unnamed".to_owned(),
        slug => slug.to_owned(),
    }
}

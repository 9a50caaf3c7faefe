//! What `examples/kubernetes` says of the program is so.

use std::{fs, time::Duration};

use serde_json::Value;
use test_kit::{directory::Directory, kube::documents};

use crate::program::run_with;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../kubernetes");

/// The one object of a file.
fn object(file: &str) -> Value {
    let text = fs::read_to_string(format!("{FOLDER}/{file}")).unwrap();
    documents(&text).remove(0).0
}

fn deployment() -> Value {
    object("deployment.yaml")
}

fn container(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

fn args(container: &Value) -> Vec<&str> {
    let args = container["args"].as_array().unwrap();
    args.iter().map(|arg| arg.as_str().unwrap()).collect()
}

/// The value of a flag.
fn value<'a>(args: &[&'a str], flag: &str) -> &'a str {
    let pairs = args.iter().filter_map(|arg| arg.split_once('='));
    let mut values = pairs.filter(|(name, _)| *name == flag);
    values.next().unwrap().1
}

#[test]
fn the_program_takes_the_arguments() {
    let deployment = deployment();
    let free = |arg: &&str| match arg.rsplit_once(':') {
        Some((address, _)) => format!("{address}:0"),
        None => (*arg).to_owned(),
    };
    let args: Vec<_> = args(container(&deployment)).iter().map(free).collect();
    let directory = Directory::new();
    let nowhere = directory.path().join("kubeconfig");
    // So far it comes, and no further: there is no cluster.
    let ended = run_with(args, &[("KUBECONFIG", nowhere.to_str().unwrap())]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with("--kube: "), "{ended:?}");
}

#[test]
fn it_is_killed_only_after_its_drain() {
    let deployment = deployment();
    let args = args(container(&deployment));
    let seconds = |flag| {
        let text = value(&args, flag);
        match text.strip_suffix('m') {
            Some(minutes) => minutes.parse::<u64>().unwrap() * 60,
            None => text.strip_suffix('s').unwrap().parse().unwrap(),
        }
    };
    let pod = &deployment["spec"]["template"]["spec"];
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    let own = Duration::from_secs(seconds("--drain-delay") + seconds("--drain"));
    assert!(Duration::from_secs(grace) > own, "{grace} s, {own:?}");
    // Two probes of a load balancer, each 5 s.
    assert!(seconds("--drain-delay") >= 10);
}

#[test]
fn probes_and_services_go_to_ports_that_it_has() {
    let deployment = deployment();
    let container = container(&deployment);
    let args = args(container);
    let ports = container["ports"].as_array().unwrap();
    let port = |name: &Value| {
        let port = ports.iter().find(|port| port["name"] == *name).unwrap();
        format!("0.0.0.0:{}", port["containerPort"])
    };
    for probe in ["livenessProbe", "readinessProbe"] {
        let port = port(&container[probe]["httpGet"]["port"]);
        assert_eq!(port, value(&args, "--metrics-listen"));
    }
    let service = object("service.yaml");
    let target = &service["spec"]["ports"][0]["targetPort"];
    assert_eq!(port(target), value(&args, "--listen"));
    // What asks for no password is for the Pod alone.
    assert!(value(&args, "--admin-listen").starts_with("127.0.0.1:"));
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(service["spec"]["selector"], *labels);
    let budget = object("pod-disruption-budget.yaml");
    assert_eq!(budget["spec"]["selector"]["matchLabels"], *labels);
}

#[test]
fn the_image_has_the_user_of_the_deployment_and_the_program() {
    let dockerfile = fs::read_to_string(format!("{FOLDER}/Dockerfile")).unwrap();
    let deployment = deployment();
    let security = &deployment["spec"]["template"]["spec"]["securityContext"];
    let user = format!("{}:{}", security["runAsUser"], security["runAsGroup"]);
    assert!(dockerfile.contains(&format!("\nUSER {user}\n")), "{user}");
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let workspace = fs::read_to_string(format!("{root}/Cargo.toml")).unwrap();
    assert!(workspace.contains("\n[profile.dist]\n"));
    assert!(dockerfile.contains("--profile dist -p gateway "));
    assert!(dockerfile.contains(" target/dist/gateway "));
}

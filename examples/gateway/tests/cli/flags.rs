//! What can be said on the command line, and what can't.

use crate::program::run;

#[test]
fn the_help_names_each_flag() {
    let help = run(["--help"]);
    assert_eq!((help.code, &*help.stderr), (Some(0), ""));
    for flag in [
        "--listen <ADDR>",
        "--demo",
        "--manifests <PATH>...",
        "--endpoint <NAME=URL>",
        "--lenient",
        "--resolve",
        "--zone <ZONE>",
        "--served-models",
        "--keys <NAME[=FILE]>",
        "--redis-password <ADDRESS[=FILE]>",
        "--watch",
        "--check [<PATH>...]",
        "--explain <FILE>",
        "--drain <TIME>",
        "--send-timeout <TIME>",
        "--drain-delay <TIME>",
        "--max-connections <COUNT>",
        "--workers <COUNT>",
        "--admin-listen <ADDR>",
        "--admin-here",
        "--metrics-listen <ADDR>",
        "--access-log <STYLE>",
        "--ca <[NAME=]FILE>",
        "--client-cert <[NAME=]CHAIN,KEY>",
        "--cors <ORIGIN>",
        "--forward <URL>",
        "--forwarded-fields <HOW>",
    ] {
        assert!(help.stdout.contains(flag), "{flag} in {}", help.stdout);
    }
}

#[track_caller]
fn refuses(args: &[&str], why: &str) {
    let refused = run(args);
    assert_eq!(refused.code, Some(2), "{args:?}: {refused:?}");
    assert!(refused.stderr.contains(why), "{args:?}: {}", refused.stderr);
    assert_eq!(refused.stdout, "", "{args:?}");
}

#[test]
fn what_does_not_go_together_is_refused_with_the_reason() {
    refuses(
        &["--demo", "--manifests", "routes.yaml"],
        "'--demo' cannot be used with '--manifests <PATH>...'",
    );
    refuses(
        &["--demo", "--check", "routes.yaml"],
        "'--demo' cannot be used with '--check [<PATH>...]'",
    );
    refuses(
        &["--check", "--watch", "--manifests", "routes.yaml"],
        "cannot be used with",
    );
    refuses(
        &["--watch"],
        "required arguments were not provided:\n  --manifests <PATH>...",
    );
    refuses(
        &["--endpoint", "small=http://127.0.0.1:8000"],
        "<--manifests <PATH>...|--check [<PATH>...]",
    );
    refuses(&["--check"], "nothing to check");
}

#[cfg(feature = "kube")]
#[test]
fn routes_are_of_files_or_of_a_cluster() {
    let help = run(["--help"]).stdout;
    for flag in [
        "--kube",
        "--namespace <NAMESPACE>",
        "--label-selector <LABELS>",
        "--gateway-ref <NAMESPACE/NAME[/SECTION]>",
        "--kube-events",
    ] {
        assert!(help.contains(flag), "{flag} in {help}");
    }
    for (other, shown) in [
        (&["--manifests", "routes.yaml"][..], "--manifests <PATH>..."),
        (&["--check"], "--check [<PATH>...]"),
        (&["--watch"], "--watch"),
        (&["--lenient"], "--lenient"),
        (&["--explain", "-"], "--explain <FILE>"),
        (&["--demo"], "--demo"),
    ] {
        let why = format!("'--kube' cannot be used with '{shown}'");
        refuses(&[&["--kube"], other].concat(), &why);
    }
    let namespace = ["--namespace", "ml"];
    refuses(
        &namespace,
        "required arguments were not provided:\n  --kube",
    );
    refuses(
        &[&namespace[..], &["--manifests", "routes.yaml"]].concat(),
        "'--namespace <NAMESPACE>' cannot be used with '--manifests <PATH>...'",
    );
}

#[test]
fn an_endpoint_is_a_name_and_a_url() {
    let refuses = |endpoint, why| {
        refuses(&["--manifests", "routes.yaml", "--endpoint", endpoint], why);
    };
    let form = "it must be like deepseek-r1-7b=http://10.0.0.7:8000";
    refuses("http://127.0.0.1:8000", form);
    refuses("=http://127.0.0.1:8000", form);
    refuses("small=", "not an endpoint");
    refuses("small=127.0.0.1:8000", "it has no scheme");
    refuses("small=http://127.0.0.1:8000/?a=b", "it has a query");
}

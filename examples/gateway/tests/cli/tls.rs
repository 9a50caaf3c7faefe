//! Certificates towards the engines.

use std::path::Path;

use test_kit::{directory::Directory, tls::Authority};

use crate::{
    files::{route, server},
    program::{Ended, Gateway, run},
};

/// The models `a` and `b`, each of a ModelServer of its own with this endpoint.
fn manifests(directory: &Directory, [a, b]: [&str; 2]) -> Vec<String> {
    let parts = [
        server("a", "m"),
        route("a", "a"),
        server("b", "m"),
        route("b", "b"),
    ];
    let path = directory.write("all.yaml", &parts.concat());
    let endpoints = [("a", a), ("b", b)].map(|(name, url)| format!("--endpoint=ml/{name}={url}"));
    let mut args = vec![path.display().to_string()];
    args.extend(endpoints);
    args
}

async fn statuses(manifests: &[String], more: &[String]) -> [u16; 2] {
    let flag = ["--manifests".to_owned()];
    let gateway = Gateway::start([&flag, manifests, more].concat()).await;
    let [a, b] = ["a", "b"];
    [gateway.ask(a).await, gateway.ask(b).await].map(|answer| answer.status().as_u16())
}

fn of(flag: &str, name: &str, file: &Path) -> String {
    format!("{flag}={name}{}", file.display())
}

#[tokio::test]
async fn an_authority_is_trusted_for_all_or_for_one_model_server() {
    let authorities = [Authority::private(), Authority::private()];
    let [a, b] = [
        authorities[0].engine(&[]).await,
        authorities[1].engine(&[]).await,
    ];
    let directory = Directory::new();
    let manifests = manifests(&directory, [&a, &b]);
    let [a, b] = ["a.pem", "b.pem"];
    let a = directory.write(a, &authorities[0].pem());
    let b = directory.write(b, &authorities[1].pem());
    for (flags, expected) in [
        (vec![of("--ca", "", &a)], [200, 502]),
        (vec![of("--ca", "", &a), of("--ca", "", &b)], [200, 200]),
        (vec![of("--ca", "ml/b=", &b)], [502, 200]),
        (
            vec![of("--ca", "ml/a=", &b), of("--ca", "ml/b=", &a)],
            [502, 502],
        ),
        // What is given for all is for those that have their own too.
        (
            vec![of("--ca", "", &a), of("--ca", "ml/a=", &b)],
            [200, 502],
        ),
    ] {
        assert_eq!(statuses(&manifests, &flags).await, expected, "{flags:?}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_all_or_to_one_model_server() {
    let authority = Authority::private();
    let [a, b] = [
        authority.strict_engine(&[]).await,
        authority.strict_engine(&[]).await,
    ];
    let directory = Directory::new();
    let manifests = manifests(&directory, [&a, &b]);
    let ca = of("--ca", "", &directory.write("ca.pem", &authority.pem()));
    let write = |name: &str, authority: &Authority| {
        let (chain, key) = authority.issue();
        let chain = directory.write(&format!("{name}-chain.pem"), &chain);
        let key = directory.write(&format!("{name}-key.pem"), &key);
        format!("{},{}", chain.display(), key.display())
    };
    let good = write("good", &authority);
    let bad = write("bad", &Authority::private());
    let cert = |files: &str| format!("--client-cert={files}");
    for (flags, expected) in [
        (vec![], [502, 502]),
        (vec![cert(&good)], [200, 200]),
        (vec![cert(&format!("ml/a={good}"))], [200, 502]),
        (vec![cert(&good), cert(&format!("ml/b={bad}"))], [200, 502]),
    ] {
        let flags = [std::slice::from_ref(&ca), &flags[..]].concat();
        assert_eq!(statuses(&manifests, &flags).await, expected, "{flags:?}");
    }
}

/// It ends before it serves, and `--check` says the same.
#[test]
fn what_is_wrong_is_said_at_the_start_and_by_check() {
    let directory = Directory::new();
    let manifests = manifests(&directory, ["https://127.0.0.1:9", "https://127.0.0.1:8"]);
    let authority = Authority::private();
    let (chain, key) = authority.issue();
    let ca = directory.write("ca.pem", &authority.pem());
    let chain = directory.write("chain.pem", &chain);
    let key = directory.write("key.pem", &key);
    let (ca, chain, key) = (ca.display(), chain.display(), key.display());
    let yaml = &manifests[0];
    for (flags, why) in [
        (
            vec![format!("--ca=ml/c={ca}")],
            r#""ml/c": --ca or --client-cert names it"#,
        ),
        (
            vec![format!("--ca=a={ca}")],
            r#""default/a": --ca or --client-cert names it"#,
        ),
        (
            vec![format!("--client-cert=ml/c={chain},{key}")],
            "there is no such ModelServer",
        ),
        (
            vec![format!("--ca={yaml}")],
            "EngineClient, root_certificates",
        ),
        (
            vec![format!("--ca=ml/a={yaml}")],
            r#"ModelServer "ml/a", root_certificates"#,
        ),
        (
            vec![format!("--client-cert=ml/a={chain},{ca}")],
            r#""ml/a", client_certificate"#,
        ),
        (vec!["--ca=ml/a=no-such.pem".to_owned()], "no-such.pem: "),
        (
            vec![format!("--client-cert={chain},{key}"); 2],
            "given twice",
        ),
    ] {
        let start = ["--listen", "127.0.0.1:0", "--manifests"].map(str::to_owned);
        for first in [&start[..], &["--check".to_owned()]] {
            let ended: Ended = run([first, &manifests, &flags].concat());
            assert_eq!(ended.code, Some(1), "{flags:?}: {ended:?}");
            assert!(ended.stderr.contains(why), "{flags:?}: {}", ended.stderr);
            assert!(!ended.stdout.contains("Requests:"), "{}", ended.stdout);
        }
    }
    let flags = [
        format!("--ca=ml/a={ca}"),
        format!("--client-cert=ml/b={chain},{key}"),
    ];
    let checked = run([&["--check".to_owned()], &manifests[..], &flags].concat());
    assert_eq!((checked.code, &*checked.stderr), (Some(0), ""));
    let note = "note: the certificates of https";
    assert!(checked.stdout.contains(note), "{}", checked.stdout);
}

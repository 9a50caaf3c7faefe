//! Limits in manifests.

use std::{fs, sync::Arc, time::Duration};

use axum::http::Request;
use mock_llm::Engine;
use test_kit::{
    directory::Directory,
    redis::Redis,
    socket::{Reply, Upstream},
    time::within,
};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};

use crate::{
    files::{limited, route, server},
    program::{Gateway, run},
};

const REQUESTS: &str = "tower-model-route:limit:{ml/chat}:requests:month:150";

fn manifests(limit: &str) -> String {
    server("small", "org/small") + &limited(&route("chat", "small"), limit)
}

#[tokio::test]
async fn a_rate_limit_is_enforced() {
    let engine = Engine::new("org/small").spawn().await.unwrap();
    let directory = Directory::new();
    let limit = "{outputTokensPerUnit: 20, unit: hour}";
    let path = directory.write("all.yaml", &manifests(limit));
    let path = path.to_str().unwrap();
    let checked = run(["--check", path]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let endpoint = format!("ml/small={}", engine.url());
    let gateway = Gateway::start(["--manifests", path, "--endpoint", &endpoint]).await;
    let mut refused = None;
    for _ in 0..20 {
        let answer = gateway.ask("chat").await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), 200);
        assert!(
            answer
                .headers()
                .contains_key("x-ratelimit-remaining-tokens")
        );
    }
    let refused = refused.expect("20 tokens are not for twenty answers");
    assert!(refused.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn mistakes_in_limits_have_their_line() {
    let directory = Directory::new();
    let limit = "{inputTokensPerUnit: 9, global: {redis: {address: nowhere}}}";
    let path = directory.write("all.yaml", &manifests(limit));
    let checked = run(["--check", path.to_str().unwrap()]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let said = "the address of Redis must be a host and a port";
    assert!(checked.stdout.contains(said), "{checked:?}");
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_said_on_stdout() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr();
    let address = nobody.unwrap();
    let engine = Engine::new("org/small").spawn().await.unwrap();
    let redis = format!("{{redis: {{address: \"{address}\"}}}}");
    let limit = format!("{{outputTokensPerUnit: 9000, unit: hour, global: {redis}}}");
    let (_directory, mut gateway) =
        Gateway::serving_on("127.0.0.1:0", &engine.url(), &manifests(&limit), &[]).await;
    assert_eq!(gateway.ask("chat").await.status(), 200);
    gateway.until("*** the store of limits fails").await;
}

/// 64 clients ask two processes, which share a limit of 150.
///
/// On a starved machine Redis may not answer in 50 ms. Then the client gets a 503, and one of the 150
/// may have been taken for nobody.
#[tokio::test]
async fn two_gateways_in_two_processes_share_a_limit_exactly() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let engine = Engine::new("org/small").spawn().await.unwrap();
    let directory = Directory::new();
    let annotation = format!(
        "  annotations:\n    tower-model-route/limits: |\n      - {{unit: requests, limit: 150, per: month, \
         redis: \"{}\", onStoreFailure: closed}}\nspec:\n  modelName",
        redis.address()
    );
    let all = server("small", "org/small") + &route("chat", "small");
    let all = all.replace("spec:\n  modelName", &annotation);
    let path = directory.write("all.yaml", &all);
    let endpoint = format!("ml/small={}", engine.url());
    let args = [
        "--manifests",
        path.to_str().unwrap(),
        "--endpoint",
        &endpoint,
    ];
    let gateways = [Gateway::start(args).await, Gateway::start(args).await];
    let gateways = Arc::new(gateways);
    let mut clients = JoinSet::new();
    for client in 0..64 {
        let gateways = Arc::clone(&gateways);
        clients.spawn(async move {
            let mut statuses = Vec::new();
            for turn in 0..4 {
                let gateway = &gateways[(client + turn) % 2];
                let mut status = gateway.ask("chat").await.status().as_u16();
                while status == 503 {
                    statuses.push(status);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    status = gateway.ask("chat").await.status().as_u16();
                }
                statuses.push(status);
            }
            statuses
        });
    }
    let statuses = within(clients.join_all()).await.concat();
    let count = |status| statuses.iter().filter(|&&found| found == status).count();
    let (passed, unknown) = (count(200), count(503));
    assert_eq!(passed + unknown + count(429), statuses.len());
    assert!(
        passed <= 150 && passed + unknown >= 150,
        "{passed} and {unknown}"
    );

    // Killed and started again.
    redis.kill().await;
    within(async { while gateways[0].ask("chat").await.status() != 503 {} }).await;
    redis.restart().await;
    within(async {
        while gateways[0].ask("chat").await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let left = redis.tokens(REQUESTS).await;
    assert!((140.0..=149.5).contains(&left), "{left}");
}

/// Manifests with a limit in the Redis at this address.
fn in_redis(address: &str) -> String {
    let redis = format!("{{redis: {{address: \"{address}\"}}}}");
    manifests(&format!(
        "{{outputTokensPerUnit: 1000, unit: month, global: {redis}}}"
    ))
}

const OUTPUT: &str = "tower-model-route:limit:{ml/chat}:outputTokens:month:1000";
/// With letters that an address could not have.
const PASSWORD: &str = "r/i:g@h%t";

#[tokio::test]
async fn a_password_for_redis_comes_from_a_file_and_is_not_shown() {
    let Some(redis) = Redis::with_password(Some(PASSWORD)).await else {
        return;
    };
    let engine = Engine::new("org/small").spawn().await.unwrap();
    let manifests = in_redis(&redis.address());
    let directory = Directory::new();
    let start = async |password: &str| {
        let file = directory.write("password", &format!("{password}\n"));
        let argument = format!("{}={}", redis.address(), file.display());
        let more = ["--redis-password", &argument, "--admin-here"];
        Gateway::serving_on("127.0.0.1:0", &engine.url(), &manifests, &more).await
    };

    let (_manifests, mut gateway) = start("not-the-right-one").await;
    assert_eq!(gateway.ask("chat").await.status(), 200);
    let said = gateway.until("the store of limits").await;
    assert!(
        said.contains(&redis.address()) && said.contains("Password authentication failed"),
        "{said}"
    );
    assert!(!said.contains("right"), "{said}");
    assert_eq!(redis.ask(&["EXISTS", OUTPUT]).await, ["0"]);

    let (_manifests, gateway) = start(PASSWORD).await;
    within(async {
        while redis.ask(&["EXISTS", OUTPUT]).await == ["0"] {
            assert_eq!(gateway.ask("chat").await.status(), 200);
        }
    })
    .await;
    let request = Request::get(format!("{}/_routes", gateway.url()));
    let table = gateway.send(request.body(String::new()).unwrap()).await;
    assert!(!table.body().contains(PASSWORD), "{}", table.body());
}

#[cfg(unix)]
#[tokio::test]
async fn what_the_last_request_has_used_is_settled_before_the_end() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    // On a busy machine a decision may take longer than Redis is given for it.
    for _ in 0..10 {
        if let Some(left) = left_at_the_end(&redis).await {
            assert!((969.0..=971.0).contains(&left), "{left}");
            return;
        }
    }
    panic!("Redis has never decided in time");
}

/// What is left of 1,000 tokens after a request that has used 30, where Redis is slow when it ends
/// and the gateway stops. `None` if Redis has reserved nothing for it.
#[cfg(unix)]
async fn left_at_the_end(redis: &Redis) -> Option<f64> {
    redis.ask(&["DEL", OUTPUT]).await;
    let slow = redis.slow().await;
    let go = Arc::new(Notify::new());
    let usage = r#"{"usage": {"prompt_tokens": 7, "completion_tokens": 30}}"#;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let begun = Reply::new(format!("{head}Content-Length: {}\r\n\r\n", usage.len()));
    let reply = begun.then_wait(&go).then(usage);
    let mut engine = Upstream::start(move |_| reply.clone()).await;
    let manifests = in_redis(&slow.address.to_string());
    let (_directory, mut gateway) = Gateway::serving(&engine, &manifests, &[]).await;
    let stopped = async {
        // What was reserved is more than was used. The gateway knows it once it asks the engine.
        engine.next().await;
        let is_reserved = redis.ask(&["EXISTS", OUTPUT]).await == ["1"];
        slow.delay(300);
        gateway.terminate();
        go.notify_one();
        is_reserved
    };
    let (answer, is_reserved) = tokio::join!(gateway.ask("chat"), stopped);
    assert_eq!(answer.status(), 200);
    gateway.until("Stopped.").await;
    match is_reserved {
        true => Some(redis.tokens(OUTPUT).await),
        false => None,
    }
}

#[tokio::test]
async fn a_password_that_changes_is_a_reload_if_that_is_wanted() {
    let Some(redis) = Redis::with_password(Some(PASSWORD)).await else {
        return;
    };
    let engine = Engine::new("org/small").spawn().await.unwrap();
    let directory = Directory::new();
    let file = directory.write("password", "old");
    let password = format!("{}={}", redis.address(), file.display());
    let more = ["--watch", "--redis-password", &password];
    let manifests = in_redis(&redis.address());
    let (_manifests, mut gateway) =
        Gateway::serving_on("127.0.0.1:0", &engine.url(), &manifests, &more).await;
    // While there is none, the one of before stays.
    fs::remove_file(&file).unwrap();
    gateway.until("manifests not reloaded").await;
    directory.write("password", PASSWORD);
    gateway.until("manifests reloaded").await;
    within(async {
        while redis.ask(&["EXISTS", OUTPUT]).await == ["0"] {
            assert_eq!(gateway.ask("chat").await.status(), 200);
        }
    })
    .await;
}

#[test]
fn a_password_that_is_not_there_or_for_nobody() {
    let directory = Directory::new();
    let path = directory.write("all.yaml", &in_redis("redis.test:6379"));
    let check = |password: &str, variable: Option<&str>| {
        let mut command = std::process::Command::new(crate::program::PATH);
        command.env_remove("REDIS_PASSWORD");
        command.envs(variable.map(|value| ("REDIS_PASSWORD", value)));
        command.args(["--check", path.to_str().unwrap()]);
        let output = command.args(["--redis-password", password]).output();
        let output = output.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = check("redis.test:6379", Some("secret"));
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("unused-password"), "{said}");
    // It is an address that somebody has mistyped.
    let (code, said) = check("reddis.test:6379", Some("secret"));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("unused-password") && said.contains("reddis.test:6379"),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
    let missing = format!("redis.test:6379={}", directory.path().join("no").display());
    for (given, variable, why) in [
        (
            "redis.test:6379",
            None,
            "REDIS_PASSWORD: environment variable not found",
        ),
        ("redis.test:6379", Some(""), "the password is empty"),
        (&*missing, None, "No such file"),
        ("redis.test", Some("secret"), "a host and a port"),
        (
            "redis://:p@redis.test:6379",
            Some("secret"),
            "a host and a port",
        ),
    ] {
        let (code, said) = check(given, variable);
        assert_eq!(code, Some(2), "{given}: {said}");
        assert!(said.contains(why), "{given}: {said}");
    }
}

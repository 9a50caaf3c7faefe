use serde_json::json;
use test_kit::cluster_api::{model_route, model_server, pod};

use super::{becomes, chat, eventually, quiet, table, watched};

const CHAT: [&str; 2] = ["ml/chat = chat", "ml/chat: 10.0.0.1:8000"];

#[tokio::test(start_paused = true)]
async fn a_bad_object_stays_as_it_was_and_is_named_until_it_is_put_right() {
    let cluster = chat();
    cluster.apply(model_route("code", "code", "chat"));
    let (handle, _watch) = watched(&cluster).await;
    let both = [CHAT[0], "ml/code = code", CHAT[1]];
    assert_eq!(table(&handle), both);
    assert!(handle.last_error().is_none());

    let mut bad = model_route("code", "coder", "chat");
    bad["spec"]["rules"][0]["targetModels"][0]["weight"] = json!(300);
    cluster.apply(bad);
    assert!(eventually(|| handle.last_error().is_some()).await);
    assert_eq!(table(&handle), both);
    assert_eq!(
        handle.last_error().unwrap().to_string(),
        "1 mistake in the manifests\nModelRoute ml/code: error: \
         spec.rules[0].targetModels[0].weight: 300 is not a whole number from 0 to 100 \
         [invalid-value]"
    );

    // Others go on changing meanwhile; the error is counted once.
    let failed = handle.reloads().1;
    cluster.apply(pod("chat-1", "chat", "10.0.0.2"));
    let more = [
        CHAT[0],
        "ml/code = code",
        "ml/chat: 10.0.0.1:8000 10.0.0.2:8000",
    ];
    becomes(&handle, &more).await;
    assert!(handle.last_error().is_some());
    assert_eq!(handle.reloads().1, failed);

    cluster.apply(model_route("code", "coder", "chat"));
    becomes(&handle, &[CHAT[0], "ml/code = coder", more[2]]).await;
    assert!(handle.last_error().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_never_was_good_is_left_out() {
    let cluster = chat();
    cluster.apply(json!({
        "apiVersion": "networking.serving.volcano.sh/v1alpha1", "kind": "ModelRoute",
        "metadata": {"namespace": "ml", "name": "bad"}, "spec": 7,
    }));
    let (handle, _watch) = watched(&cluster).await;
    assert_eq!(table(&handle), CHAT);
    assert!(handle.last_error().is_some());
    cluster.delete("modelroutes", "ml", "bad");
    assert!(eventually(|| handle.last_error().is_none()).await);
}

#[tokio::test(start_paused = true)]
async fn a_route_waits_for_its_model_server() {
    let cluster = chat();
    cluster.apply(model_route("code", "code", "code"));
    let (handle, _watch) = watched(&cluster).await;
    let without = [CHAT[0], "ml/code = code", CHAT[1], "ml/code: "];
    assert_eq!(table(&handle), without);
    cluster.apply(pod("code-0", "code", "10.0.0.2"));
    cluster.apply(model_server("code"));
    becomes(
        &handle,
        &[without[0], without[1], CHAT[1], "ml/code: 10.0.0.2:8000"],
    )
    .await;
}

/// An object has no lines that a message could name.
#[tokio::test(start_paused = true)]
async fn of_two_objects_that_exclude_each_other_the_second_is_told_of_the_first() {
    let cluster = chat();
    for name in ["first", "second"] {
        let mut route = model_route(name, name, "chat");
        route["metadata"]["annotations"] = json!({"tower-model-route/without-model": "true"});
        cluster.apply(route);
    }
    let (handle, _watch) = watched(&cluster).await;
    let error = handle.last_error().unwrap().to_string();
    let first = "requests without a model go to the ModelRoute \"ml/first\" already, in ModelRoute \
                 ml/first [";
    assert!(error.contains(first), "{error}");
}

/// It comes from whoever may write ModelRoutes, and reading it takes stack.
#[tokio::test(start_paused = true)]
async fn an_annotation_that_is_nested_without_end_is_one_error() {
    let cluster = chat();
    let (handle, _watch) = watched(&cluster).await;
    for depth in [60, 20_000] {
        let mut route = model_route("code", "code", "chat");
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        route["metadata"]["annotations"] = json!({"tower-model-route/rules": deep});
        cluster.apply(route);
        assert!(eventually(|| handle.last_error().is_some()).await);
        quiet().await;
        assert_eq!(table(&handle), CHAT);
    }
}

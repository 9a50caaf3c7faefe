use test_kit::cluster_api::{model_route, pod};

use super::{becomes, chat, table, watched};

/// Lists as streams cost the API server less, and are asked for first.
#[tokio::test(start_paused = true)]
async fn lists_are_streams() {
    let cluster = chat();
    let (handle, _watch) = watched(&cluster).await;
    assert_eq!(table(&handle), ["ml/chat = chat", "ml/chat: 10.0.0.1:8000"]);
    let requests = cluster.requests();
    assert!(
        requests.iter().all(|it| it.contains("sendInitialEvents")),
        "{requests:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_api_server_without_them_is_asked_for_pages() {
    let cluster = chat();
    for i in 0..1_200 {
        cluster.apply(model_route(&format!("route-{i:04}"), "some", "chat"));
    }
    cluster.only_pages();
    let (handle, _watch) = watched(&cluster).await;
    assert_eq!(table(&handle).len(), 1_202);
    let requests = cluster.requests();
    let pages = requests
        .iter()
        .filter(|it| it.contains("modelroutes") && it.contains("limit="));
    assert_eq!(pages.count(), 3, "{requests:#?}");

    cluster.delete("modelroutes", "ml", "route-0000");
    cluster.apply(pod("chat-0", "chat", "10.0.0.2"));
    super::eventually(|| table(&handle).len() == 1_201).await;
    assert_eq!(table(&handle).last().unwrap(), "ml/chat: 10.0.0.2:8000");
    for i in 1..1_200 {
        cluster.delete("modelroutes", "ml", &format!("route-{i:04}"));
    }
    becomes(&handle, &["ml/chat = chat", "ml/chat: 10.0.0.2:8000"]).await;
}

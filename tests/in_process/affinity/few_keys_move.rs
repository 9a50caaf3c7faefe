//! Endpoints that come and go.

use tower_model_route::{Balance, HashKey, RouteTableHandle};

use super::users::{ENDPOINTS, Gateway, of_user, table_of, uri};

const USERS: usize = 100;

async fn homes(gateway: &Gateway) -> Vec<String> {
    let mut homes = Vec::new();
    for user in 0..USERS {
        homes.push(gateway.ask(of_user(user, user % 5)).await);
    }
    homes
}

#[tokio::test]
async fn only_the_keys_of_the_one_that_goes_move_and_they_come_back_with_it() {
    let table =
        |endpoints: Vec<usize>| table_of(endpoints, Balance::ConsistentHash(HashKey::User.into()));
    let all = || (0..ENDPOINTS).collect::<Vec<_>>();
    let handle = RouteTableHandle::new(table(all()));
    let gateway = Gateway::new(handle.clone());
    let before = homes(&gateway).await;
    for gone in all() {
        let mut left = all();
        left.remove(gone);
        left.reverse();
        handle.replace(table(left));
        let after = homes(&gateway).await;
        let gone = uri(gone);
        assert!(before.contains(&gone));
        for (before, after) in before.iter().zip(after) {
            assert_ne!(after, gone);
            assert!(*before == after || *before == gone);
        }
    }
    handle.replace(table(all()));
    assert_eq!(homes(&gateway).await, before);
}

#[tokio::test]
async fn one_that_comes_takes_only_its_own() {
    let by_user = || Balance::ConsistentHash(HashKey::User.into());
    let handle = RouteTableHandle::new(table_of(0..ENDPOINTS, by_user()));
    let gateway = Gateway::new(handle.clone());
    let before = homes(&gateway).await;
    handle.replace(table_of(0..=ENDPOINTS, by_user()));
    let after = homes(&gateway).await;
    let new = uri(ENDPOINTS);
    assert!(after.contains(&new));
    for (before, after) in before.into_iter().zip(after) {
        assert!(before == after || after == new);
    }
}

//! Counts of an engine that no answer can have.

use http::StatusCode;
use serde_json::json;
use tower_model_route::{Per, RateLimit};

use super::{answer, ask, chat, input_of, left, rig, used};

const MANY: i64 = 100_000_000;

#[tokio::test(start_paused = true)]
async fn a_count_that_is_not_possible_is_as_if_it_were_not_said() {
    for wild in [u64::MAX, i64::MAX as u64, 1 << 32, (1 << 24) + 1] {
        let rig = rig([
            RateLimit::input_tokens(MANY as u64, Per::Month),
            RateLimit::output_tokens(MANY as u64, Per::Month),
            RateLimit::total_tokens(MANY as u64, Per::Month),
            RateLimit::output_tokens(1000, Per::Day),
        ]);
        let body = json!({"choices": [],
            "usage": {"prompt_tokens": wild, "completion_tokens": wild, "total_tokens": wild}});
        let output = body.to_string().len() as i64 / 4;
        rig.engines.next([answer(body)]);
        let request = chat(500);
        let input = input_of(&request);
        assert_eq!(ask(&rig, request).await.status(), StatusCode::OK);
        let expected = [
            MANY - input,
            MANY - output,
            MANY - input - output,
            1000 - output,
        ];
        assert_eq!(left(&rig.table), expected, "{wild}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_largest_that_is_possible_is_a_debt() {
    let rig = rig([RateLimit::output_tokens(1000, Per::Day)]);
    rig.engines.next([used(10, 1 << 24)]);
    ask(&rig, chat(500)).await;
    assert_eq!(left(&rig.table), [1000 - (1 << 24)]);
}

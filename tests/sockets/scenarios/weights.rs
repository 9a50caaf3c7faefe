//! 70 of each 100 requests go to one version, 30 to the other.

use super::{
    ask::{Ask, KINDS, engine},
    engines::Engines,
    gateway::{Gateway, WAYS},
};

#[tokio::test]
async fn seventy_and_thirty_of_a_hundred() {
    let engines = Engines::spawn().await;
    for way in WAYS {
        let gateway = Gateway::spawn(way, engines.table()).await;
        let mut first_version = 0;
        for (number, (chat, stream)) in KINDS.into_iter().cycle().take(100).enumerate() {
            let ask = Ask {
                model: "deepseek-subset",
                chat,
                stream,
                headers: &[],
            };
            let answer = ask.answer(&gateway).await;
            let version = engine(answer.headers());
            first_version += usize::from(version == "v1");
            // Each engine knows its own name only.
            ask.assert_answered(&answer, version);
            let share = 0.7 * (number + 1) as f64;
            assert!(
                (first_version as f64 - share).abs() < 1.0,
                "{way:?} at {number}"
            );
        }
        assert_eq!(first_version, 70, "{way:?}");
    }
    assert_eq!((engines.v1.requests(), engines.v2.requests()), (280, 120));
    assert_eq!(engines.requests(), 400);
}

//! What tests share.

use std::time::Duration;

use bb8_redis::redis::cmd;
use hushwire_testbed::Redis;
use hushwire_wire::Gen;
use slog::{Discard, Logger, o};

use crate::{Link, Settings};

/// The generation that [`link`] sets.
pub(crate) const GEN: Gen = Gen([7; 16]);

/// A link to a server of the test's own, in the generation [`GEN`].
pub(crate) async fn link(redis: &Redis, prefix: &str) -> Link {
    let settings = Settings {
        url: redis.url(),
        prefix: prefix.to_owned(),
        within: Duration::from_secs(5),
        ..Settings::default()
    };
    let link = Link::open(settings, Logger::root(Discard, o!())).await.unwrap();
    let mut connection = link.connection().await.unwrap();
    let () = cmd("HSET")
        .arg(link.generation_key())
        .arg("gen")
        .arg(&GEN.0)
        .arg("born_ms")
        .arg(1_000)
        .query_async(&mut **connection)
        .await
        .unwrap();
    drop(connection);
    link.state().change(|facts| {
        facts.r#gen = Some(GEN);
        facts.born_ms = 1_000;
        facts.reachable = true;
    });
    link
}

#[tokio::test]
async fn a_link_reaches_redis_and_loads_the_library() {
    let redis = Redis::start();
    let link = link(&redis, "hw").await;
    let mut connection = link.connection().await.unwrap();
    let is: bool = cmd("FCALL")
        .arg("hushwire1_is_gen")
        .arg(1)
        .arg(link.generation_key())
        .arg(&GEN.0)
        .query_async(&mut **connection)
        .await
        .unwrap();
    assert!(is);
    assert!(link.copied(&mut connection).await.is_ok());
}

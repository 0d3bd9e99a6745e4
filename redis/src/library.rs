//! The function library: put together from `redis/lua/`, named by its version.
//!
//! A node calls only the functions of its own version, and loads them where they are missing: at
//! start, after a failover, after a loss.

use std::collections::HashMap;

use bb8_redis::redis::aio::MultiplexedConnection;
use bb8_redis::redis::{RedisError, Value, cmd};

/// The name of the library; each function's name begins with it.
pub(crate) const NAME: &str = "hushwire1";

/// The whole source, in the order in which its parts use each other.
pub(crate) fn source() -> String {
    let parts = [
        include_str!("../lua/common.lua"),
        include_str!("../lua/ledger.lua"),
        include_str!("../lua/admit.lua"),
        include_str!("../lua/tokens.lua"),
    ];
    let mut source = format!("#!lua name={NAME}\n");
    for part in parts {
        source.push_str(part);
    }
    source
}

/// Loads the library where it is missing or another.
pub(crate) async fn load(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
    let source = source();
    let known: Vec<HashMap<String, Value>> = cmd("FUNCTION")
        .arg("LIST")
        .arg("LIBRARYNAME")
        .arg(NAME)
        .arg("WITHCODE")
        .query_async(connection)
        .await?;
    let code = known.first().and_then(|library| library.get("library_code"));
    if code == Some(&Value::BulkString(source.clone().into_bytes())) {
        return Ok(());
    }
    let _: String =
        cmd("FUNCTION").arg("LOAD").arg("REPLACE").arg(source).query_async(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use hushwire_testbed::Redis;

    use super::*;

    #[test]
    fn redis_takes_it() {
        let redis = Redis::start();
        let reply = redis.command(&["FUNCTION", "LOAD", "REPLACE", &source()]).unwrap();
        assert_eq!(reply, format!("${}\r\n{NAME}\r\n", NAME.len()));
    }
}

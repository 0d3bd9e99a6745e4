//! The function library: put together from `redis/lua/`, named by its version.
//!
//! A node calls only the functions of its own version, and loads them where they are missing: at
//! start, after a failover, after a loss.

/// The name of the library; each function's name begins with it.
pub(crate) const NAME: &str = "hushwire1";

/// The whole source, in the order in which its parts use each other.
pub(crate) fn source() -> String {
    let parts = [include_str!("../lua/common.lua")];
    let mut source = format!("#!lua name={NAME}\n");
    for part in parts {
        source.push_str(part);
    }
    source
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

//! What docs/postgresql.md tells an operator to do, done.

use std::process::{Command, Stdio};

use super::*;
use crate::conformance::{account, device, user};

#[tokio::test]
async fn the_role_of_the_manual_is_enough_and_its_backup_comes_back() {
    let server = Postgres::start();
    for statement in [
        "CREATE ROLE chat LOGIN PASSWORD 's3cret'",
        "CREATE DATABASE chat OWNER chat ENCODING 'UTF8' TEMPLATE template0",
        "REVOKE ALL ON DATABASE chat FROM PUBLIC",
    ] {
        server.sql("postgres", statement).unwrap();
    }
    server.admit("host all chat 127.0.0.1/32 scram-sha-256");
    let url = format!("postgres://chat:s3cret@127.0.0.1:{}/chat", server.port());
    let store = PostgresStore::open(settings(url)).await.unwrap();
    store.register(account(1)).await.unwrap();
    let dump = Command::new("pg_dump").arg(server.url_of("chat")).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    drop(store);
    let empty = "CREATE DATABASE back OWNER chat ENCODING 'UTF8' TEMPLATE template0";
    server.sql("postgres", empty).unwrap();
    let mut psql = Command::new("psql");
    psql.args(["-Xq1", "-v", "ON_ERROR_STOP=1"]).arg(server.url_of("back"));
    let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut psql.stdin.take().unwrap(), &dump.stdout).unwrap();
    assert!(psql.wait().unwrap().success());
    let url = format!("postgres://chat:s3cret@127.0.0.1:{}/back", server.port());
    let store = PostgresStore::open(settings(url)).await.unwrap();
    assert!(store.login_key(user(1), device(1)).await.unwrap().is_some());
}

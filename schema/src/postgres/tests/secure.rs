//! TLS to a server that speaks it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};

use super::*;

/// A server with a certificate that signs itself, and that certificate's file.
fn secure() -> (Postgres, PathBuf) {
    let server = Postgres::start();
    let data = server.folder().join("data");
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let owner = std::fs::metadata(&data).unwrap();
    for (name, text) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
        let path = data.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    server.sql("postgres", "ALTER SYSTEM SET ssl = on").unwrap();
    (server, data.join("server.crt"))
}

#[tokio::test]
async fn only_a_certificate_that_is_trusted_is_spoken_to() {
    let (mut server, certificate) = secure();
    server.restart();
    let at = |mode: &str| format!("{}?sslmode={mode}", server.url());
    let trusting = |mode: &str, ca_file: Option<PathBuf>| {
        PostgresStore::open(PostgresSettings { ca_file, ..settings(at(mode)) })
    };
    for mode in ["require", "verify-full"] {
        let store = trusting(mode, Some(certificate.clone())).await.unwrap();
        store.ping().await.unwrap();
        let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
            WHERE application_name = 'hushwire'";
        assert_eq!(server.sql("postgres", encrypted).unwrap(), "t");
    }
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&other, params.self_signed(&key).unwrap().pem()).unwrap();
    // Not even where the URL would do without TLS: nobody may talk it away.
    for mode in ["require", "prefer"] {
        let refused = trusting(mode, Some(other.clone())).await.unwrap_err();
        assert!(matches!(refused, PostgresOpenError::Tls { .. }), "{refused:?}");
    }
    let missing = trusting("require", Some(folder.path().join("none.pem"))).await.unwrap_err();
    assert!(matches!(missing, PostgresOpenError::Authorities { .. }), "{missing:?}");
    // Where TLS is out of the question, no authority is needed.
    let plain = trusting("disable", Some(folder.path().join("none.pem"))).await.unwrap();
    plain.ping().await.unwrap();
}

//! TLS to the server: a certificate that somebody trusted signed for the host that the URL names.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::{PostgresOpenError, PostgresSettings};

/// How a certificate is judged. `is_used` is whether the URL lets TLS happen at all: nothing is
/// trusted, and no file read, if not.
pub(super) fn client(
    settings: &PostgresSettings,
    is_used: bool,
) -> Result<ClientConfig, PostgresOpenError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PostgresOpenError::Refused(Box::new(error)))?;
    if !is_used {
        return Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    }
    let Some(path) = &settings.ca_file else {
        let builder = builder
            .with_platform_verifier()
            .map_err(|error| PostgresOpenError::Refused(Box::new(error)))?;
        return Ok(builder.with_no_client_auth());
    };
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
        PostgresOpenError::Authorities { path: path.display().to_string(), source }
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| failed(Box::new(e)))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| failed(Box::new(e)))?;
        roots.add(certificate).map_err(|e| failed(Box::new(e)))?;
    }
    if roots.is_empty() {
        return Err(failed("it holds no certificate".into()));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

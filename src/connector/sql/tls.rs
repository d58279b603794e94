//! How the way to a database is encrypted: with the certificates that this machine trusts, or those the admin names.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::error::{Code, Problem};

/// Who is believed to be the database.
///
/// # Errors
/// When the certificates cannot be read.
pub(super) fn client(ca: Option<&Path>) -> Result<ClientConfig, Problem> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(None, &error))?;
    let Some(ca) = ca else {
        let builder = builder
            .with_platform_verifier()
            .map_err(|error| unusable(None, &error))?;
        return Ok(builder.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(ca).map_err(|error| unusable(Some(ca), &error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(Some(ca), &error))?;
        roots.add(certificate).map_err(|error| unusable(Some(ca), &error))?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn unusable(ca: Option<&Path>, error: &dyn std::fmt::Display) -> Problem {
    let problem = Problem::new(
        Code::ConfigInvalid,
        format!("the certificates for the way to the database cannot be used: {error}"),
    );
    match ca {
        Some(ca) => problem.about(ca.display()),
        None => problem.hint("name a file of certificates (PEM) with `ca:`"),
    }
}

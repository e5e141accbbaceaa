//! Certificates for tests: authorities, servers, clients. All are made anew in every run, so none expires.

use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate and its private key, both PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// An authority that signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, PEM.
    pub certificate: String,
}

impl Authority {
    /// A new authority of this name.
    ///
    /// # Panics
    /// If the cryptographic library cannot make a key.
    pub fn new(name: &str) -> Self {
        let key = key();
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("the parameters above are complete").pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// The authority that the shared servers' certificates come from.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Authority> = OnceLock::new();
        SHARED.get_or_init(|| Self::new("the tests' authority"))
    }

    /// An authority that nobody trusts.
    pub fn stranger() -> &'static Self {
        static STRANGER: OnceLock<Authority> = OnceLock::new();
        STRANGER.get_or_init(|| Self::new("another authority"))
    }

    /// A server's certificate for these names; one that reads as an address is taken as one.
    ///
    /// # Panics
    /// If a name is neither a DNS name nor an address.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.sign(names.first().unwrap_or(&"server"), names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A server's certificate whose time is over.
    ///
    /// # Panics
    /// If a name is neither a DNS name nor an address.
    pub fn expired_server(&self, names: &[&str]) -> Identity {
        let mut params = params(names.first().unwrap_or(&"server"), names);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.finish(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate; PostgreSQL takes the user's name from it.
    ///
    /// # Panics
    /// If the cryptographic library cannot make a key.
    pub fn client(&self, user: &str) -> Identity {
        self.sign(user, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, common_name: &str, names: &[&str], usage: ExtendedKeyUsagePurpose) -> Identity {
        self.finish(params(common_name, names), usage)
    }

    fn finish(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Identity {
        let key = key();
        params.extended_key_usages = vec![usage];
        let certificate =
            params.signed_by(&key, &self.issuer).expect("the parameters above are complete").pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names of tests are DNS names or addresses");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the cryptographic library makes a key")
}

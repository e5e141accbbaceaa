//! TLS towards the target.

/// A service's TLS settings.
pub(crate) struct TlsSettings;

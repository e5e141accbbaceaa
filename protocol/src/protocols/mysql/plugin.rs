//! The authentication plugins that we have the client's side of.

/// The one that every client knows, and that we challenge clients with.
pub(super) const NATIVE: &[u8] = b"mysql_native_password";

/// The one whose client waits for a word of its own before OK.
pub(super) const CACHING_SHA2: &[u8] = b"caching_sha2_password";

pub(super) const CLIENT_ED25519: &[u8] = b"client_ed25519";
pub(super) const PARSEC: &[u8] = b"parsec";

/// See the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    Native,
    CachingSha2,
    Sha256,
    Ed25519,
    Parsec,
    Clear,
}

impl Plugin {
    const ALL: [Self; 6] =
        [Self::Native, Self::CachingSha2, Self::Sha256, Self::Ed25519, Self::Parsec, Self::Clear];

    /// The plugin that a server calls `name`.
    pub(super) fn by_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|plugin| plugin.name() == name)
    }

    /// What servers and clients call it.
    pub(super) fn name(self) -> &'static [u8] {
        match self {
            Self::Native => NATIVE,
            Self::CachingSha2 => CACHING_SHA2,
            Self::Sha256 => b"sha256_password",
            Self::Ed25519 => CLIENT_ED25519,
            Self::Parsec => PARSEC,
            Self::Clear => b"mysql_clear_password",
        }
    }
}

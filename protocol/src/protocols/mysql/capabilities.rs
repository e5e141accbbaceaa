//! Capability flags (MySQL documentation, "Capabilities Flags"; MariaDB documentation, "Connecting": "Extended capabilities").
//!
//! Owns which of them the client is offered, and which both legs end up with. All that a flag means after the login must
//! be the same on both legs, for nobody translates then.

use core::ops::{BitAnd, BitOr, Not};

/// The 32 flags of MySQL, and above them the 32 of MariaDB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities(u64);

/// Bit 0. Every MySQL client and server sets it; one that does not is MariaDB's and has extended flags to show.
pub(super) const CLIENT_MYSQL: Capabilities = Capabilities(1);
pub(super) const CONNECT_WITH_DB: Capabilities = Capabilities(1 << 3);
pub(super) const COMPRESS: Capabilities = Capabilities(1 << 5);
pub(super) const PROTOCOL_41: Capabilities = Capabilities(1 << 9);
pub(super) const SSL: Capabilities = Capabilities(1 << 11);
pub(super) const SECURE_CONNECTION: Capabilities = Capabilities(1 << 15);
pub(super) const PLUGIN_AUTH: Capabilities = Capabilities(1 << 19);
pub(super) const CONNECT_ATTRS: Capabilities = Capabilities(1 << 20);
pub(super) const PLUGIN_AUTH_LENENC: Capabilities = Capabilities(1 << 21);
pub(super) const SESSION_TRACK: Capabilities = Capabilities(1 << 23);
pub(super) const ZSTD: Capabilities = Capabilities(1 << 26);
/// A statement has parameters in front, or at least says that there are none.
pub(super) const QUERY_ATTRIBUTES: Capabilities = Capabilities(1 << 27);
const MULTI_FACTOR: Capabilities = Capabilities(1 << 28);
const SSL_VERIFY_SERVER_CERT: Capabilities = Capabilities(1 << 30);
const REMEMBER_OPTIONS: Capabilities = Capabilities(1 << 31);

/// Flags that say how to log in and nothing about what comes behind: the legs may differ in them.
const HANDSHAKE_ONLY: Capabilities = Capabilities(
    SSL.0
        | SECURE_CONNECTION.0
        | PLUGIN_AUTH.0
        | PLUGIN_AUTH_LENENC.0
        | MULTI_FACTOR.0
        | SSL_VERIFY_SERVER_CERT.0
        | REMEMBER_OPTIONS.0,
);

/// What a client of any age can log in to us with.
const OURS: Capabilities =
    Capabilities(PROTOCOL_41.0 | SECURE_CONNECTION.0 | PLUGIN_AUTH.0 | PLUGIN_AUTH_LENENC.0);

impl Capabilities {
    /// The 32 flags, and MariaDB's, which count only if bit 0 is clear.
    pub(super) fn new(low: u32, extended: u32) -> Self {
        let low = Self(u64::from(low));
        if low.has(CLIENT_MYSQL) { low } else { low | Self(u64::from(extended) << 32) }
    }

    /// Whether all of `flags` are set.
    pub(super) fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether any of `flags` is set.
    pub(super) fn has_any(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    /// MySQL's flags as on the wire.
    pub(super) fn low(self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.0.to_le_bytes();
        [a, b, c, d]
    }

    /// MariaDB's flags as on the wire.
    pub(super) fn extended(self) -> [u8; 4] {
        let [.., a, b, c, d] = self.0.to_le_bytes();
        [a, b, c, d]
    }

    /// What a client is offered where the target offers `self`.
    pub(super) fn announced(self, offers_tls: bool, allows_compression: bool) -> Self {
        let mut announced = self & !(SSL | MULTI_FACTOR) | OURS;
        if offers_tls {
            announced = announced | SSL;
        }
        if !allows_compression {
            announced = announced & !(COMPRESS | ZSTD);
        }
        announced
    }

    /// What a client that says `self` and was offered `announced` is taken at its word for: what it was not offered is not
    /// there. Bit 0 is no offer: it says whose client it is.
    pub(super) fn agreed(self, announced: Self) -> Self {
        let both = self & announced & !CLIENT_MYSQL;
        both | self & CLIENT_MYSQL
    }

    /// What we say to a target that offers `target`, for a client with which `self` is agreed.
    pub(super) fn for_target(self, target: Self, with_tls: bool) -> Self {
        let lasting = self & !HANDSHAKE_ONLY;
        let method = target & (PLUGIN_AUTH | PLUGIN_AUTH_LENENC);
        let tls = if with_tls { SSL } else { Self(0) };
        lasting | PROTOCOL_41 | SECURE_CONNECTION | method | tls
    }

    /// Whether a target that offers `self` can take the place of one whose client was offered `announced`.
    pub(super) fn covers(self, announced: Self) -> bool {
        self.has(announced & !HANDSHAKE_ONLY) && self.has(CLIENT_MYSQL) == announced.has(CLIENT_MYSQL)
    }
}

impl BitAnd for Capabilities {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Not for Capabilities {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        COMPRESS, CONNECT_WITH_DB, Capabilities, MULTI_FACTOR, OURS, PLUGIN_AUTH, PLUGIN_AUTH_LENENC,
        PROTOCOL_41, REMEMBER_OPTIONS, SECURE_CONNECTION, SESSION_TRACK, SSL, ZSTD,
    };

    #[test]
    fn extended_flags_count_only_without_bit_0() {
        assert_eq!(Capabilities::new(1, 4).extended(), [0; 4]);
        assert_eq!(Capabilities::new(2, 4).extended(), [4, 0, 0, 0]);
        assert_eq!(Capabilities::new(0x0403_0201, 9).low(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_client_is_offered_what_the_target_has_and_our_own_way_to_log_in() {
        let target = Capabilities::new(1, 0) | SSL | MULTI_FACTOR | COMPRESS | ZSTD | SESSION_TRACK;
        let announced = target.announced(false, true);
        assert_eq!(announced, Capabilities::new(1, 0) | COMPRESS | ZSTD | SESSION_TRACK | OURS);
        assert_eq!(target.announced(true, false), Capabilities::new(1, 0) | SSL | SESSION_TRACK | OURS);
    }

    #[test]
    fn what_was_not_offered_does_not_count_and_bit_0_is_the_clients_own() {
        let announced = Capabilities::new(0, 6) | SESSION_TRACK;
        let mysql = Capabilities::new(1, 0) | SESSION_TRACK | COMPRESS;
        assert_eq!(mysql.agreed(announced), Capabilities::new(1, 0) | SESSION_TRACK);
        let mariadb = Capabilities::new(0, 7) | SESSION_TRACK;
        assert_eq!(mariadb.agreed(announced), Capabilities::new(0, 6) | SESSION_TRACK);
    }

    #[test]
    fn the_target_is_told_what_the_client_was_and_how_we_log_in() {
        let agreed =
            Capabilities::new(1, 0) | SESSION_TRACK | CONNECT_WITH_DB | SSL | PLUGIN_AUTH | REMEMBER_OPTIONS;
        let target = agreed | PLUGIN_AUTH_LENENC;
        let lasting = Capabilities::new(1, 0) | SESSION_TRACK | CONNECT_WITH_DB;
        let ours = lasting | PROTOCOL_41 | SECURE_CONNECTION;
        assert_eq!(agreed.for_target(target, false), ours | PLUGIN_AUTH | PLUGIN_AUTH_LENENC);
        assert_eq!(agreed.for_target(Capabilities::default(), true), ours | SSL);
    }

    #[test]
    fn another_target_must_have_what_was_promised() {
        let announced = (Capabilities::new(1, 0) | SESSION_TRACK).announced(false, true);
        assert!((Capabilities::new(1, 0) | SESSION_TRACK | PROTOCOL_41 | COMPRESS).covers(announced));
        assert!(!(Capabilities::new(1, 0) | PROTOCOL_41).covers(announced));
        assert!(!(Capabilities::new(0, 0) | SESSION_TRACK | PROTOCOL_41).covers(announced));
    }
}

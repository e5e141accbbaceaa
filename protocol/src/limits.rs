//! The numbers that peers choose meet these first.
//!
//! Owns every bound on what a handshake reads, computes or keeps. A bound without a reason may be deleted.

/// A startup packet, its length word included. PostgreSQL's own cap (`MAX_STARTUP_PACKET_LENGTH`) is this number
/// without the length word.
pub const POSTGRES_STARTUP_MAX: usize = 10_000;

/// Notices that a target may send before it has authenticated us. PostgreSQL sends none; each costs us a look.
pub const POSTGRES_NOTICES_MAX: u32 = 64;

/// A message of the target's handshake. The longest legal ones are errors and SASL mechanism lists, far below.
pub const POSTGRES_AUTH_MESSAGE_MAX: usize = 64 * 1024;

/// A cancel key of protocol 3.2 (protocol documentation, CancelRequest: "The maximum allowed length is 256 bytes").
pub const POSTGRES_CANCEL_KEY_MAX: usize = 256;

/// The payload of a packet in a MySQL handshake. The longest legal ones are a client's response with 64 KiB of connection
/// attributes, and the server's OK with session state.
pub const MYSQL_PACKET_MAX: usize = 128 * 1024;

/// A user's name from a MySQL client, which nobody needs. The server's own cap is 32 characters.
pub const MYSQL_USER_MAX: usize = 1024;

/// Connection attributes of a MySQL client: the server's own cap (documentation, "Performance Schema Connection Attribute
/// Tables").
pub const MYSQL_ATTRIBUTES_MAX: usize = 64 * 1024;

/// The name of an authentication plugin, or a server's version. Real ones are below 64 bytes.
pub const MYSQL_NAME_MAX: usize = 256;

/// How often a MySQL server may change its mind about the method. MariaDB does so for each alternative of an account.
pub const MYSQL_SWITCHES_MAX: u8 = 8;

/// A MySQL server's RSA key in PEM: 8,192 bits take below 1.5 KiB.
pub const MYSQL_SERVER_KEY_MAX: usize = 8 * 1024;

/// A token sent by `mysql_clear_password`.
pub const MYSQL_CLEAR_PASSWORD_MAX: usize = 16 * 1024;

/// The longest SCRAM attribute that we read: nonce, salt, signature. PostgreSQL's own are below 100 bytes.
pub const SCRAM_ATTRIBUTE_MAX: usize = 1024;

/// A whole SCRAM message: three attributes and room for extensions that we do not know.
pub const SCRAM_MESSAGE_MAX: usize = 4 * SCRAM_ATTRIBUTE_MAX;

/// The cause in an error that reaches a client: one line of a terminal or two, whatever a resolver or a TLS
/// library has to say.
pub const ERROR_CAUSE_MAX: usize = 200;

/// About a second of one core. A server that asks for more wants our time, not our proof.
pub const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;

const _: () = assert!(POSTGRES_STARTUP_MAX <= POSTGRES_AUTH_MESSAGE_MAX);

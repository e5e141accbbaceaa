//! One TLS session.
//!
//! Owns the way between plaintext and ciphertext, both in memory: does no I/O and knows no socket. Record by record
//! the work is the TLS library's; what is ours is that it is asked seldom, for much at a time, and that nothing of a
//! burst is kept once it is over.

use std::io::{self, BufRead, IoSlice, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use protocol::Error;
use protocol::auth::channel_binding;
use protocol::tls::{TlsPeer, Verification};
use rustix::io::Errno;
use rustls::{ClientConnection, Connection, ServerConnection};

use super::errors;
use super::tickets::Tickets;
use crate::backlog::Backlog;
use crate::io::{Chunk, Chunks};

/// Chunks that are encrypted before their records are taken out. The library keeps the room of its longest queue of
/// records for as long as the session lives.
const ENCRYPT_MAX: usize = 8;

/// Plaintext of the largest record (RFC 8446 section 5.1).
const RECORD_MAX: usize = 16 * 1024;

/// What a record may have beyond its plaintext: a header, and up to a nonce, a type and a tag.
const RECORD_OVERHEAD: usize = 5 + 8 + 1 + 16;

/// One TLS session.
pub(crate) struct TlsSession {
    connection: Connection,
    role: Role,
    /// Plaintext that is encrypted when the next ciphertext is taken, as few and as large records.
    outgoing: Chunks,
    /// The peer has said that it will send nothing more.
    closed: bool,
    /// Ciphertext of the peer that waits for its turn.
    pub(crate) backlog: Backlog,
}

/// Which end of the session is ours.
enum Role {
    /// We are the client of a target.
    Client { verification: Verification, tickets: Arc<Tickets> },
    /// We are the server of a client.
    Server,
}

impl TlsSession {
    /// A session with a target that has its first message ready.
    pub(super) fn towards_target(
        connection: ClientConnection,
        verification: Verification,
        tickets: Arc<Tickets>,
    ) -> Self {
        Self::new(connection.into(), Role::Client { verification, tickets })
    }

    /// A session with a client, which speaks first.
    pub(super) fn towards_client(connection: ServerConnection) -> Self {
        Self::new(connection.into(), Role::Server)
    }

    fn new(mut connection: Connection, role: Role) -> Self {
        // What is encrypted is taken at once, so the library never holds more than it was given.
        connection.set_buffer_limit(None);
        Self { connection, role, outgoing: Chunks::None, closed: false, backlog: Backlog::default() }
    }

    /// Takes ciphertext in and appends the plaintext that it holds. Answers of the TLS layer itself wait in
    /// [`TlsSession::take_ciphertext`], an alert that says what is wrong included.
    pub(crate) fn decrypt(&mut self, mut ciphertext: &[u8], plaintext: &mut Vec<u8>) -> Result<(), Error> {
        while !ciphertext.is_empty() && !self.closed {
            let taken = self.connection.read_tls(&mut ciphertext);
            if taken.is_err() {
                return Err(self.role.malformed());
            }
            let processed = self.connection.process_new_packets();
            // Also what was good before an error is the peer's word.
            take_plaintext(&mut self.connection, ciphertext.len(), plaintext);
            match processed {
                Ok(state) => self.closed = state.peer_has_closed(),
                Err(error) => return Err(self.role.describe(&error)),
            }
        }
        self.shrink();
        Ok(())
    }

    /// Gives back what a burst has left: without this, a session that falls silent behind one keeps the 32 KiB that a
    /// large record takes to be put together. The library looks at its buffer's size when it is about to read; a read
    /// that brings nothing is enough. It does nothing as long as a part of a record is in the buffer.
    fn shrink(&mut self) {
        struct Nothing;
        impl Read for Nothing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
        // It fails by design.
        let _ = self.connection.read_tls(&mut Nothing);
    }

    /// Encrypts `plaintext` behind everything that is held.
    pub(crate) fn encrypt(&mut self, plaintext: &[u8]) -> Bytes {
        let mut ciphertext = self.take_held(plaintext.len());
        // Writing to memory without a limit takes everything; after a fatal error it takes nothing, and nobody listens.
        let _ = self.connection.writer().write_all(plaintext);
        self.take_records(&mut ciphertext);
        Bytes::from(ciphertext)
    }

    /// Encrypts `plaintext` and gives the records to `send` without a copy: those that it does not take at once.
    pub(crate) fn encrypt_to(
        &mut self,
        plaintext: &[u8],
        send: impl FnMut(&[IoSlice<'_>]) -> Result<usize, Errno>,
    ) -> Result<Vec<u8>, Errno> {
        debug_assert!(self.outgoing.is_empty(), "what is held would be overtaken");
        // See `encrypt` for what may go wrong.
        let _ = self.connection.writer().write_all(plaintext);
        let mut taker = Taker { send, error: None };
        while self.connection.wants_write() && matches!(self.connection.write_tls(&mut taker), Ok(1..)) {}
        match taker.error {
            None | Some(Errno::AGAIN | Errno::INTR) => {
                let mut rest = Vec::new();
                self.take_records(&mut rest);
                Ok(rest)
            }
            Some(error) => Err(error),
        }
    }

    /// Whether plaintext is held that is still to be encrypted.
    pub(crate) fn is_holding(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Keeps `plaintext` until the next ciphertext is taken: what a turn brings is encrypted together.
    pub(crate) fn hold(&mut self, plaintext: Chunk) {
        self.outgoing.push(plaintext);
    }

    /// Ciphertext that is to be sent: everything that is held, and what the TLS layer has to say by itself.
    pub(crate) fn take_ciphertext(&mut self) -> Bytes {
        Bytes::from(self.take_held(0))
    }

    /// Encrypts what is held, into memory that has room for `more` bytes of plaintext besides.
    fn take_held(&mut self, more: usize) -> Vec<u8> {
        let chunks = std::mem::take(&mut self.outgoing);
        let chunks = chunks.as_slice();
        let len = more + chunks.iter().map(|chunk| chunk.bytes().len()).sum::<usize>();
        let mut ciphertext = Vec::new();
        if len > 0 {
            // One record may be begun with each group, and the library may add one of its own.
            let records = len / RECORD_MAX + chunks.len() / ENCRYPT_MAX + 3;
            ciphertext.reserve_exact(len + records * RECORD_OVERHEAD);
        }
        for group in chunks.chunks(ENCRYPT_MAX) {
            // See `encrypt` for what may go wrong.
            let _ = match group {
                [chunk] => self.connection.writer().write(chunk.bytes()),
                several => {
                    let slices: Vec<_> = several.iter().map(|chunk| IoSlice::new(chunk.bytes())).collect();
                    self.connection.writer().write_vectored(&slices)
                }
            };
            self.take_records(&mut ciphertext);
        }
        self.take_records(&mut ciphertext);
        ciphertext
    }

    fn take_records(&mut self, ciphertext: &mut Vec<u8>) {
        while self.connection.wants_write() {
            if !matches!(self.connection.write_tls(ciphertext), Ok(1..)) {
                break;
            }
        }
    }

    /// Says that we will send nothing more than what is held.
    pub(crate) fn close(&mut self) -> Bytes {
        let mut ciphertext = self.take_held(0);
        self.connection.send_close_notify();
        self.take_records(&mut ciphertext);
        Bytes::from(ciphertext)
    }

    /// Whether the peer has said that it will send nothing more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The session has led to nothing: none like it is resumed, for that may have been why. A server with a new
    /// certificate that honours old tickets binds a login to the new one, which we have not seen.
    pub(crate) fn distrust(&self) {
        match &self.role {
            Role::Client { tickets, .. } => tickets.forget(),
            Role::Server => {}
        }
    }

    /// Who is at the other end, once the handshake is over.
    pub(crate) fn peer(&self) -> Option<TlsPeer> {
        if self.connection.is_handshaking() {
            return None;
        }
        match &self.role {
            Role::Client { verification, .. } => {
                let leaf = self.connection.peer_certificates()?.first()?;
                Some(TlsPeer {
                    verified: *verification != Verification::Nothing,
                    end_point: channel_binding::end_point(leaf),
                })
            }
            Role::Server => Some(TlsPeer::UNKNOWN),
        }
    }
}

impl Role {
    /// The failure that `error` is. Each side has its own to answer for.
    fn describe(&self, error: &rustls::Error) -> Error {
        match self {
            Self::Client { verification, .. } => errors::describe(error, *verification),
            Self::Server => errors::describe_client(error),
        }
    }

    /// What came is not TLS.
    fn malformed(&self) -> Error {
        match self {
            Self::Client { .. } => errors::malformed(),
            Self::Server => errors::malformed_client(),
        }
    }
}

/// Hands records on.
struct Taker<F> {
    send: F,
    /// Why the last ones were not taken.
    error: Option<Errno>,
}

impl<F: FnMut(&[IoSlice<'_>]) -> Result<usize, Errno>> Write for Taker<F> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(record)])
    }

    fn write_vectored(&mut self, records: &[IoSlice<'_>]) -> io::Result<usize> {
        (self.send)(records).map_err(|error| {
            self.error = Some(error);
            error.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends what has been decrypted, record by record: no byte is written twice. `behind` is how much ciphertext is
/// still to come in the same piece.
fn take_plaintext(connection: &mut Connection, behind: usize, plaintext: &mut Vec<u8>) {
    let mut reader = connection.reader();
    // It ends with "would block", or with nothing once the peer has closed.
    while let Ok(record) = reader.fill_buf()
        && !record.is_empty()
    {
        let len = record.len();
        plaintext.reserve(len + behind);
        plaintext.extend_from_slice(record);
        reader.consume(len);
    }
}

//! What is said between a target that wants to know who we are and us, method by method.
//!
//! Owns the order of it and the rules about where a password may go. Knows no packet's number, and neither how the
//! dialogue began nor what its end means.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::plugin::Plugin;
use crate::auth::mysql_native::Nonce;
use crate::auth::parsec::{ParsecDerivation, SCRAMBLE_LEN};
use crate::auth::rsa::{RsaEncryption, is_same_key};
use crate::auth::{caching_sha2, client_ed25519, mysql_native};
use crate::fields::sendable;
use crate::limits::{MYSQL_CLEAR_PASSWORD_MAX, MYSQL_NAME_MAX, MYSQL_SERVER_KEY_MAX, MYSQL_SWITCHES_MAX};
use crate::line::Line;
use crate::wire::{Reader, Writer};
use crate::work::{Product, Work};
use crate::{
    BrokerFailed, Bug, CleartextPassword, Credential, Denied, Error, Route, ServerMisbehaved, Unsupported,
};

/// One attempt to log in.
pub(super) struct Dialogue {
    credential: Arc<Credential>,
    route: Arc<Route>,
    line: Line,
    entropy: [u8; 32],
    switches: u8,
    expect: Expect,
}

/// ```text
///   a proof is said ──► Verdict ◄──────────────────────────────────┐
///   caching_sha2: the fast proof ──► Fast ─┬─ 01 03 ───────────────┤
///                                          └─ 01 04: in full ──────┤ in clear, where that may be
///   sha256 ───────────────────────────────────────────────┬────────┘
///                                                         └► Key ─ 01 and a key ──► Encryption ──► Verdict
///   parsec: nothing ──► Salt ─ P … ──► Derivation ──► Verdict
/// ```
/// A request to switch begins anew, from everywhere but where work is under way.
enum Expect {
    Verdict,
    Fast { nonce: Nonce },
    Key { nonce: Nonce },
    Encryption,
    Salt(Scrambles),
    Derivation(Scrambles),
}

/// What parsec signs.
struct Scrambles {
    server: [u8; SCRAMBLE_LEN],
    client: [u8; SCRAMBLE_LEN],
}

/// What is to be done next.
pub(super) enum Act {
    /// Say this, in a packet of its own.
    Say(Zeroizing<Vec<u8>>),
    Compute(Work),
    /// Wait.
    Nothing,
}

/// `01`, in front of what a method's server has to say.
const MORE_DATA: u8 = 0x01;

/// `02`: another factor, please.
const NEXT_FACTOR: u8 = 0x02;

/// `fe`: another method, please.
const SWITCH: u8 = 0xFE;

/// The fast proof was good.
const FAST_SUCCESS: u8 = 0x03;

/// The fast proof was not enough.
const FULL_AUTHENTICATION: u8 = 0x04;

/// `caching_sha2_password` asks for the server's key.
const CACHING_SHA2_KEY: u8 = 0x02;

/// `sha256_password` does.
const SHA256_KEY: u8 = 0x01;

impl Dialogue {
    /// A dialogue in which nothing has been said.
    pub(super) fn new(credential: Arc<Credential>, route: Arc<Route>, line: Line, entropy: [u8; 32]) -> Self {
        Self { credential, route, line, entropy, switches: 0, expect: Expect::Verdict }
    }

    /// Who logs in, and with what.
    pub(super) fn credential(&self) -> &Credential {
        &self.credential
    }

    /// What goes into the login itself: the method that the server would like to begin with, if we have it, and what we say
    /// to its challenge.
    pub(super) fn begin(
        self,
        wanted: &[u8],
        challenge: &[u8],
    ) -> Result<(Self, Plugin, Zeroizing<Vec<u8>>), Error> {
        match Plugin::by_name(wanted) {
            // What it asks for in clear, it may ask for by itself.
            None | Some(Plugin::Clear) => Ok((self, Plugin::Native, Zeroizing::default())),
            Some(plugin) => {
                let (dialogue, proof) = self.respond(plugin, challenge)?;
                Ok((dialogue, plugin, proof))
            }
        }
    }

    /// The server has said something that is not the end.
    pub(super) fn on_packet(self, payload: &[u8]) -> Result<(Self, Act), Error> {
        match (payload, &self.expect) {
            (_, Expect::Encryption | Expect::Derivation(_)) => Err(Bug::UnexpectedEvent.into()),
            ([SWITCH], _) => Err(Unsupported::AuthenticationMethod("mysql_old_password").into()),
            ([SWITCH, request @ ..], _) => self.on_switch(request),
            ([NEXT_FACTOR, ..], _) => Err(Unsupported::AuthenticationMethod("multi-factor").into()),
            // Such a server says it with or without the escape.
            ([MORE_DATA, data @ ..] | data, Expect::Salt(_)) => self.on_salt(data),
            ([MORE_DATA, data @ ..], _) => self.on_more(data),
            _ => Err(ServerMisbehaved::UnexpectedMessage.into()),
        }
    }

    /// The work is done.
    pub(super) fn on_computed(mut self, product: &Product) -> Result<(Self, Act), Error> {
        let said = match (self.expect, product) {
            (Expect::Derivation(Scrambles { server, client }), Product::Parsec(key)) => {
                key.response(&server, &client)
            }
            (Expect::Encryption, Product::Rsa(Some(ciphertext))) => ciphertext.clone(),
            (Expect::Encryption, Product::Rsa(None)) => return Err(ServerMisbehaved::ServerKey.into()),
            _ => return Err(Bug::UnexpectedEvent.into()),
        };
        self.expect = Expect::Verdict;
        Ok((self, Act::Say(Zeroizing::new(said))))
    }

    /// "Protocol::AuthSwitchRequest".
    fn on_switch(mut self, request: &[u8]) -> Result<(Self, Act), Error> {
        self.switches += 1;
        if self.switches > MYSQL_SWITCHES_MAX {
            return Err(ServerMisbehaved::TooManySwitches.into());
        }
        let mut reader = Reader::new(request);
        let name = reader.cstr_or_rest();
        let Some(plugin) = Plugin::by_name(name) else { return Err(unsupported(name).into()) };
        let (dialogue, proof) = self.respond(plugin, reader.remainder())?;
        Ok((dialogue, Act::Say(proof)))
    }

    /// The first thing that we say to a challenge.
    fn respond(mut self, plugin: Plugin, challenge: &[u8]) -> Result<(Self, Zeroizing<Vec<u8>>), Error> {
        let credential = Arc::clone(&self.credential);
        let has_password = sendable(&credential, "password")?.is_some();
        let with_password = |answer: &dyn Fn(&[u8]) -> Vec<u8>| {
            let said = credential.field("password").map(|password| password.expose(answer));
            Zeroizing::new(said.unwrap_or_default())
        };
        let (expect, said) = match plugin {
            Plugin::Native => {
                let nonce = nonce(challenge)?;
                (
                    Expect::Verdict,
                    with_password(&|password| mysql_native::response(password, &nonce).to_vec()),
                )
            }
            // One NUL is "no password".
            Plugin::CachingSha2 | Plugin::Sha256 if !has_password => {
                (Expect::Verdict, Zeroizing::new(alloc::vec![0]))
            }
            Plugin::CachingSha2 => {
                let nonce = nonce(challenge)?;
                let said = with_password(&|password| caching_sha2::response(password, &nonce).to_vec());
                (Expect::Fast { nonce }, said)
            }
            // A server of this method takes a Unix socket for a line like any other.
            Plugin::Sha256 if self.line.tls().is_some() => (Expect::Verdict, self.in_full()?),
            Plugin::Sha256 => {
                self.check_key_retrieval()?;
                (Expect::Key { nonce: nonce(challenge)? }, Zeroizing::new(alloc::vec![SHA256_KEY]))
            }
            Plugin::Ed25519 => {
                let nonce = long_nonce(challenge)?;
                let sign = |password: &[u8]| client_ed25519::response(password, &nonce).to_vec();
                let said = if has_password { with_password(&sign) } else { Zeroizing::new(sign(b"")) };
                (Expect::Verdict, said)
            }
            Plugin::Parsec => {
                let server = long_nonce(challenge)?;
                (Expect::Salt(Scrambles { server, client: self.scramble() }), Zeroizing::default())
            }
            Plugin::Clear => (Expect::Verdict, self.in_clear()?),
        };
        self.expect = expect;
        Ok((self, said))
    }

    /// 32 bytes that nobody has seen, another for each switch.
    fn scramble(&self) -> [u8; SCRAMBLE_LEN] {
        Sha256::new_with_prefix(self.entropy).chain_update([self.switches]).finalize().into()
    }

    /// What a method's own server has to say.
    fn on_more(mut self, data: &[u8]) -> Result<(Self, Act), Error> {
        match (self.expect, data) {
            (Expect::Fast { .. }, [FAST_SUCCESS]) => {
                self.expect = Expect::Verdict;
                Ok((self, Act::Nothing))
            }
            (Expect::Fast { nonce }, [FULL_AUTHENTICATION]) if matches!(self.line, Line::Plain) => {
                self.expect = Expect::Key { nonce };
                self.check_key_retrieval()?;
                Ok((self, Act::Say(Zeroizing::new(alloc::vec![CACHING_SHA2_KEY]))))
            }
            (Expect::Fast { .. }, [FULL_AUTHENTICATION]) => {
                self.expect = Expect::Verdict;
                let said = self.in_full()?;
                Ok((self, Act::Say(said)))
            }
            (Expect::Key { nonce }, key) => {
                self.expect = Expect::Encryption;
                let key = self.checked_key(key)?;
                let credential = Arc::clone(&self.credential);
                Ok((self, Act::Compute(Work::Rsa(RsaEncryption { credential, nonce, key }))))
            }
            _ => Err(ServerMisbehaved::UnexpectedMessage.into()),
        }
    }

    /// `ext-salt` of parsec.
    fn on_salt(mut self, data: &[u8]) -> Result<(Self, Act), Error> {
        let Expect::Salt(scrambles) = self.expect else { return Err(Bug::UnexpectedEvent.into()) };
        let derivation = ParsecDerivation::new(&self.credential, data)?;
        self.expect = Expect::Derivation(scrambles);
        Ok((self, Act::Compute(Work::Parsec(derivation))))
    }

    /// The password for a method whose own protocol has it in clear inside TLS or on a Unix socket, whoever is at the other
    /// end: what TLS is worth was decided with `sslmode`. Only one who says `verified` in so many words has more.
    fn in_full(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.readable(self.route.cleartext_password.unwrap_or(CleartextPassword::Tls))
    }

    /// The password for a method that has it in clear anywhere.
    fn in_clear(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.readable(self.route.cleartext_password())
    }

    /// The password and a NUL, if `rule` lets them go over this line.
    fn readable(&self, rule: CleartextPassword) -> Result<Zeroizing<Vec<u8>>, Error> {
        if !self.line.may_carry_password(rule) {
            return Err(Denied::CleartextPassword.into());
        }
        let mut said = Zeroizing::default();
        if let Some(password) = sendable(&self.credential, "password")? {
            if password.len() > MYSQL_CLEAR_PASSWORD_MAX {
                return Err(BrokerFailed::FieldUnusable("password").into());
            }
            password.expose(|password| Writer::new(&mut said).bytes(password));
        }
        Writer::new(&mut said).u8(0);
        Ok(said)
    }

    /// Whether a key may be asked for: it comes over the line that is to be protected by it.
    fn check_key_retrieval(&self) -> Result<(), Error> {
        let is_pinned = self.credential.field(SERVER_KEY).is_some();
        if is_pinned || self.route.allow_public_key_retrieval || matches!(self.line, Line::Unix) {
            Ok(())
        } else {
            Err(Denied::ServerKeyUnknown.into())
        }
    }

    /// The key that the password may be encrypted with. With a pinned one it is our own copy, never the text that came over
    /// the line: whoever reads that next may find another key in it than the one that was compared.
    fn checked_key(&self, key: &[u8]) -> Result<Box<[u8]>, Error> {
        if key.len() > MYSQL_SERVER_KEY_MAX {
            return Err(ServerMisbehaved::ServerKey.into());
        }
        match self.credential.field(SERVER_KEY) {
            Some(pinned) => pinned
                .expose(|pinned| is_same_key(pinned, key).then(|| pinned.into()))
                .ok_or_else(|| Denied::ServerKeyMismatch.into()),
            None => Ok(key.into()),
        }
    }
}

/// The field with the key that the server must have.
pub(super) const SERVER_KEY: &str = "serverPublicKey";

/// The 20 bytes that most methods are challenged with.
fn nonce(challenge: &[u8]) -> Result<Nonce, Error> {
    match challenge.first_chunk() {
        Some(nonce) => Ok(*nonce),
        None => Err(ServerMisbehaved::MalformedMessage("the nonce").into()),
    }
}

/// The 32 bytes of MariaDB's own methods. Its server escapes what begins like something else.
fn long_nonce(challenge: &[u8]) -> Result<[u8; 32], Error> {
    let challenge = match challenge {
        [MORE_DATA, nonce @ ..] if nonce.len() == 32 => nonce,
        [nonce @ .., 0] if nonce.len() == 32 => nonce,
        nonce => nonce,
    };
    challenge.try_into().map_err(|_| ServerMisbehaved::MalformedMessage("the nonce").into())
}

/// A name for people to read.
fn unsupported(name: &[u8]) -> Unsupported {
    let name = name.get(..name.len().min(MYSQL_NAME_MAX)).unwrap_or_default();
    let printable = name.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '?' });
    Unsupported::AuthenticationPlugin(printable.collect::<String>())
}

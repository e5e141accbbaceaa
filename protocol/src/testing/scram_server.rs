//! A SCRAM-SHA-256 server that knows the password (RFC 5802 section 3), for tests.

use alloc::format;
use alloc::string::String;

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What a server keeps of a password, and of one exchange.
pub struct ScramServer {
    salt: String,
    iterations: u32,
    salted_password: [u8; 32],
    auth_message: String,
}

impl ScramServer {
    /// A server for one exchange.
    pub fn new(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let mut block = hmac(password, &[salt, &[0, 0, 0, 1]].concat());
        let mut salted_password = block;
        for _ in 1..iterations {
            block = hmac(password, &block);
            salted_password.iter_mut().zip(block).for_each(|(bit, other)| *bit ^= other);
        }
        Self { salt: Base64::encode_string(salt), iterations, salted_password, auth_message: String::new() }
    }

    /// `server-first-message` for a `client-first-message`; `None` if that is not one.
    pub fn first(&mut self, client_first: &str) -> Option<String> {
        let bare = client_first.splitn(3, ',').nth(2)?;
        let nonce = bare.rsplit_once("r=")?.1;
        let message = format!("r={nonce}%server,s={},i={}", self.salt, self.iterations);
        self.auth_message = format!("{bare},{message}");
        Some(message)
    }

    /// `server-final-message` for a `client-final-message`; `None` if the proof in it is wrong.
    pub fn last(&self, client_final: &str) -> Option<String> {
        let (without_proof, proof) = client_final.rsplit_once(",p=")?;
        let auth_message = format!("{},{without_proof}", self.auth_message);
        let stored_key: [u8; 32] = Sha256::digest(hmac(&self.salted_password, b"Client Key")).into();
        let signature = hmac(&stored_key, auth_message.as_bytes());
        let mut client_key: [u8; 32] = Base64::decode_vec(proof).ok()?.try_into().ok()?;
        client_key.iter_mut().zip(signature).for_each(|(bit, other)| *bit ^= other);
        if <[u8; 32]>::from(Sha256::digest(client_key)) != stored_key {
            return None;
        }
        let server_key = hmac(&self.salted_password, b"Server Key");
        Some(format!("v={}", Base64::encode_string(&hmac(&server_key, auth_message.as_bytes()))))
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::ScramServer;

    #[test]
    fn answers_as_rfc_7677_section_3_shows() {
        let salt = b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";
        let mut server = ScramServer::new(b"pencil", salt, 4096);
        let first = server.first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!(first, "r=rOprNGfwEbeRWgbNEkqO%server,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        // The RFC's own nonce from here on.
        server.auth_message =
            "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                               s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
                .into();
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(server.last(last).as_deref(), Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert_eq!(server.last(&last.replace("p=d", "p=e")), None);
    }
}

//! The age format, version 1, with X25519 stanzas: sealing a text to one key, and opening a file with any of several.
//!
//! Owns the bytes of <https://age-encryption.org/v1>; the primitives are aws-lc-rs'. Knows nothing of what is sealed,
//! nor of files and keys on disk. What it opens may have been made by another tool, so every kind of stanza is
//! stepped over; armor and passphrases are not read.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, X25519};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use base64ct::{Base64Unpadded, Encoding};
use zeroize::Zeroizing;

use super::identity::{Identity, KEY_BYTES, shared};

/// Why a file is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AgeError {
    /// It is not in the format; what is wrong with it.
    Malformed(&'static str),
    /// It is sealed to other keys.
    NoMatch,
    /// Its header is not the one that was sealed.
    HeaderChanged,
    /// What is behind the header is not what was sealed, or not all of it.
    PayloadChanged,
}

/// Seals `text`: only `identity` opens it. `None` if the kernel gives no entropy.
pub(super) fn seal(text: &[u8], identity: &Identity) -> Option<Zeroizing<Vec<u8>>> {
    let mut file_key = Zeroizing::new([0; FILE_KEY_BYTES]);
    aws_lc_rs::rand::fill(&mut *file_key).ok()?;
    let mut nonce = [0; NONCE_BYTES];
    aws_lc_rs::rand::fill(&mut nonce).ok()?;

    // The text is encrypted where it lies. Growing would leave a copy of it behind, and so would an error.
    let bytes = text.len() + (text.len() / CHUNK_BYTES + 1) * TAG_BYTES + HEADER_BYTES_MAX;
    let mut file = Zeroizing::new(Vec::with_capacity(bytes));
    file.extend_from_slice(VERSION_LINE);
    let (share, body) = wrap(&file_key, identity.recipient())?;
    file.extend_from_slice(b"-> X25519 ");
    file.extend_from_slice(Base64Unpadded::encode_string(&share).as_bytes());
    file.push(b'\n');
    file.extend_from_slice(Base64Unpadded::encode_string(&body).as_bytes());
    file.extend_from_slice(b"\n---");
    let mac = hmac::sign(&header_key(&file_key)?, &file);
    file.push(b' ');
    file.extend_from_slice(Base64Unpadded::encode_string(mac.as_ref()).as_bytes());
    file.push(b'\n');

    file.extend_from_slice(&nonce);
    let key = aead(&*derive(&*file_key, &nonce, b"payload")?)?;
    // "The final chunk MAY be shorter than 64 KiB but MUST NOT be empty unless the whole payload is empty."
    let chunks = text.chunks(CHUNK_BYTES).count().max(1);
    for index in 0..chunks {
        let chunk = &text[index * CHUNK_BYTES..text.len().min((index + 1) * CHUNK_BYTES)];
        let start = file.len();
        file.extend_from_slice(chunk);
        let nonce = chunk_nonce(index, index + 1 == chunks);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut file[start..]).ok()?;
        file.extend_from_slice(tag.as_ref());
    }
    Some(file)
}

/// The text in `file`, whose memory it is decrypted in, and which of `identities` has opened it.
pub(super) fn open(
    mut file: Zeroizing<Vec<u8>>,
    identities: &[Identity],
) -> Result<(Zeroizing<Vec<u8>>, usize), AgeError> {
    let header = Header::parse(&file)?;
    let (file_key, identity) = header.unwrap(identities)?;
    let mac_key = header_key(&file_key).ok_or(AgeError::HeaderChanged)?;
    hmac::verify(&mac_key, &file[..header.signed_bytes], &header.mac).map_err(|_| AgeError::HeaderChanged)?;
    let payload = header.bytes + NONCE_BYTES;
    let nonce = file.get(header.bytes..payload).ok_or(AgeError::Malformed("it ends before its nonce"))?;
    let key = derive(&*file_key, nonce, b"payload").and_then(|key| aead(&*key));
    let key = key.ok_or(AgeError::PayloadChanged)?;

    let sealed_bytes = file.len() - payload;
    let chunks = sealed_bytes.div_ceil(SEALED_CHUNK_BYTES);
    let mut written = 0;
    for index in 0..chunks {
        let start = payload + index * SEALED_CHUNK_BYTES;
        let end = file.len().min(start + SEALED_CHUNK_BYTES);
        let is_last = index + 1 == chunks;
        let nonce = chunk_nonce(index, is_last);
        let opened = key.open_in_place(nonce, Aad::empty(), &mut file[start..end]);
        let bytes = opened.map_err(|_| AgeError::PayloadChanged)?.len();
        if bytes == 0 && index > 0 {
            return Err(AgeError::PayloadChanged);
        }
        file.copy_within(start..start + bytes, written);
        written += bytes;
    }
    if chunks == 0 {
        return Err(AgeError::PayloadChanged);
    }
    file.truncate(written);
    Ok((file, identity))
}

/// Wraps the key of a file for `recipient`: the share of a key that is then forgotten, and the wrapped key.
fn wrap(
    file_key: &[u8; FILE_KEY_BYTES],
    recipient: &[u8; KEY_BYTES],
) -> Option<([u8; KEY_BYTES], [u8; WRAPPED_BYTES])> {
    let key = PrivateKey::generate(&X25519).ok()?;
    let share = key.compute_public_key().ok()?.as_ref().try_into().ok()?;
    let wrapping = aead(&*wrapping_key(&*shared(&key, recipient)?, &share, recipient)?)?;
    // Encrypted where it lies, and wiped if that fails.
    let mut body = Zeroizing::new([0; WRAPPED_BYTES]);
    body[..FILE_KEY_BYTES].copy_from_slice(file_key);
    let sealed = &mut body[..FILE_KEY_BYTES];
    let tag = wrapping.seal_in_place_separate_tag(zero_nonce(), Aad::empty(), sealed).ok()?;
    body[FILE_KEY_BYTES..].copy_from_slice(tag.as_ref());
    Some((share, *body))
}

fn wrapping_key(
    secret: &[u8],
    share: &[u8; KEY_BYTES],
    recipient: &[u8; KEY_BYTES],
) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let salt = [*share, *recipient].concat();
    derive(secret, &salt, b"age-encryption.org/v1/X25519")
}

/// HKDF-SHA-256.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let extracted = Salt::new(HKDF_SHA256, salt).extract(secret);
    extracted.expand(&[info], HKDF_SHA256).ok()?.fill(&mut *key).ok()?;
    Some(key)
}

fn header_key(file_key: &[u8; FILE_KEY_BYTES]) -> Option<hmac::Key> {
    Some(hmac::Key::new(hmac::HMAC_SHA256, &*derive(file_key, b"", b"header")?))
}

fn aead(key: &[u8]) -> Option<LessSafeKey> {
    Some(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?))
}

/// A wrapping key is used once.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// "The first 11 bytes are a big endian chunk counter [..]; the last byte is 0x01 for the final chunk."
fn chunk_nonce(index: usize, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&(index as u64).to_be_bytes());
    nonce[11] = u8::from(is_last);
    Nonce::assume_unique_for_key(nonce)
}

/// A header that is well formed; whether it is genuine is not known before its MAC is checked.
struct Header {
    /// The X25519 stanzas: a share and a wrapped key each.
    stanzas: Vec<([u8; KEY_BYTES], [u8; WRAPPED_BYTES])>,
    mac: [u8; KEY_BYTES],
    /// Up to and with the `---` of its last line.
    signed_bytes: usize,
    /// Up to and with the newline behind the MAC.
    bytes: usize,
}

impl Header {
    fn parse(file: &[u8]) -> Result<Self, AgeError> {
        let mut lines = Lines { file, at: 0 };
        if lines.next()? != VERSION_LINE.trim_ascii_end() {
            return Err(AgeError::Malformed("it does not begin as an age file of version 1 does"));
        }
        let mut stanzas = Vec::new();
        let mut seen = 0;
        loop {
            let start = lines.at;
            let line = lines.next()?;
            if let Some(mac) = line.strip_prefix(b"--- ") {
                if seen == 0 {
                    return Err(AgeError::Malformed("it is sealed to nobody"));
                }
                let mac = decode(mac).ok_or(AgeError::Malformed("its MAC is not one"))?;
                return Ok(Self { stanzas, mac, signed_bytes: start + 3, bytes: lines.at });
            }
            let words = line.strip_prefix(b"-> ").ok_or(AgeError::Malformed("a stanza has no beginning"))?;
            seen += 1;
            if seen > STANZAS_MAX {
                return Err(AgeError::Malformed("it has too many stanzas"));
            }
            let words: Vec<&[u8]> = words.split(|byte| *byte == b' ').collect();
            if words.iter().any(|word| word.is_empty() || !word.iter().all(u8::is_ascii_graphic)) {
                return Err(AgeError::Malformed("a stanza has an argument that is none"));
            }
            let body = lines.body()?;
            match (words[0], &words[1..]) {
                (b"X25519", [share]) => {
                    let share = decode(share).ok_or(AgeError::Malformed("a share is not one"))?;
                    let body = body.ok_or(AgeError::Malformed("a wrapped key is not one"))?;
                    stanzas.push((share, body));
                }
                (b"X25519", _) => return Err(AgeError::Malformed("a stanza has too many arguments")),
                // "An scrypt stanza, if present, MUST be the only stanza", and a passphrase we do not take.
                (b"scrypt", _) => return Err(AgeError::Malformed("it is sealed with a passphrase")),
                _ => {}
            }
        }
    }

    /// The key of the file, and which of `identities` has unwrapped it.
    fn unwrap(&self, identities: &[Identity]) -> Result<(Zeroizing<[u8; FILE_KEY_BYTES]>, usize), AgeError> {
        for (share, body) in &self.stanzas {
            for (index, identity) in identities.iter().enumerate() {
                let low_order = AgeError::Malformed("a share is a point of low order");
                let secret = identity.agree(share).ok_or(low_order)?;
                let wrapping =
                    wrapping_key(&*secret, share, identity.recipient()).and_then(|key| aead(&*key));
                let mut body = Zeroizing::new(*body);
                let opened = wrapping.and_then(|key| {
                    let opened = key.open_in_place(zero_nonce(), Aad::empty(), &mut *body).ok()?;
                    Some(Zeroizing::new(<[u8; FILE_KEY_BYTES]>::try_from(&*opened).ok()?))
                });
                if let Some(file_key) = opened {
                    return Ok((file_key, index));
                }
            }
        }
        Err(AgeError::NoMatch)
    }
}

/// The lines of a header.
struct Lines<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line, without its newline.
    fn next(&mut self) -> Result<&'a [u8], AgeError> {
        let rest = &self.file[self.at..];
        let bytes = rest.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n');
        let bytes = bytes.ok_or(AgeError::Malformed("its header has no end"))?;
        self.at += bytes + 1;
        Ok(&rest[..bytes])
    }

    /// The body of a stanza: full lines, and one that is shorter. `None` if it is no wrapped key of a file.
    fn body(&mut self) -> Result<Option<[u8; WRAPPED_BYTES]>, AgeError> {
        let mut bytes = 0;
        let mut first = None;
        for _ in 0..BODY_LINES_MAX {
            let line = self.next()?;
            let mut buffer = [0; COLUMNS / 4 * 3];
            let fits = line.len() <= COLUMNS;
            let piece = fits.then(|| Base64Unpadded::decode(line, &mut buffer).ok()).flatten();
            let piece = piece.ok_or(AgeError::Malformed("the body of a stanza is not canonical base64"))?;
            bytes += piece.len();
            first = first.or_else(|| <[u8; WRAPPED_BYTES]>::try_from(piece).ok());
            if line.len() < COLUMNS {
                return Ok(first.filter(|_| bytes == WRAPPED_BYTES));
            }
        }
        Err(AgeError::Malformed("the body of a stanza has no end"))
    }
}

/// 32 bytes of canonical base64 without padding.
fn decode(text: &[u8]) -> Option<[u8; KEY_BYTES]> {
    let mut buffer = [0; KEY_BYTES + 1];
    let bytes =
        (text.len() == KEY_COLUMNS).then(|| Base64Unpadded::decode(text, &mut buffer).ok()).flatten()?;
    bytes.try_into().ok()
}

const VERSION_LINE: &[u8] = b"age-encryption.org/v1\n";

/// "The file key MUST be generated as 16 bytes of CSPRNG output."
const FILE_KEY_BYTES: usize = 16;

const TAG_BYTES: usize = 16;

/// A file key with its tag.
const WRAPPED_BYTES: usize = FILE_KEY_BYTES + TAG_BYTES;

const NONCE_BYTES: usize = 16;

/// What we write has 168 bytes, and a nonce.
const HEADER_BYTES_MAX: usize = 256;

/// "The payload is split in chunks of 64 KiB, and each of them is encrypted."
const CHUNK_BYTES: usize = 64 * 1024;

const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

/// Of a stanza's body, in base64.
const COLUMNS: usize = 64;

/// 32 bytes in base64.
const KEY_COLUMNS: usize = 43;

/// Longer than any line that a known tool writes: a post-quantum stanza has about 1,500 bytes.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// 6 KiB of body.
const BODY_LINES_MAX: usize = 128;

/// We write one; who adds a key of their own by another tool writes few.
const STANZAS_MAX: usize = 64;

#[cfg(test)]
#[path = "age_tests.rs"]
mod tests;

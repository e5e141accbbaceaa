//! PostgreSQL's MD5 password response (protocol documentation, "Start-up": `AuthenticationMD5Password`).
//!
//! Owns the arithmetic. Whether MD5 may be used at all is decided elsewhere.

use ::md5::{Digest, Md5};
use zeroize::Zeroizing;

/// `"md5"` and 32 hexadecimal digits.
pub(crate) type Response = Zeroizing<[u8; 35]>;

/// `concat('md5', md5(concat(md5(concat(password, username)), random-salt)))`, the inner digest in hexadecimal.
pub(crate) fn response(password: &[u8], username: &[u8], salt: [u8; 4]) -> Response {
    let inner = hex_digest(&[password, username]);
    let outer = hex_digest(&[&*inner, &salt]);
    let mut response = Zeroizing::new(*b"md5--------------------------------");
    for (place, digit) in response.iter_mut().skip(3).zip(outer.iter()) {
        *place = *digit;
    }
    response
}

fn hex_digest(parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    let mut digest = Zeroizing::new([0; 16]);
    hash.finalize_into((&mut *digest).into());
    let mut hex = Zeroizing::new([0; 32]);
    for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(digest.iter()) {
        *pair = [hex_digit(byte >> 4), hex_digit(byte & 0x0F)];
    }
    hex
}

/// `nibble` is below 16.
fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + (nibble - 10),
    }
}

#[cfg(test)]
mod tests {
    use super::{hex_digest, response};

    #[test]
    fn hashes_as_rfc_1321_appendix_a5_says() {
        assert_eq!(&*hex_digest(&[b""]), b"d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(&*hex_digest(&[b"mess", b"age digest"]), b"f96b697d7cb7938d525a2f31aaf161d0");
    }

    #[test]
    fn answers_as_postgresql_expects() {
        // Recomputed with an independent implementation: the inner digest is 53f48b7c4b76a86ce72276c5755f217d.
        assert_eq!(&*response(b"secret", b"postgres", [1, 2, 3, 4]), b"md5bb41a296aab6baccb36ff243a562abff");
    }

    #[test]
    fn agrees_with_the_postgres_protocol_crate() {
        let cases: [(&[u8], &[u8], [u8; 4]); 3] =
            [(b"p", b"u", [0; 4]), (b"\xFF\x00", b"", [0xFF; 4]), (&[b'x'; 300], b"app", *b"salt")];
        for (password, username, salt) in cases {
            let expected = postgres_protocol::authentication::md5_hash(username, password, salt);
            assert_eq!(&*response(password, username, salt), expected.as_bytes());
        }
    }
}

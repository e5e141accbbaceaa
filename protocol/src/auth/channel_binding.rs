//! `tls-server-end-point` channel binding (RFC 5929 section 4).
//!
//! Owns the choice of the hash and the walk to it through a certificate. Does not know what is bound with it, and
//! does not check the certificate.

use alloc::boxed::Box;

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

/// The channel binding data for a leaf certificate in DER: its hash (RFC 5929 section 4.1).
///
/// `None` where the signature algorithm has no single hash that we know (Ed25519, for one), or where `certificate`
/// is not one.
pub fn end_point(certificate: &[u8]) -> Option<Box<[u8]>> {
    match signature_hash(certificate)? {
        Hash::Sha224 => Some(digest::<Sha224>(certificate)),
        // "if the certificate's signatureAlgorithm uses a single hash function, and that hash function is either
        // MD5 [RFC1321] or SHA-1 [RFC3174], then use SHA-256"
        Hash::Md5 | Hash::Sha1 | Hash::Sha256 => Some(digest::<Sha256>(certificate)),
        Hash::Sha384 => Some(digest::<Sha384>(certificate)),
        Hash::Sha512 => Some(digest::<Sha512>(certificate)),
        Hash::Sha512_224 => Some(digest::<Sha512_224>(certificate)),
        Hash::Sha512_256 => Some(digest::<Sha512_256>(certificate)),
    }
}

fn digest<D: Digest>(bytes: &[u8]) -> Box<[u8]> {
    Box::from(&*D::digest(bytes))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512_224,
    Sha512_256,
}

/// The hash of a certificate's signature (RFC 5280 section 4.1):
/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }`
fn signature_hash(certificate: &[u8]) -> Option<Hash> {
    let mut input = Der(certificate);
    let mut fields = Der(input.value(SEQUENCE)?);
    // The certificate is hashed as it is, so it must be all there is.
    input.end()?;
    fields.value(SEQUENCE)?;
    let mut algorithm = Der(fields.value(SEQUENCE)?);
    fields.value(BIT_STRING)?;
    fields.end()?;

    let oid = algorithm.value(OBJECT_IDENTIFIER)?;
    if oid == RSASSA_PSS {
        return pss_hash(algorithm);
    }
    SIGNATURES.iter().find(|(known, _)| *known == oid).map(|(_, hash)| *hash)
}

/// RFC 4055 section 3.1: `RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] HashAlgorithm DEFAULT sha1, … }`
fn pss_hash(mut parameters: Der<'_>) -> Option<Hash> {
    let mut fields = Der(parameters.value(SEQUENCE)?);
    parameters.end()?;
    if fields.next_tag() != Some(CONTEXT_0) {
        return Some(Hash::Sha1);
    }
    let mut tagged = Der(fields.value(CONTEXT_0)?);
    let mut algorithm = Der(tagged.value(SEQUENCE)?);
    let oid = algorithm.value(OBJECT_IDENTIFIER)?;
    HASHES.iter().find(|(known, _)| *known == oid).map(|(_, hash)| *hash)
}

/// Distinguished Encoding Rules (X.690), as far as a certificate's frame needs them.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next_tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The content of the next value, which must have `tag`.
    fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let len = match first {
            0..=0x7F => usize::from(first),
            // Up to four bytes of length; 0x80 is the indefinite form, which DER forbids.
            0x81..=0x84 => {
                let (bytes, behind) = rest.split_at_checked(usize::from(first & 0x7F))?;
                rest = behind;
                bytes
                    .iter()
                    .try_fold(0_usize, |len, &byte| len.checked_mul(256)?.checked_add(usize::from(byte)))?
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        (found == tag).then_some(content)
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`
const CONTEXT_0: u8 = 0xA0;

/// 1.2.840.113549.1.1.10 (RFC 4055 section 3.1)
const RSASSA_PSS: &[u8] = b"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0A";

/// Signature algorithms that name their hash.
const SIGNATURES: &[(&[u8], Hash)] = &[
    // 1.2.840.113549.1.1.x: md5 and sha1 (RFC 3279 section 2.2.1), sha2 (RFC 4055 section 5), sha512/t (RFC 8017)
    (b"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x04", Hash::Md5),
    (b"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x05", Hash::Sha1),
    (b"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0B", Hash::Sha256),
    (b"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0C", Hash::Sha384),
    (b"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0D", Hash::Sha512),
    (b"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0E", Hash::Sha224),
    (b"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0F", Hash::Sha512_224),
    (b"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x10", Hash::Sha512_256),
    // 1.2.840.10045.4.x: ecdsa (RFC 5758 section 3.2)
    (b"\x2A\x86\x48\xCE\x3D\x04\x01", Hash::Sha1),
    (b"\x2A\x86\x48\xCE\x3D\x04\x03\x01", Hash::Sha224),
    (b"\x2A\x86\x48\xCE\x3D\x04\x03\x02", Hash::Sha256),
    (b"\x2A\x86\x48\xCE\x3D\x04\x03\x03", Hash::Sha384),
    (b"\x2A\x86\x48\xCE\x3D\x04\x03\x04", Hash::Sha512),
    // dsa: 1.2.840.10040.4.3 (RFC 3279), 2.16.840.1.101.3.4.3.x (RFC 5758 section 3.1)
    (b"\x2A\x86\x48\xCE\x38\x04\x03", Hash::Sha1),
    (b"\x60\x86\x48\x01\x65\x03\x04\x03\x01", Hash::Sha224),
    (b"\x60\x86\x48\x01\x65\x03\x04\x03\x02", Hash::Sha256),
];

/// Hash algorithms by themselves (RFC 4055 section 2.1, RFC 8017 appendix B.1).
const HASHES: &[(&[u8], Hash)] = &[
    (b"\x2A\x86\x48\x86\xF7\x0D\x02\x05", Hash::Md5),
    (b"\x2B\x0E\x03\x02\x1A", Hash::Sha1),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x01", Hash::Sha256),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x02", Hash::Sha384),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x03", Hash::Sha512),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x04", Hash::Sha224),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x05", Hash::Sha512_224),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x06", Hash::Sha512_256),
];

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;
    use alloc::{format, vec};

    use super::{Hash, end_point, signature_hash};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    // Certificates and digests are OpenSSL's: `openssl req -x509`, `openssl dgst`.
    #[test]
    fn hashes_a_certificate_by_its_signature_algorithm_and_never_by_md5_or_sha_1() {
        let cases: [(&[u8], &str); 16] = [
            (
                include_bytes!("testdata/rsa-md5.der"),
                "5de3249e7387ed4403fa7fdf7334880a03c298cab86e543582c458054732a45b",
            ),
            (
                include_bytes!("testdata/rsa-sha1.der"),
                "47c7db9c98684f9ba1e2eaac6a393b225b06ba797c9d5c3c0f37e0107544c258",
            ),
            (
                include_bytes!("testdata/rsa-sha224.der"),
                "97075c1342eec771a873964fdc5079f7cba3dd5512242c440d800e48",
            ),
            (
                include_bytes!("testdata/rsa-sha256.der"),
                "23a3f6996d185e9a1f961f7180c6da100d573232c64cae7cd384b5e2db2bc9b9",
            ),
            (
                include_bytes!("testdata/rsa-sha384.der"),
                "0a58dacd0940818598db6e714269ba8b0fb062898f11f6938a26e41d8841b1003e8c4b33f5519d6ff5208df0229c998b",
            ),
            (
                include_bytes!("testdata/rsa-sha512.der"),
                "c97b84fac68e45033d7ab4a7a77c299b4a2b5939474e0b01a02c7951838f82fd2d5963d84d9a52df77c8817bfba30ad47adf0e09e08fbd4af23e3b2363287034",
            ),
            (
                include_bytes!("testdata/rsa-sha512-256.der"),
                "cdc78ed819cf571c1424bec11156b0f123db94d0fc3887c7bbec055e7652222a",
            ),
            (
                include_bytes!("testdata/pss-sha1.der"),
                "59063352e5dba47a73f7579a23c1ff6233d0a46811e4a9504df613e314742a65",
            ),
            (
                include_bytes!("testdata/pss-sha256.der"),
                "814aa979ee122c0f4a60cd5debc440ce4e1cc7831aed302a0331035ab3b91b21",
            ),
            (
                include_bytes!("testdata/pss-sha384.der"),
                "47d571f63945aa4478c51b7a9f1c3c94ad76b82ceb8d4b30336c8f3fa9855216d0dce6baad0f28b0c4dc681ae162d2f3",
            ),
            (
                include_bytes!("testdata/pss-sha512.der"),
                "fa646f017c8b53a5bf0639fc16160a763f41971101d7fea554e78024c2439b9a5440c25c79ca2798aa878ca50adda3dce1468ef51daf1422aa312910b3ca3fbe",
            ),
            (
                include_bytes!("testdata/ecdsa-sha1.der"),
                "9eff3ffcf748a4c3da8721d3adb463f6bcd8876e086f1a06f706b4c417a1bbe9",
            ),
            (
                include_bytes!("testdata/ecdsa-sha224.der"),
                "dd5903fc2975860e85ed6caefbf80d4fea3717fa121e4a9e22ee465c",
            ),
            (
                include_bytes!("testdata/ecdsa-sha256.der"),
                "5fb942ffa6e7592166c63d672f5873e16d9fd05653cdd251daca4d103a52addf",
            ),
            (
                include_bytes!("testdata/ecdsa-sha384.der"),
                "b7a3cd0a9d9bcb8756cb9803d2709ba764bc5f4869465fbaff7186d56d7b2696b40d96a67f38f3157c335bcf47149b71",
            ),
            (
                include_bytes!("testdata/ecdsa-sha512.der"),
                "c482f60661ba8907514c0e59c7c1278b3815b5dba616c739ba74cfa30ef0e340351df00378fa355e80821a02599d9a071003f665c0fd49ebf7a53613ebd1e243",
            ),
        ];
        for (certificate, expected) in cases {
            let hash = end_point(certificate).map(|hash| hex(&hash));
            assert_eq!(hash.as_deref(), Some(expected), "{}", hex(certificate));
        }
    }

    #[test]
    fn has_no_hash_where_none_is_defined_or_known() {
        assert_eq!(end_point(include_bytes!("testdata/ed25519.der")), None);
        assert_eq!(end_point(include_bytes!("testdata/rsa-sha3-256.der")), None);
    }

    #[test]
    fn a_pss_signature_without_parameters_that_name_a_hash_is_by_sha_1() {
        assert_eq!(signature_hash(include_bytes!("testdata/pss-sha1.der")), Some(Hash::Sha1));
    }

    #[test]
    fn a_certificate_cut_short_or_with_bytes_behind_it_is_none() {
        let whole = include_bytes!("testdata/pss-sha384.der");
        for len in 0..whole.len() {
            assert_eq!(end_point(&whole[..len]), None, "{len} bytes");
        }
        assert_eq!(end_point(&[&whole[..], &[0]].concat()), None);
    }

    #[test]
    fn every_changed_byte_is_a_certificate_or_none_and_never_a_panic() {
        let whole = include_bytes!("testdata/pss-sha384.der");
        for (at, value) in
            (0..whole.len()).flat_map(|at| [0, 0x30, 0x7F, 0x80, 0x84, 0xFF].map(|value| (at, value)))
        {
            let mut changed = whole.to_vec();
            changed[at] = value;
            if let Some(hash) = end_point(&changed) {
                assert!([28, 32, 48, 64].contains(&hash.len()));
            }
        }
    }

    /// A value in DER whose length takes `length_bytes` bytes.
    fn der(tag: u8, length_bytes: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        let length = &length[4 - usize::from(length_bytes)..];
        [&[tag, 0x80 | length_bytes], length, content].concat()
    }

    #[test]
    fn walks_long_lengths_and_refuses_impossible_ones() {
        let certificate = |length_bytes| {
            let algorithm = der(0x30, length_bytes, b"\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x03");
            let to_be_signed = der(0x30, length_bytes.max(3), &vec![0; 100_000]);
            let fields = [&to_be_signed[..], &algorithm, &der(0x03, length_bytes, b"\0signature")].concat();
            der(0x30, length_bytes.max(3), &fields)
        };
        for length_bytes in 1..=4 {
            assert_eq!(signature_hash(&certificate(length_bytes)), Some(Hash::Sha384), "{length_bytes}");
        }
        let algorithm = der(0x30, 1, b"\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x03");
        let indefinite = [b"\x30\x80", &algorithm[..], b"\x03\x01\0"].concat();
        assert_eq!(signature_hash(&der(0x30, 1, &indefinite)), None, "0x80 is no length of zero");
        // Indefinite, five bytes of length, more than there is.
        for start in [&[0x30, 0x80][..], &[0x30, 0x85, 0, 0, 0, 0, 1], &[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]]
        {
            assert_eq!(signature_hash(&[start, &[0; 64]].concat()), None);
        }
    }
}

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

//! The age format: the test vectors of the specification's authors, round trips, and what nobody may change unnoticed.

use std::fs;
use std::path::PathBuf;

use super::*;

/// The vectors of <https://c2sp.org/CCTV/age> that are neither armored nor compressed, byte for byte.
#[test]
fn every_vector_of_the_specification_is_read_or_refused_as_it_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/age");
    let mut outcomes = std::collections::BTreeMap::new();
    for entry in folder.read_dir().expect("the vectors are there").flatten() {
        let name = entry.file_name().into_string().expect("text");
        let vector = fs::read(entry.path()).expect("can be read");
        let end = vector.windows(2).position(|pair| pair == b"\n\n").expect("a head and a file");
        let head = std::str::from_utf8(&vector[..end]).expect("the head is text");
        let field = |key: &str| head.lines().filter_map(|line| line.strip_prefix(key)).collect::<Vec<_>>();
        let identities: Vec<Identity> = field("identity: ").into_iter().filter_map(Identity::parse).collect();
        let opened = open(Zeroizing::new(vector[end + 2..].to_vec()), &identities);
        let expected = field("expect: ")[0];
        let outcome = match opened {
            Ok((text, _)) => {
                let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text);
                let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(field("payload: "), [hash], "{name}");
                "success"
            }
            Err(AgeError::Malformed(_)) => "header failure",
            Err(AgeError::NoMatch) => "no match",
            Err(AgeError::HeaderChanged) => "HMAC failure",
            Err(AgeError::PayloadChanged) => "payload failure",
        };
        assert_eq!(outcome, expected, "{name}");
        *outcomes.entry(outcome).or_insert(0) += 1;
    }
    let expected = [
        ("HMAC failure", 1),
        ("header failure", 32),
        ("no match", 3),
        ("payload failure", 6),
        ("success", 7),
    ];
    assert_eq!(outcomes, expected.into_iter().collect());
}

fn key() -> Identity {
    Identity::generate().expect("there is entropy")
}

fn sealed(text: &[u8], key: &Identity) -> Vec<u8> {
    let file = seal(text, key).expect("there is entropy");
    let chunks = text.len().div_ceil(CHUNK_BYTES).max(1);
    let header = file.len() - text.len() - chunks * TAG_BYTES;
    assert!(header <= HEADER_BYTES_MAX, "it has grown where it lay: {header} bytes of header");
    file.to_vec()
}

fn opened(file: &[u8], key: &Identity) -> Result<Vec<u8>, AgeError> {
    let keys = std::slice::from_ref(key);
    open(Zeroizing::new(file.to_vec()), keys).map(|(text, _)| text.to_vec())
}

#[test]
fn opens_what_it_has_sealed_whatever_its_length() {
    let key = key();
    for length in [0, 1, 15, 65_535, 65_536, 65_537, 131_072, 200_000] {
        let text: Vec<u8> = (0..length).map(|at: u32| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
        let file = sealed(&text, &key);
        assert_eq!(opened(&file, &key), Ok(text), "{length} bytes");
        assert_eq!(opened(&file, &self::key()), Err(AgeError::NoMatch));
    }
}

#[test]
fn no_two_files_have_anything_in_common() {
    let key = key();
    let (one, other) = (sealed(b"the same", &key), sealed(b"the same", &key));
    let tail = |file: &[u8]| file[file.len() - 24..].to_vec();
    assert_ne!(tail(&one), tail(&other));
}

#[test]
fn says_which_key_has_opened_it() {
    let keys = [key(), key(), key()];
    for (index, key) in keys.iter().enumerate() {
        let (text, by) = open(Zeroizing::new(sealed(b"text", key)), &keys).expect("one of them fits");
        assert_eq!((&**text, by), (&b"text"[..], index));
    }
}

#[test]
fn notices_a_change_of_any_bit_and_a_cut_at_any_place() {
    let key = key();
    let file = sealed(b"a text of some length", &key);
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[at] ^= 1 << bit;
            assert!(opened(&changed, &key).is_err(), "byte {at}, bit {bit}");
        }
        assert!(opened(&file[..at], &key).is_err(), "cut behind {at} bytes");
    }
    assert!(opened(&[&file[..], b"x"].concat(), &key).is_err(), "something was put behind it");
}

#[test]
fn notices_chunks_that_are_missing_swapped_or_added() {
    let key = key();
    let text = vec![7; 3 * CHUNK_BYTES];
    let file = sealed(&text, &key);
    let payload = file.len() - 3 * SEALED_CHUNK_BYTES;
    let chunk = |index: usize| {
        file[payload + index * SEALED_CHUNK_BYTES..payload + (index + 1) * SEALED_CHUNK_BYTES].to_vec()
    };
    let with = |chunks: &[usize]| {
        let mut changed = file[..payload].to_vec();
        chunks.iter().for_each(|index| changed.extend(chunk(*index)));
        changed
    };
    assert_eq!(opened(&with(&[0, 1, 2]), &key), Ok(text));
    for chunks in [&[0, 1][..], &[0, 2], &[1, 0, 2], &[0, 1, 2, 2], &[2], &[]] {
        assert_eq!(opened(&with(chunks), &key), Err(AgeError::PayloadChanged), "{chunks:?}");
    }
    // A last chunk without a byte, sealed with the right key, as only the key's owner could.
    let empty = {
        let header = Header::parse(&file).expect("a header");
        let (file_key, _) = header.unwrap(std::slice::from_ref(&key)).expect("our key");
        let nonce = &file[header.bytes..header.bytes + NONCE_BYTES];
        let key = aead(&*derive(&*file_key, nonce, b"payload").expect("a key")).expect("a key");
        let mut last = with(&[0]);
        let tag = key.seal_in_place_separate_tag(chunk_nonce(1, true), Aad::empty(), &mut []).expect("seals");
        last.extend_from_slice(tag.as_ref());
        last
    };
    assert_eq!(opened(&empty, &key), Err(AgeError::PayloadChanged));
}

#[test]
fn bounds_what_a_header_may_hold() {
    let key = key();
    let file = sealed(b"text", &key);
    let stanza = "-> other argument\nQUJD\n";
    for (stanzas, expected) in
        [(63, AgeError::HeaderChanged), (64, AgeError::Malformed("it has too many stanzas"))]
    {
        let more = [VERSION_LINE, stanza.repeat(stanzas).as_bytes(), &file[VERSION_LINE.len()..]].concat();
        assert_eq!(opened(&more, &key), Err(expected));
    }
    let long = [VERSION_LINE, b"-> ", &[b'x'; LINE_BYTES_MAX]].concat();
    assert_eq!(opened(&long, &key), Err(AgeError::Malformed("its header has no end")));
    let line = format!("{}\n", "A".repeat(64));
    let body = [VERSION_LINE, b"-> other\n", line.repeat(BODY_LINES_MAX).as_bytes(), b"\n"].concat();
    assert_eq!(opened(&body, &key), Err(AgeError::Malformed("the body of a stanza has no end")));
}

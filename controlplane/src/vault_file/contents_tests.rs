//! The text that is sealed: what is written, what is read, and what is refused.

use super::*;

const TEXT: &str = "secretless-vault/1\n\
                    counter 1796083200\n\
                    admin/token 2026-12-01T00:00:01Z AP8K\n\
                    shop-password 2026-12-01T00:00:00Z aHVudGVyMg==\n";

fn parsed(text: &str) -> Result<Contents, ContentsError> {
    Contents::parse(text.as_bytes())
}

fn refusal(text: &str) -> Option<ContentsError> {
    parsed(text).err()
}

#[test]
fn reads_what_stands_in_the_documentation_and_writes_the_same() {
    let contents = parsed(TEXT).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(contents.counter, 1_796_083_200);
    let entries: Vec<_> =
        contents.entries.iter().map(|(name, entry)| (name.as_str(), entry.value.to_vec())).collect();
    assert_eq!(entries, [("admin/token", vec![0, 255, 10]), ("shop-password", b"hunter2".to_vec())]);
    assert_eq!(*contents.to_text(), TEXT.as_bytes());
    let empty = "secretless-vault/1\ncounter 0\n";
    assert_eq!(*parsed(empty).unwrap_or_else(|error| panic!("{error}")).to_text(), empty.as_bytes());
}

#[test]
fn the_text_is_written_in_one_piece_of_memory() {
    let mut contents = Contents::new(OffsetDateTime::UNIX_EPOCH);
    contents.counter = u64::MAX;
    for index in 0..40 {
        let entry = Entry { set_at: OffsetDateTime::UNIX_EPOCH, value: Zeroizing::new(vec![1; index + 1]) };
        contents.entries.insert(format!("name-{index}"), entry);
    }
    let text = contents.to_text();
    let room = text.len() + HEAD_BYTES_MAX;
    assert!(text.capacity() <= room, "{} bytes, and room for {}", text.len(), text.capacity());
}

#[test]
fn refuses_every_other_form() {
    let line = |line: &str| format!("secretless-vault/1\ncounter 5\n{line}\n");
    let time = "2026-12-01T00:00:00Z";
    for (text, expected) in [
        (String::new(), ContentsError::Unknown),
        ("counter 5\n".to_owned(), ContentsError::Unknown),
        ("secretless-vault/2\ncounter 5\n".to_owned(), ContentsError::Newer),
        ("secretless-vault/10\n".to_owned(), ContentsError::Newer),
        ("secretless-vault/1\ncounter 5".to_owned(), ContentsError::Cut),
        ("secretless-vault/1\n".to_owned(), ContentsError::Counter),
        ("secretless-vault/1\ncounter -1\n".to_owned(), ContentsError::Counter),
        ("secretless-vault/1\ncounter 05\n".to_owned(), ContentsError::Counter),
        ("secretless-vault/1\ncounter 18446744073709551616\n".to_owned(), ContentsError::Counter),
        (line(""), ContentsError::Line(3)),
        (line("name"), ContentsError::Line(3)),
        (line(&format!("name {time}")), ContentsError::Line(3)),
        (line(&format!("name {time} ")), ContentsError::Line(3)),
        (line(&format!("na?me {time} AAAA")), ContentsError::Line(3)),
        (line(&format!("name  {time} AAAA")), ContentsError::Line(3)),
        (line("name 2026-12-01 AAAA"), ContentsError::Line(3)),
        (line("name 2026-12-01T00:00:00+00:00 AAAA"), ContentsError::Line(3)),
        (line("name 2026-12-01T01:00:00+01:00 AAAA"), ContentsError::Line(3)),
        (line("name 2026-12-01T00:00:00.5Z AAAA"), ContentsError::Line(3)),
        (line("name 2026-12-01t00:00:00z AAAA"), ContentsError::Line(3)),
        (line(&format!("name {time} AAA")), ContentsError::Line(3)),
        (line(&format!("name {time} AA=A")), ContentsError::Line(3)),
        (line(&format!("name {time} AAAA AAAA")), ContentsError::Line(3)),
        (line(&format!("name {time} AAAB=")), ContentsError::Line(3)),
        (line(&format!("name {time} AB==")), ContentsError::Line(3)),
        (line(&format!("name {time} AAAA\r")), ContentsError::Line(3)),
        (line(&format!("b {time} AAAA\na {time} AAAA")), ContentsError::Order(4)),
        (line(&format!("a {time} AAAA\na {time} AAAA")), ContentsError::Order(4)),
    ] {
        assert_eq!(refusal(&text), Some(expected), "{text:?}");
    }
}

#[test]
fn bounds_values_and_their_number() {
    let with = |bytes: usize| {
        let value = Base64::encode_string(&vec![7; bytes]);
        refusal(&format!("secretless-vault/1\ncounter 5\nname 2026-12-01T00:00:00Z {value}\n"))
    };
    assert_eq!(with(65_536), None);
    assert_eq!(with(65_537), Some(ContentsError::Line(3)));
    assert_eq!(with(65_538), Some(ContentsError::Line(3)));
    assert_eq!(with(100_000), Some(ContentsError::Line(3)));
    let many = |count: usize| {
        let lines: String =
            (0..count).map(|index| format!("name-{index:04} 2026-12-01T00:00:00Z AAAA\n")).collect();
        refusal(&format!("secretless-vault/1\ncounter 5\n{lines}"))
    };
    assert_eq!(many(1000), None);
    assert_eq!(many(1001), Some(ContentsError::TooMany));
}

#[test]
fn no_refusal_holds_anything_of_the_text() {
    let text = "secretless-vault/1\ncounter 5\nname 2026-12-01T00:00:00Z hunter2?\n";
    let error = refusal(text).expect("is refused");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

#[test]
fn names_are_simple_and_bounded() {
    let longest = "n".repeat(128);
    for good in ["a", "Shop-password_1.new", "orders/prod/password", "9", &longest] {
        assert_eq!(check_name(good), Ok(()), "{good}");
    }
    let longer = "n".repeat(129);
    for (bad, words) in [
        ("", "is empty"),
        (longer.as_str(), "more than 128"),
        ("-x", "begins with a letter or a digit"),
        ("/x", "begins with a letter or a digit"),
        ("shop password", "letters, digits and - _ . / alone"),
        ("pässword", "letters, digits and - _ . / alone"),
        ("a\nb", "letters, digits and - _ . / alone"),
    ] {
        let refused = check_name(bad).expect_err(bad);
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn a_new_vault_begins_above_one_that_was_made_before() {
    let later = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(100);
    assert_eq!(Contents::new(later).counter, 100);
    let before = OffsetDateTime::UNIX_EPOCH - time::Duration::seconds(1);
    assert_eq!(Contents::new(before).counter, 0, "a clock that is not set is no reason to fail");
}

/// What the fuzz target checks, over its seeds and every prefix of them.
#[test]
fn seeds_of_the_fuzz_target_hold() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/vault_contents");
    let seeds: Vec<_> = std::fs::read_dir(folder).expect("there are seeds").flatten().collect();
    assert!(seeds.len() >= 3);
    for seed in seeds {
        let seed = std::fs::read(seed.path()).expect("can be read");
        (0..=seed.len()).for_each(|end| crate::vault_file::contents_for_fuzz(&seed[..end]));
    }
}

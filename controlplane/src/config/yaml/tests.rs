//! yaml.v2's truth table, and the bounds on syntax.

use super::*;
use crate::config::Place;

const TABLE: &str = include_str!("../../../testdata/scalars.tsv");

/// Where we differ from yaml.v2, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("!!binary aGVsbG8=", "credentials may be base64; connectors and addresses may not"),
    ("!!binary 'aGVsbG8='", "the same"),
    (r#"!!binary "aGVs\\nbG8=""#, "the same"),
    ("!!binary /w==", "the same"),
    (r"!!binary |\n  aGVs\n  bG8=\n", "the same"),
    ("!!timestamp foo", "the value is text either way, so we do not look whether it is a time"),
    (r#""\\/""#, "YAML 1.2 has this escape, for JSON's sake"),
];

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match (byte, byte == b'\\') {
            (_, true) => match rest.next() {
                Some(b'n') => bytes.push(b'\n'),
                Some(b't') => bytes.push(b'\t'),
                Some(b'r') => bytes.push(b'\r'),
                Some(b'\\') => bytes.push(b'\\'),
                Some(b'x') => {
                    let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                    let digits = std::str::from_utf8(&digits).expect("digits are ASCII");
                    bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
                }
                other => panic!("no escape: {other:?}"),
            },
            (byte, false) => bytes.push(byte),
        }
    }
    bytes
}

/// The value's rendering and its word, or `None` for an error.
fn ours(source: &[u8]) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let text = format!("v: {}\n", String::from_utf8_lossy(source));
    let Ok(document) = parse(&text) else { return (None, None) };
    let entries = match document.root() {
        Some(root) => document.entries(root, &mut |fault| panic!("{fault:?}")),
        None => return (None, None),
    };
    let [entry] = entries.as_slice() else { return (None, None) };
    match document.scalar(entry.value) {
        Some(scalar) => (
            scalar.render().ok().map(|value| value.to_vec()),
            scalar.render().ok().map(|_| scalar.word().as_bytes().to_vec()),
        ),
        None => (None, None),
    }
}

#[test]
fn scalars_mean_what_yaml_v2_says() {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for row in TABLE.lines().skip_while(|row| !row.starts_with("# Columns ")).skip(1) {
        let [source, value, word] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("no row: {row}") };
        let expected = [value, word].map(|cell| cell.strip_prefix('=').map(unescape));
        let (value, word) = ours(&unescape(source));
        rows += 1;
        let is_exception = EXCEPTIONS.iter().any(|(known, _)| *known == source);
        let agrees = [&value, &word] == [&expected[0], &expected[1]];
        if agrees == is_exception {
            let show = |bytes: &Option<Vec<u8>>| {
                bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            };
            wrong.push(format!("{source}: {:?} {:?}, not {row}", show(&value), show(&word)));
        }
    }
    assert!(rows > 400);
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
}

fn keys_of(text: &str) -> Result<Vec<(String, String)>, MergeFault> {
    let document = parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let root = document.root().expect("a root");
    let mut fault = None;
    let entry = document.entries(root, &mut |found| fault = Some(found)).pop().expect("a key");
    let entries = document.entries(entry.value, &mut |found| fault = Some(found));
    let text = |node| document.scalar(node).map_or_else(String::new, |scalar| scalar.text().to_owned());
    let pairs = entries.iter().map(|entry| (entry.key.to_owned(), text(entry.value))).collect();
    fault.map_or(Ok(pairs), Err)
}

fn place(line: usize, column: usize) -> Place {
    Place { line, column }
}

/// The expected orders are what yaml.v2 printed for the same text; of equal keys the last counts.
#[test]
fn merges_stand_where_they_are_written() {
    for (text, expected) in [
        ("a: &a {p: 1, z: 3}\nr: {<<: *a, q: 2, z: 4}", "p=1 z=3 q=2 z=4"),
        ("a: &a {p: 1, z: 3}\nr: {q: 2, z: 4, <<: *a}", "q=2 z=4 p=1 z=3"),
        ("a: &a {p: 1, z: 3}\ne: &e {p: 5, y: 6}\nr: {<<: [*a, *e]}", "p=5 y=6 p=1 z=3"),
        ("a: &a {p: 1}\ne: &e {<<: *a, r: 1}\nr: {<<: *e}", "p=1 r=1"),
        ("r: {<<: {q: 2}}", "q=2"),
        ("r: {\"<<\": 1}", "<<=1"),
        ("r: {!!str <<: 1}", "<<=1"),
        ("a: &a {p: 1}\nb: &a {q: 1}\nr: *a", "q=1"),
        ("r: {0123: a, yes: b, ~: c, 1.0: d}", "0123=a yes=b =c 1.0=d"),
        ("r:\n  ? k\n  : v", "k=v"),
    ] {
        let pairs = keys_of(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        let found: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(found.join(" "), expected, "{text}");
    }
    for (text, fault) in [
        ("r: {<<: 3}", MergeFault::NotAMapping(place(1, 9))),
        ("r: {<<: [3]}", MergeFault::NotAMapping(place(1, 10))),
        ("r: {{a: b}: c}", MergeFault::KeyNotText(place(1, 5))),
        ("r: {? [a] : c}", MergeFault::KeyNotText(place(1, 7))),
    ] {
        assert_eq!(keys_of(text), Err(fault), "{text}");
    }
}

#[test]
fn every_node_knows_its_place() {
    for text in ["a: 1\nr:\n  b: 2\n  ä: {c: 3}\n", "\u{feff}a: 1\r\nr:\r\n  b: 2\r\n  ä: {c: 3}\r\n"] {
        let document = parse(text).expect("it is YAML");
        let root = document.entries(document.root().expect("a root"), &mut |_| {});
        let inner = document.entries(root[1].value, &mut |_| {});
        let innermost = document.entries(inner[1].value, &mut |_| {});
        let key = |entry: &Entry<'_>| (entry.key.to_owned(), entry.place, document.place(entry.value));
        assert_eq!(key(&root[0]), ("a".to_owned(), place(1, 1), place(1, 4)));
        assert_eq!(key(&inner[0]), ("b".to_owned(), place(3, 3), place(3, 6)));
        assert_eq!(key(&inner[1]), ("ä".to_owned(), place(4, 3), place(4, 6)));
        assert_eq!(key(&innermost[0]), ("c".to_owned(), place(4, 7), place(4, 10)));
    }
}

#[test]
fn only_the_first_document_counts() {
    let document = parse("---\na: 1\n---\nb: [\n").expect("the second is not read");
    assert_eq!(document.second, Some(place(3, 1)));
    for text in ["%YAML 1.1\n---\na: 1\n", "a: 1\n...\n", "---\na: 1\n", "# nothing else\na: 1"] {
        let document = parse(text).expect(text);
        assert_eq!((document.second, document.root().is_some()), (None, true), "{text}");
    }
    for text in ["", "# a comment\n", "\u{feff}"] {
        assert!(parse(text).expect(text).root().is_none(), "{text}");
    }
}

#[test]
fn syntax_errors_know_their_place_and_quote_nothing() {
    let mut wrong = Vec::new();
    for (text, line, column, message) in [
        ("a:\n\tb: 1\n", 2, 2, "tabs disallowed within this context (block indentation)"),
        ("a: {b: 1\n", 2, 1, "while parsing a flow mapping, did not find expected ',' or '}'"),
        ("a: b: c\n", 1, 5, "mapping values are not allowed in this context"),
        ("a: \"x\n", 1, 4, "while scanning a quoted scalar, found unexpected end of stream"),
        ("a: *nowhere\n", 1, 4, "while parsing node, found unknown anchor"),
        ("a: &x [*x]\n", 1, 8, "an alias stands inside of what it refers to"),
        ("a: @hunter2\n", 1, 4, "found a character that cannot start a value"),
        ("a: 1\nb: x\u{0}y\n", 2, 5, "control characters are not allowed"),
        ("ä\u{7f}", 1, 2, "control characters are not allowed"),
        ("a: 1\n]\n", 2, 1, "misplaced bracket"),
    ] {
        let Err(error) = parse(text) else { panic!("{text:?} is YAML") };
        assert!(!error.help.is_empty());
        if (error.place, &*error.message) != (place(line, column), message) {
            wrong.push(format!("{text:?}: {} {}", error.place, error.message));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn depth_is_bounded() {
    let deep = |open: &str, levels: usize| open.repeat(levels);
    for text in
        [deep("[", 200), deep("{a: ", 200), deep("- ", 10_000), deep("? ", 10_000), deep("[", 100_000)]
    {
        assert!(parse(&text).is_err());
    }
    assert!(parse(&format!("a: {}{}", "[".repeat(90), "]".repeat(90))).is_ok());
}

#[test]
fn aliases_cannot_make_a_small_file_large() {
    // Each mapping merges the one before it ten times: 10^12 keys, if they were unfolded.
    let mut text = String::from("m0: &m0 {k: v}\n");
    for level in 1..=12 {
        let list = vec![format!("*m{}", level - 1); 10].join(", ");
        text.push_str(&format!("m{level}: &m{level} {{<<: [{list}]}}\n"));
    }
    let document = parse(&text).expect("it is YAML");
    let last = document.entries(document.root().expect("a root"), &mut |_| {}).pop().expect("a key");
    document.entries(last.value, &mut |fault| panic!("{fault:?}"));
    assert!(document.is_exhausted());

    let mut text = String::from("m0: &m0 {k: v}\n");
    for level in 1..=40 {
        text.push_str(&format!("m{level}: &m{level} {{<<: *m{}}}\n", level - 1));
    }
    assert!(matches!(keys_of(&text), Err(MergeFault::TooDeep(_))));
}

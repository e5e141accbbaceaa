//! Files that want our time or our memory, or a panic.

use std::fmt::Write;

use super::*;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or_default() % bound
    }
}

/// The same call as the fuzz target's, over the files that we have and damaged copies of them.
#[test]
fn damaged_files_never_panic() {
    let seeds = [
        include_str!("../../../testdata/findings/services.yml"),
        include_str!("../../../testdata/findings/credentials.yml"),
        include_str!("../../../testdata/findings/settings.yml"),
        include_str!("../../../testdata/findings/ignored.yml"),
        include_str!("../../../testdata/findings/list.yml"),
        include_str!("../../../testdata/list/elizaos-agents.yml"),
        "version: 2\na: &a {x: 1, <<: {y: 2}}\nservices: {b: {<<: [*a, *a], connector: !!str pg}}\n",
    ];
    let pieces = [
        "&a ",
        "*a",
        "<<: ",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "? ",
        "|\n",
        ">-\n",
        "\"",
        "'",
        "\n",
        "\t",
        "!!int ",
        "!",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "#",
        "\u{feff}",
        "\0",
        "é",
        "0x",
        ",",
        "\\",
        "~",
        "\r",
        "${A:-",
        "$$",
    ];
    let mut numbers = Numbers(0x5eed);
    for round in 0..4000 {
        let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(bytes.len() + 1);
            let until = (at + numbers.below(40)).min(bytes.len());
            match numbers.below(4) {
                0 => drop(bytes.splice(at..at, pieces[numbers.below(pieces.len())].bytes())),
                1 => drop(bytes.drain(at..until)),
                2 => bytes.truncate(at),
                _ => {
                    let copy = bytes[at..until].to_vec();
                    bytes.splice(at..at, copy);
                }
            }
        }
        if let Err(report) = parse_for_fuzz(&bytes) {
            assert!(report.has_errors(), "round {round}");
        }
    }
    assert!(parse_for_fuzz(&[0xff, 0xfe, 0]).is_err());
}

#[test]
fn nothing_of_the_system_is_asked_when_fuzzing() {
    let file = with_service("socket: {owner: root}").replace("tcp://127.0.0.1:5432", "unix://x");
    assert!(read_text(&file).is_ok());
    assert!(parse_for_fuzz(file.as_bytes()).is_err());
    assert!(parse_for_fuzz(with_service("").replace("127.0.0.1", "localhost").as_bytes()).is_err());
}

#[test]
fn aliases_that_unfold_too_far_are_an_error() {
    // Each service merges a list of the same two thousand keys two hundred times.
    let mut file = String::from("version: 2\nx: &x {");
    for key in 0..2000 {
        write!(file, "k{key}: v, ").expect("a String takes everything");
    }
    let list = vec!["*x"; 200].join(", ");
    write!(file, "}}\nservices:\n").expect("a String takes everything");
    for service in 0..20 {
        writeln!(file, "  s{service}: {{<<: [{list}]}}").expect("a String takes everything");
    }
    assert!(report(&file).contains("the file has too many keys once its aliases are unfolded"));
}

#[test]
fn a_thousand_findings_are_enough() {
    let mut file = String::from("version: 2\nservices:\n");
    for service in 0..1500 {
        writeln!(file, "  s{service}: x").expect("a String takes everything");
    }
    let report = report(&file);
    assert!(report.ends_with("… and 500 more findings\n"));
}

/// The shape of the largest file known, of the Go broker's own tests. Look at the time in a release build: it should
/// be well under half a second.
#[test]
fn a_file_of_five_thousand_services_loads() {
    let mut file = String::from("version: \"2\"\nservices:\n");
    for service in 0..5120 {
        write!(
            file,
            "  service-{service}:\n    protocol: \"\"\n    connector: pg\n    listenOn: tcp://127.0.0.1:{}\n    \
             credentials:\n      host: pg\n      port: 5432\n      username: {{from: env, get: USER}}\n      password: \
             {{from: literal, get: secret}}\n      sslmode: verify-full\n      sslhost: pg\n      sslrootcert:\n        \
             from: file\n        get: /etc/ca.pem\n      sslcert: |\n        -----BEGIN CERTIFICATE-----\n        \
             MIIBszCCAVmgAwIBAgIUZ\n        -----END CERTIFICATE-----\n      sslkey: \"a\\nb\"\n      \
             application_name: app\n    config: null\n",
            10_000 + service
        )
        .expect("a String takes everything");
    }
    let loaded = loaded(&file);
    assert_eq!(loaded.config.services.len(), 5120);
    assert_eq!(loaded.config.services.iter().map(|service| service.credentials.len()).sum::<usize>(), 51_200);
    assert!(loaded.warnings.is_empty());
}

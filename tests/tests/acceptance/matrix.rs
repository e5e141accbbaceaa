//! The Go broker's own matrix of TLS settings, as one file: it loads, becomes ready, and combinations chosen for
//! their meaning do what they did there.
//!
//! {target with TLS, without} × {TCP, Unix listener} × sslmode {none, disable, require, verify-ca, verify-full} ×
//! sslhost {none, invalid} × sslcert, sslkey, sslrootcert {none, valid, of another authority, malformed} ×
//! password {right, wrong}.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tests::broker::{Broker, File, Listen, Service, pg};
use tests::certificates::Authority;
use tests::places;
use tests::postgres::{Cluster, Login, Major, plaintext, shared};
use tests::wire::{VERSION_3_0, Wire, startup};

use crate::support::{assert_is_ours, started};

const SSLMODES: [Option<&str>; 5] =
    [None, Some("disable"), Some("require"), Some("verify-ca"), Some("verify-full")];

/// What a value with a certificate or key in it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pem {
    None,
    Valid,
    /// Made by another authority, and fine in itself.
    Foreign,
    Malformed,
}

const PEMS: [Pem; 4] = [Pem::None, Pem::Valid, Pem::Foreign, Pem::Malformed];

/// One place in the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    target_has_tls: bool,
    is_unix: bool,
    sslmode: Option<&'static str>,
    has_invalid_sslhost: bool,
    sslcert: Pem,
    sslkey: Pem,
    sslrootcert: Pem,
    has_right_password: bool,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for target_has_tls in [true, false] {
            for is_unix in [false, true] {
                for sslmode in SSLMODES {
                    for has_invalid_sslhost in [false, true] {
                        for sslcert in PEMS {
                            for sslkey in PEMS {
                                for sslrootcert in PEMS {
                                    for has_right_password in [true, false] {
                                        all.push(Self {
                                            target_has_tls,
                                            is_unix,
                                            sslmode,
                                            has_invalid_sslhost,
                                            sslcert,
                                            sslkey,
                                            sslrootcert,
                                            has_right_password,
                                        });
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        all
    }

    /// In TLS's case only: a plain place to begin from.
    fn tls(sslmode: Option<&'static str>) -> Self {
        Self {
            target_has_tls: true,
            is_unix: false,
            sslmode,
            has_invalid_sslhost: false,
            sslcert: Pem::None,
            sslkey: Pem::None,
            sslrootcert: Pem::None,
            has_right_password: true,
        }
    }

    fn name(&self) -> String {
        format!(
            "{}-{}-{}-{}-{:?}-{:?}-{:?}-{}",
            if self.target_has_tls { "tls" } else { "plain" },
            if self.is_unix { "unix" } else { "tcp" },
            self.sslmode.unwrap_or("none"),
            if self.has_invalid_sslhost { "invalid" } else { "none" },
            self.sslcert,
            self.sslkey,
            self.sslrootcert,
            if self.has_right_password { "right" } else { "wrong" },
        )
        .to_lowercase()
    }
}

/// What the client must see.
enum Outcome {
    Works,
    /// The server's own refusal.
    PasswordRefused,
    /// Our error with SQLSTATE 08001 and these words, which the Go broker's users know.
    Refused(&'static str),
}

const UNKNOWN_AUTHORITY: Outcome = Outcome::Refused("x509: certificate signed by unknown authority");
const WRONG_NAME: Outcome = Outcome::Refused(
    "tls: failed to verify certificate: x509: certificate is valid for localhost, pg, not invalid",
);
const NO_ROOTS: Outcome = Outcome::Refused("couldn't parse pem in sslrootcert");
const NO_CERTIFICATE: Outcome = Outcome::Refused("tls: failed to find any PEM data in certificate input");
const NO_TLS: Outcome = Outcome::Refused("the backend does not allow SSL connections");

/// The cases that are tried, each with what it must come to. Written by hand from what the Go broker does.
#[rustfmt::skip]
fn chosen() -> Vec<(Case, Outcome)> {
    use Pem::{Foreign, Malformed, Valid};
    let require = Case::tls(Some("require"));
    let ca = Case::tls(Some("verify-ca"));
    let full = Case::tls(Some("verify-full"));
    let mut chosen = Vec::new();
    for sslmode in [None, Some("require")] {
        let case = Case::tls(sslmode);
        // Encrypted to whoever answers; with roots, to whom they vouch for.
        chosen.push((case, Outcome::Works));
        chosen.push((Case { has_invalid_sslhost: true, ..case }, Outcome::Works));
        chosen.push((Case { sslrootcert: Valid, ..case }, Outcome::Works));
        chosen.push((Case { sslrootcert: Valid, has_invalid_sslhost: true, ..case }, Outcome::Works));
        chosen.push((Case { sslrootcert: Foreign, ..case }, UNKNOWN_AUTHORITY));
        chosen.push((Case { sslrootcert: Malformed, ..case }, NO_ROOTS));
        chosen.push((Case { has_right_password: false, ..case }, Outcome::PasswordRefused));
    }
    // The system's roots do not know the tests' authority.
    chosen.push((ca, UNKNOWN_AUTHORITY));
    chosen.push((Case { sslrootcert: Valid, ..ca }, Outcome::Works));
    chosen.push((Case { sslrootcert: Valid, has_invalid_sslhost: true, ..ca }, Outcome::Works));
    chosen.push((Case { sslrootcert: Foreign, ..ca }, UNKNOWN_AUTHORITY));
    chosen.push((Case { sslrootcert: Malformed, ..ca }, NO_ROOTS));
    chosen.push((Case { sslrootcert: Valid, has_right_password: false, ..ca }, Outcome::PasswordRefused));
    chosen.push((full, UNKNOWN_AUTHORITY));
    chosen.push((Case { sslrootcert: Valid, ..full }, Outcome::Works));
    chosen.push((Case { sslrootcert: Valid, has_invalid_sslhost: true, ..full }, WRONG_NAME));
    chosen.push((Case { sslrootcert: Foreign, ..full }, UNKNOWN_AUTHORITY));
    chosen.push((Case { sslrootcert: Malformed, ..full }, NO_ROOTS));
    chosen.push((Case { sslrootcert: Valid, has_right_password: false, ..full }, Outcome::PasswordRefused));
    // Client certificates: a wrong one is not even offered, for the server names the authorities it trusts.
    chosen.push((Case { sslcert: Valid, sslkey: Valid, ..require }, Outcome::Works));
    chosen.push((Case { sslcert: Foreign, sslkey: Foreign, ..require }, Outcome::Works));
    chosen.push((Case { sslcert: Malformed, sslkey: Valid, ..require }, NO_CERTIFICATE));
    chosen.push((Case { sslcert: Malformed, sslkey: Malformed, ..require }, NO_CERTIFICATE));
    chosen.push((Case { sslcert: Valid, sslkey: Valid, sslrootcert: Valid, ..full }, Outcome::Works));
    chosen.push((Case { sslcert: Foreign, sslkey: Foreign, sslrootcert: Valid, ..full }, Outcome::Works));
    // Without TLS none of it counts.
    let plain = Case { sslmode: Some("disable"), ..Case::tls(None) };
    chosen.push((plain, Outcome::Works));
    chosen.push((Case { sslrootcert: Malformed, sslcert: Malformed, sslkey: Malformed, has_invalid_sslhost: true, ..plain }, Outcome::Works));
    chosen.push((Case { has_right_password: false, ..plain }, Outcome::PasswordRefused));
    // A target that does not do TLS.
    let without = |case: Case| Case { target_has_tls: false, ..case };
    for case in [Case::tls(None), require, ca, Case { sslrootcert: Valid, ..ca }, full, Case { sslrootcert: Valid, ..full }] {
        chosen.push((without(case), NO_TLS));
    }
    chosen.push((without(plain), Outcome::Works));
    chosen.push((without(Case { has_right_password: false, ..plain }), Outcome::PasswordRefused));
    // Nothing of this depends on how the client came.
    let unix: Vec<_> = chosen.iter().step_by(2).map(|(case, _)| Case { is_unix: true, ..*case }).collect();
    let mut outcomes = Vec::new();
    for case in unix {
        let twin = Case { is_unix: false, ..case };
        let outcome = chosen.iter().find(|(known, _)| *known == twin).map(|(_, outcome)| match outcome {
            Outcome::Works => Outcome::Works,
            Outcome::PasswordRefused => Outcome::PasswordRefused,
            Outcome::Refused(words) => Outcome::Refused(words),
        });
        outcomes.extend(outcome.map(|outcome| (case, outcome)));
    }
    chosen.extend(outcomes);
    chosen
}

/// The files that the values come from.
struct Files(BTreeMap<(&'static str, Pem), PathBuf>);

impl Files {
    fn write(file: &File, user: &str) -> Self {
        let (ours, foreign) = (Authority::shared(), Authority::stranger());
        let (valid, other) = (ours.client(user), foreign.client(user));
        let mut files = BTreeMap::new();
        for (name, valid, other) in [
            ("sslcert", &valid.certificate, &other.certificate),
            ("sslkey", &valid.key, &other.key),
            ("sslrootcert", &ours.certificate, &foreign.certificate),
        ] {
            for (pem, content) in
                [(Pem::Valid, valid.as_str()), (Pem::Foreign, other), (Pem::Malformed, "malformed")]
            {
                files.insert((name, pem), file.secret(&format!("{name}-{pem:?}"), content).unwrap());
            }
        }
        Self(files)
    }
}

fn service(
    number: usize,
    case: &Case,
    cluster: &Cluster,
    login: &Login,
    files: &Files,
    sockets: &std::path::Path,
) -> Service {
    let mut service = pg(&case.name(), cluster, login).literal("host", "localhost");
    service.credentials.retain(|(name, _)| name != "sslmode");
    if let Some(sslmode) = case.sslmode {
        service = service.literal("sslmode", sslmode);
    }
    if case.has_invalid_sslhost {
        service = service.literal("sslhost", "invalid");
    }
    for (name, pem) in [("sslcert", case.sslcert), ("sslkey", case.sslkey), ("sslrootcert", case.sslrootcert)]
    {
        if let Some(path) = files.0.get(&(name, pem)) {
            service = service.file(name, path);
        }
    }
    if !case.has_right_password {
        service = service.literal("password", "wrong");
    }
    if case.is_unix {
        let path = sockets.join(number.to_string());
        service = service.listening_on(Listen::Unix(path));
    }
    service
}

#[test]
fn five_thousand_services_load_and_behave_as_those_of_the_go_broker() {
    let (with_tls, without_tls) = (shared(Major::Distribution), plaintext());
    let (login, plain_login) = (with_tls.user(None).unwrap(), without_tls.user(None).unwrap());
    let mut file = File::new().unwrap();
    let files = Files::write(&file, &login.name);
    let sockets = places::fresh("m").unwrap();
    let mut listens = BTreeMap::new();
    for (number, case) in Case::all().into_iter().enumerate() {
        let (cluster, login) =
            if case.target_has_tls { (with_tls, &login) } else { (without_tls, &plain_login) };
        let service = service(number, &case, cluster, login, &files, &sockets);
        listens.insert(case, service.listen.clone());
        file.services.push(service);
    }
    assert_eq!(file.services.len(), 5120);
    let broker = started(Broker::start(&file));

    let chosen = chosen();
    assert!(chosen.len() >= 60, "{} cases", chosen.len());
    for (case, outcome) in &chosen {
        let name = case.name();
        let login = if case.target_has_tls { &login } else { &plain_login };
        let mut wire = Wire::connect(&listens[case]).unwrap();
        wire.send(&startup(VERSION_3_0, &[("user", "anybody"), ("database", &login.name)])).unwrap();
        let first = wire.message().unwrap();
        match outcome {
            Outcome::Works => {
                assert_eq!(first.kind, 'R', "{name}: {:?}", first.fields());
                wire.messages_until('Z').unwrap();
                let encrypted =
                    wire.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").unwrap();
                let expected = if case.sslmode == Some("disable") { "f" } else { "t" };
                assert_eq!(encrypted, [expected], "{name}");
            }
            Outcome::PasswordRefused => {
                assert_eq!(
                    (first.kind, first.field('C')),
                    ('E', "28P01".to_owned()),
                    "{name}: {:?}",
                    first.fields()
                );
            }
            Outcome::Refused(words) => {
                assert_eq!(first.kind, 'E', "{name}");
                assert_is_ours(&first, &name, "08001", words, login);
            }
        }
    }
    // All listen: no place in the matrix was forgotten.
    for listen in listens.values() {
        Wire::connect(listen).unwrap();
    }
    assert!(broker.stop().unwrap().success());
}

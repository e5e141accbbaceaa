//! What of a secret can be found in the broker's memory, and where.
//!
//! Root reads all of it, but for the pages of memfd_secret, which are not for root either; `memory_kinds.rs` has what there is without them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tests::broker::{Broker, File, Listen, Service, Value, mysql, pg};
use tests::certificates::{Authority, Identity};
use tests::memory::{Search, search};
use tests::mysql::wire::{Wire as MysqlWire, change_user};
use tests::mysql::{Account, Kind, Plugin, Server, Which};
use tests::postgres::{Cluster, Login, Major, shared, unguessable};
use tests::wait;
use tests::web_server::WebServer;
use tests::wire::Wire;

use crate::support::{session, started};

/// Times that every password and key changes.
const ROTATIONS: usize = 4;

/// Handshakes in all.
const HANDSHAKES: usize = 1000;

/// A secret's first and last 12 bytes, which are found wherever it stands as a whole, too: a block that was freed loses its first bytes to
/// the allocator's own notes, and one that was used again may lose some more.
pub(crate) fn edges(name: &str, secret: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let (first, last) = (&secret[..secret.len().min(12)], &secret[secret.len().saturating_sub(12)..]);
    [("first", first), ("last", last)].map(|(part, bytes)| (format!("{name}-{part}"), bytes.to_vec())).into()
}

/// What a private key can be found by: each line of its text, and the number itself, as it is written and as processors have it.
fn key_forms(name: &str, pem: &str) -> BTreeMap<String, Vec<u8>> {
    let mut forms = BTreeMap::new();
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    // ECPrivateKey (RFC 5915 section 3): version 1, and the number as an octet string of 32 bytes.
    let head = [2, 1, 1, 4, 32];
    let at =
        key.secret_der().windows(head.len()).position(|bytes| bytes == head).expect("it is a key of P-256");
    let end = at + head.len() + 32;
    let number = &key.secret_der()[end - 32..end];
    // Behind it comes the public key, which a certificate may have in the same letters: four for three bytes.
    let mut left = end / 3 * 4;
    for (number, line) in pem.lines().filter(|line| !line.starts_with('-')).enumerate() {
        let secret = &line[..left.min(line.len())];
        left -= secret.len();
        if secret.len() > 12 {
            forms.extend(edges(&format!("{name}-line{number}"), secret.as_bytes()));
        }
    }
    forms.extend(edges(&format!("{name}-number"), number));
    let reversed: Vec<u8> = number.iter().rev().copied().collect();
    forms.extend(edges(&format!("{name}-reversed"), &reversed));
    assert!(forms.len() >= 8, "{:?}", forms.keys());
    forms
}

/// All that is found; `None`: only root may look.
pub(crate) fn look(broker: &Broker, forms: &BTreeMap<String, Vec<u8>>) -> Option<Search> {
    search(broker.process().pid(), forms).unwrap()
}

/// Checks that `secret` stands nowhere in memory but in that for secrets.
#[track_caller]
pub(crate) fn assert_nowhere_else(broker: &Broker, secret: &str) {
    if let Some(search) = look(broker, &edges("secret", secret.as_bytes())) {
        assert_eq!(search.elsewhere, [""; 0]);
    }
}

/// One service whose secrets lie in files, and how they change.
struct Kept {
    service: Service,
    /// The file of the password.
    password: PathBuf,
    target: Target,
}

enum Target {
    Postgres(&'static Cluster, Login),
    Mysql(&'static Server, Account),
}

impl Kept {
    fn secret(&self) -> &str {
        match &self.target {
            Target::Postgres(_, login) => &login.password,
            Target::Mysql(_, account) => &account.password,
        }
    }

    /// The server first, so that who comes now is refused and the file is read again; or the file first, so that one session tries
    /// what the server does not know yet.
    fn rotate(&mut self, file_first: bool) {
        match &mut self.target {
            Target::Postgres(cluster, login) => {
                login.password = unguessable();
                let encryption = if self.service.name.contains("md5") { "md5" } else { "scram-sha-256" };
                let statement = format!(
                    "SET password_encryption = '{encryption}'; ALTER ROLE {} PASSWORD '{}'",
                    login.name, login.password
                );
                if file_first {
                    fs::write(&self.password, &login.password).unwrap();
                    session(&self.service.listen, login);
                }
                cluster.sql(&statement).unwrap();
                fs::write(&self.password, &login.password).unwrap();
            }
            Target::Mysql(server, account) => {
                account.change_password(server).unwrap();
                fs::write(&self.password, &account.password).unwrap();
            }
        }
    }

    /// One handshake.
    fn open(&self) -> Open {
        match &self.target {
            Target::Postgres(_, login) => Open::Postgres(session(&self.service.listen, login)),
            Target::Mysql(_, account) => {
                let mut wire = MysqlWire::session(&self.service.listen, &account.name).unwrap();
                wire.send(0, &change_user("x", &account.name, "mysql_native_password", b"")).unwrap();
                assert_eq!(wire.packet().unwrap().payload.first(), Some(&0), "{}", self.service.name);
                Open::Mysql(wire)
            }
        }
    }
}

#[expect(dead_code, reason = "a session is open for as long as its wire is there")]
enum Open {
    Postgres(Wire),
    Mysql(MysqlWire),
}

/// Every way to log in that the servers have, over every kind of line.
fn every_way(file: &File, web: &WebServer) -> Vec<Kept> {
    let cluster = shared(Major::Distribution);
    let mut ways = Vec::new();
    let always = "config: {cleartextPassword: always}";
    for (name, group, sslmode, line) in [
        ("scram", None, "disable", ""),
        ("scram-tls", None, "require", ""),
        ("md5", Some("with_md5"), "disable", ""),
        ("clear", Some("with_password"), "disable", always),
        ("clear-tls", Some("with_password"), "require", always),
    ] {
        let login = cluster.user(group).unwrap();
        let password = file.secret(name, &login.password).unwrap();
        let mut service = pg(name, cluster, &login).literal("sslmode", sslmode);
        if !line.is_empty() {
            service = service.line(line);
        }
        let service = service.file("password", &password);
        ways.push(Kept { service, password, target: Target::Postgres(cluster, login) });
    }
    // The same by the provider `command`.
    let login = cluster.user(None).unwrap();
    let password = file.secret("program", &login.password).unwrap();
    let service = pg("program", cluster, &login)
        .credential("password", Value::From("reader", password.display().to_string()));
    ways.push(Kept { service, password, target: Target::Postgres(cluster, login) });
    // The same by the provider `http`.
    let login = cluster.user(None).unwrap();
    let password = web.path("password");
    fs::write(&password, &login.password).unwrap();
    let service = pg("web", cluster, &login)
        .credential("password", Value::From("http", format!("{}/password", web.url())));
    ways.push(Kept { service, password, target: Target::Postgres(cluster, login) });
    for which in Which::ALL {
        let Some(server) = tests::mysql::shared(which) else { continue };
        let is_oldest = server.kind() == Kind::MariaDb && server.version() < (11, 0);
        for &plugin in server.plugins().iter().filter(|plugin| **plugin != Plugin::Nothing) {
            for sslmode in ["disable", "require"] {
                if is_oldest && sslmode == "require" {
                    continue;
                }
                let name = format!("{which:?}-{plugin:?}-{sslmode}").to_lowercase();
                let account = server.user(plugin).unwrap();
                let password = file.secret(&name, &account.password).unwrap();
                let service = mysql(&name, server, &account)
                    .credential("password", Value::From("file", password.display().to_string()))
                    .literal("sslmode", sslmode)
                    .line("config: {allowPublicKeyRetrieval: true}");
                ways.push(Kept { service, password, target: Target::Mysql(server, account) });
            }
        }
    }
    ways
}

#[test]
fn no_password_old_or_new_is_left_in_memory_after_a_thousand_handshakes_and_rotations() {
    let mut file = File::new().unwrap();
    file.providers.push("reader: {type: command, run: [cat]}".to_owned());
    let web = WebServer::start().unwrap();
    let mut ways = every_way(&file, &web);
    file.services.extend(ways.iter().map(|way| way.service.clone()));
    let broker = started(Broker::start(&file));
    let mut forms = BTreeMap::new();
    let each = HANDSHAKES.div_ceil(ways.len() * (ROTATIONS + 1));
    let mut open = Vec::new();
    for rotation in 0..=ROTATIONS {
        for way in &mut ways {
            if rotation > 0 {
                way.rotate(rotation.is_multiple_of(2));
            }
            forms.extend(edges(&format!("{}-{rotation}", way.service.name), way.secret().as_bytes()));
            let sessions: Vec<Open> = (0..each).map(|_| way.open()).collect();
            // Of each service a few stay open.
            open.extend(sessions.into_iter().take(2));
        }
    }
    let established = broker.metric("secretless_sessions_established_total", &[]).unwrap();
    assert!(established >= 1000.0, "{established} handshakes");
    let Some(found) = look(&broker, &forms) else { return };
    assert_eq!(found.elsewhere, [""; 0]);
    drop(open);
    assert!(broker.stop().unwrap().success(), "{}", broker.said());
}

#[test]
fn no_key_of_a_certificate_is_left_in_memory_but_by_the_library_that_uses_it() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(Some("with_cert")).unwrap();
    let mut file = File::new().unwrap();
    let authority = Authority::shared();
    let places = file.clone();
    let write = |kind: &str, identity: &Identity| {
        let certificate = places.secret(&format!("{kind}.crt"), &identity.certificate).unwrap();
        (certificate, places.secret(&format!("{kind}.key"), &identity.key).unwrap())
    };
    let mut identity = authority.client(&login.name);
    let shown = authority.server(&["localhost"]);
    let (certificate, key) = write("client", &identity);
    let (shown_certificate, shown_key) = write("shown", &shown);
    let service = pg("db", cluster, &login)
        .literal("sslmode", "require")
        .file("sslcert", &certificate)
        .file("sslkey", &key)
        .line(&format!(
            "clientTls: {{mode: required, certificate: {}, key: {}}}",
            shown_certificate.display(),
            shown_key.display()
        ));
    file.services.push(service.clone());
    let broker = started(Broker::start(&file));
    let log_in = |service: &Service| {
        for _ in 0..20 {
            let mut wire = Wire::connect_in_tls(&service.listen, &authority.certificate).unwrap();
            wire.log_in(&login.name).unwrap();
        }
    };
    log_in(&service);
    let mut old = BTreeMap::new();
    for rotation in 0..ROTATIONS {
        old.extend(key_forms(&format!("client{rotation}"), &identity.key));
        identity = authority.client(&login.name);
        let generation = broker.metric("secretless_credential_generation", &["db"]).unwrap();
        write("client", &identity);
        // Both files are new, in whichever order they were seen.
        wait::until("the new key is in force", || {
            let now = broker.metric("secretless_credential_generation", &["db"]).unwrap();
            let mut wire = Wire::connect_in_tls(&service.listen, &authority.certificate).unwrap();
            now > generation && wire.log_in(&login.name).is_ok()
        });
        log_in(&service);
    }
    let Some(_) = look(&broker, &old) else { return };
    // What was made of an old key goes when every worker has heard of the new one.
    wait::until("the old keys are nowhere", || {
        look(&broker, &old).is_some_and(|search| search.elsewhere.is_empty())
    });
    let mut forms = key_forms("client", &identity.key);
    forms.extend(key_forms("shown", &shown.key));
    let found = look(&broker, &forms).unwrap().elsewhere;
    // As numbers the library has them for as long as they are in use; as texts nobody does.
    let texts: Vec<&String> = found.iter().filter(|found| !found.contains("-reversed-")).collect();
    assert_eq!(texts, [""; 0]);
    assert!(broker.stop().unwrap().success(), "{}", broker.said());
}

#[test]
fn the_search_finds_what_lies_in_the_general_heap() {
    // The user's name is no secret to this test, but for its place in memory; a listener's path is none to anybody.
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let path = tests::places::fresh("socket").unwrap().join(unguessable());
    let service = pg("db", cluster, &login).listening_on(Listen::Unix(path.clone()));
    let broker = crate::support::broker([service]);
    let name = path.display().to_string();
    let Some(search) = look(&broker, &edges("path", name.as_bytes())) else { return };
    assert!(search.elsewhere.iter().any(|found| found.starts_with("path-last")), "{search:?}");
}

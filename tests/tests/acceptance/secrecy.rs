//! No form of the secret leaves the broker: not in logs, errors, metrics, admin answers, client bytes or memory.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, File as OpenFile};
use std::process::Command;

use rustix::process::Signal;
use tests::broker::{Broker, File, Listen, pg};
use tests::certificates::Authority;
use tests::obtain;
use tests::postgres::{Login, Major, plaintext, shared, unguessable};
use tests::process;
use tests::wire::{self, CANCEL_REQUEST, SSL_REQUEST, VERSION_3_0, Wire, packet, startup};

use crate::support::started;

/// Every form of a login's password that somebody could use or find, by its name.
pub(crate) fn forms(login: &Login, verifier: &str) -> BTreeMap<String, Vec<u8>> {
    let program = obtain::drivers().join("python/secret_forms.py");
    let mut command = Command::new(obtain::python().unwrap());
    command.arg(program).args([&login.name, &login.password, verifier]);
    let lines = process::run(&mut command).unwrap().succeeded().unwrap();
    let mut forms = BTreeMap::new();
    for line in lines.lines() {
        let (name, hex) = line.split_once(' ').expect("a name and hexadecimal digits");
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        forms.insert(name.to_owned(), bytes.collect());
    }
    assert!(forms.len() >= 20, "{:?}", forms.keys());
    forms
}

/// The names of the forms that stand in `haystack`.
pub(crate) fn find<'f>(haystack: &[u8], forms: &'f BTreeMap<String, Vec<u8>>) -> Vec<&'f str> {
    // One letter for each byte: the search in texts is fast, and nothing is lost on the way.
    let letters = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    let haystack = letters(haystack);
    forms
        .iter()
        .filter(|(_, form)| haystack.contains(&letters(form)))
        .map(|(name, _)| name.as_str())
        .collect()
}

#[test]
fn the_search_would_find_what_it_looks_for() {
    let login = Login { name: "user".to_owned(), password: unguessable() };
    let forms = forms(&login, "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$a:b");
    for (name, form) in &forms {
        let haystack = [b"before ", form.as_slice(), b" behind"].concat();
        assert!(find(&haystack, &forms).contains(&name.as_str()), "{name}");
    }
    assert_eq!(find(b"nothing of it", &forms), [""; 0]);
}

/// What a client sees on a connection on which it says `bytes` and then nothing more.
fn hear(listen: &Listen, bytes: &[u8]) -> Vec<u8> {
    let mut wire = Wire::connect(listen).unwrap();
    wire.send(bytes).unwrap();
    wire.finish_sending().unwrap();
    wire.rest().unwrap_or_default()
}

#[test]
fn no_form_of_the_secret_comes_out_on_any_path() {
    let cluster = shared(Major::Distribution);
    let mut login = cluster.user(None).unwrap();
    // One that changes in every encoding: quotes, spaces, signs that URLs and base64 write otherwise.
    login.password = format!("ä \"c{}'%/+?&=~", login.password);
    let escaped = login.password.replace('\'', "''");
    cluster.sql(&format!("ALTER ROLE {} PASSWORD '{escaped}'", login.name)).unwrap();
    let clear = cluster.user(Some("with_password")).unwrap();
    cluster.sql(&format!("ALTER ROLE {} PASSWORD '{escaped}'", clear.name)).unwrap();
    let md5 = cluster.user(Some("with_md5")).unwrap();
    cluster
        .sql(&format!("SET password_encryption = md5; ALTER ROLE {} PASSWORD '{escaped}'", md5.name))
        .unwrap();
    let verifier = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{}'", login.name);
    let forms = forms(&login, &cluster.sql(&verifier).unwrap());

    let mut file = File::new().unwrap();
    let from_file = file.secret("password", &login.password).unwrap();
    let as_user = |user: &Login| Login { password: login.password.clone(), ..user.clone() };
    let services = [
        pg("literal", cluster, &login),
        pg("file", cluster, &login).file("password", &from_file),
        pg("tls", cluster, &login).literal("sslmode", "require"),
        pg("unix", cluster, &login).listening_on(Listen::unix().unwrap()),
        pg("md5", cluster, &as_user(&md5)),
        pg("clear", cluster, &as_user(&clear)).line("config: {cleartextPassword: always}"),
        pg("clear-refused", cluster, &as_user(&clear)),
        pg("refused", cluster, &login).literal("port", &tests::ports::free().to_string()),
        pg("name", cluster, &login).literal("host", "no..such.host"),
        pg("no-tls", plaintext(), &login).literal("sslmode", "require"),
        pg("untrusted", cluster, &login)
            .literal("sslmode", "verify-full")
            .literal("sslrootcert", &Authority::stranger().certificate),
        pg("mode", cluster, &login).literal("sslmode", &login.password),
        pg("port", cluster, &login).literal("port", &login.password),
        pg("full", cluster, &login).line("limits: {sessions: 1}"),
        pg("missing", cluster, &login)
            .file("password", &file.directory().join("nothing"))
            .line("required: false")
            .line("timeouts: {handshake: 1s}"),
    ];
    file.services.extend(services.clone());

    let mut seen = Vec::new();
    for format in ["human", "json"] {
        let config = file.write().unwrap();
        let mut command = tests::broker::command(&config).unwrap();
        command.args(["-debug", "--log-format", format]);
        let broker = started(Broker::launch_with(&mut command, file.admin(), config.clone()));
        broker.wait_until_ready().unwrap();

        let held = Wire::connect(&services[13].listen).unwrap();
        for service in &services {
            let good = startup(VERSION_3_0, &[("user", "anybody"), ("database", &login.name)]);
            let nowhere = startup(VERSION_3_0, &[("user", "anybody"), ("database", "nowhere")]);
            let queries = [good.clone(), wire::query("SELECT 1"), wire::message('X', b"")].concat();
            for bytes in [
                queries,
                nowhere,
                good[..10].to_vec(),
                packet(SSL_REQUEST, b""),
                packet(SSL_REQUEST, b"stuffed"),
                packet(CANCEL_REQUEST, &[1; 8]),
                packet(0x0004_0000, b""),
                b"GET / HTTP/1.1\r\n\r\n".to_vec(),
                Vec::new(),
            ] {
                seen.extend(hear(&service.listen, &bytes));
            }
        }
        drop(held);

        // A wrong password in force, a right one again, a file that is wrong in the secret's own line.
        fs::write(&from_file, "wrong").unwrap();
        fs::write(&from_file, &login.password).unwrap();
        for wrong in [
            format!("version: \"2\"\nservices:\n  db: {}\n", login.password),
            format!("version: \"2\"\nservices:\n  db:\n    password: \"{}\n", login.password),
            format!("{}: {}\n", login.password, login.password),
        ] {
            let before = broker.said().len();
            fs::write(&config, &wrong).unwrap();
            broker.process().signal(Signal::USR1);
            broker.process().wait_for_words("what is wrong", |said| said.len() > before).unwrap();
            let mut check = Command::new(tests::broker::binary().unwrap());
            let finished = process::run(check.args(["check", "-f"]).arg(&config)).unwrap();
            seen.extend(finished.to_string().into_bytes());
        }
        for path in ["/live", "/live?full=1", "/ready", "/ready?full=1", "/metrics", "/nowhere"] {
            seen.extend(broker.get(path).unwrap().body.into_bytes());
        }
        for place in ["cmdline", "environ", "comm"] {
            seen.extend(fs::read(format!("/proc/{}/{place}", broker.process().pid())).unwrap());
        }
        assert!(broker.stop().unwrap().success(), "{}", broker.said());
        let said = broker.said();
        assert!(said.lines().count() > 20, "it hardly said a word: {said}");
        seen.extend(said.into_bytes());
    }

    let found = find(&seen, &forms);
    if !found.is_empty() {
        let text = String::from_utf8_lossy(&seen).into_owned();
        let mut report = String::new();
        for name in &found {
            let form = String::from_utf8_lossy(&forms[*name]).into_owned();
            for line in text.lines().filter(|line| line.contains(&form)).take(3) {
                let (before, behind) = line.split_once(&form).unwrap_or_default();
                let before: String = before.chars().rev().take(200).collect();
                let before: String = before.chars().rev().collect();
                let behind: String = behind.chars().take(200).collect();
                let _ = writeln!(report, "{name}: {before}<<here>>{behind}");
            }
        }
        panic!("the secret came out as {found:?}:\n{report}");
    }
}

#[test]
fn the_process_cannot_be_dumped() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let broker = crate::support::broker([pg("db", cluster, &login)]);
    let pid = broker.process().pid();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // The files of a process that is not dumpable belong to root, whoever runs it; so run it as somebody else.
    if rustix::process::geteuid().is_root() {
        return;
    }
    assert!(OpenFile::open(format!("/proc/{pid}/mem")).is_err(), "its memory can be read");
}

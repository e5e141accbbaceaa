//! The embedded vault: its commands, the services that take their values from it, and the stock tool for its format.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tests::broker::{Broker, File, Service, Value, command, pg};
use tests::postgres::{Cluster, Login, Major, shared, unguessable};
use tests::process;
use tests::vault::Vault;
use tests::wait;

use crate::memory::{edges, look};
use crate::support::{psql, refusal, session, started};

/// A service whose password is `shop-password` of a vault.
fn service(name: &str, cluster: &Cluster, login: &Login) -> Service {
    pg(name, cluster, login).credential("password", Value::From("local", "shop-password".to_owned()))
}

/// A broker that is told of its vault by `tell`.
fn launched(file: &File, tell: impl FnOnce(&mut Command)) -> Broker {
    let config = file.write().unwrap();
    let mut command = command(&config).unwrap();
    // Whatever the machine that runs the tests has.
    for name in
        ["SECRETLESS_VAULT", "SECRETLESS_VAULT_KEY_FILE", "SECRETLESS_VAULT_KEY", "CREDENTIALS_DIRECTORY"]
    {
        command.env_remove(name);
    }
    tell(&mut command);
    started(Broker::launch_with(&mut command, file.admin(), config))
}

/// A broker whose one service takes its password from a vault.
struct Shop {
    cluster: &'static Cluster,
    login: Login,
    vault: Vault,
    service: Service,
    broker: Broker,
}

#[track_caller]
fn shop() -> Shop {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let vault = Vault::new().unwrap();
    vault.set("shop-password", &login.password).unwrap();
    let service = service("db", cluster, &login);
    let file = File::with([service.clone()]).unwrap();
    let broker = launched(&file, |command| _ = vault.tell(command));
    broker.wait_until_ready().unwrap();
    Shop { cluster, login, vault, service, broker }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_secret_makes_a_vault_and_says_what_that_protects() {
    let vault = Vault::new().unwrap();
    let first = vault.run(&["set", "shop-password"], b"hunter2\n").unwrap();
    assert!(first.status.success(), "{first}");
    for words in
        ["A copy of the vault alone", "nothing from root, nor from this user", "shop-password is set"]
    {
        assert!(first.stdout.contains(words), "{first}");
    }
    assert_eq!((mode(&vault.vault), mode(&vault.key)), (0o600, 0o600));
    let second = vault.run(&["set", "--raw", "other"], b"two\n").unwrap();
    assert_eq!(second.stdout.lines().count(), 1, "{second}");

    assert_eq!(vault.get("shop-password").unwrap(), "hunter2");
    assert_eq!(vault.get("other").unwrap(), "two\n");
    let listed = vault.run(&["list"], b"").unwrap().succeeded().unwrap();
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["other", "shop-password"]);
    assert!(!listed.contains("hunter2"), "{listed}");

    let hidden = vault.run(&["get", "shop-password"], b"").unwrap();
    assert_eq!((hidden.status.code(), hidden.stdout.as_str()), (Some(1), ""));
    assert!(hidden.stderr.contains("--reveal"), "{hidden}");
    assert!(vault.run(&["rm", "other"], b"").unwrap().status.success());
    for words in [&["rm", "other"][..], &["get", "other", "--reveal"]] {
        let missing = vault.run(words, b"").unwrap();
        assert_eq!(missing.status.code(), Some(1), "{missing}");
        assert!(missing.stderr.contains("there is no secret other"), "{missing}");
    }
    fs::set_permissions(&vault.key, fs::Permissions::from_mode(0o640)).unwrap();
    let open = vault.run(&["list"], b"").unwrap();
    assert_eq!(open.status.code(), Some(1), "{open}");
    assert!(open.stderr.contains("chmod 600"), "{open}");
}

#[test]
fn a_password_is_rotated_by_one_command_while_clients_connect() {
    let Shop { cluster, login, vault, service, broker } = shop();
    let mut open = session(&service.listen, &login);
    let pid = open.query("SELECT pg_backend_pid()").unwrap();

    let mut last = login.password.clone();
    for round in 0..5 {
        last = format!("next-password-{round}");
        // The vault is older than the server's mind for a moment only; a session may wait, but not fail.
        cluster.sql(&format!("ALTER ROLE {} PASSWORD '{last}'", login.name)).unwrap();
        vault.set("shop-password", &last).unwrap();
        session(&service.listen, &login);
    }
    // A new key is no new value, and the broker finds it.
    vault.run(&["rotate-key"], b"").unwrap().succeeded().unwrap();
    last.push_str("-behind-the-new-key");
    cluster.sql(&format!("ALTER ROLE {} PASSWORD '{last}'", login.name)).unwrap();
    vault.set("shop-password", &last).unwrap();
    session(&service.listen, &login);

    assert_eq!(open.query("SELECT pg_backend_pid()").unwrap(), pid, "what was open has not noticed");
    let said = broker.said();
    assert!(!said.contains("next-password") && !said.contains(&login.password), "{said}");
}

#[test]
fn an_old_copy_of_the_vault_is_refused_and_the_last_value_serves_on() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let vault = Vault::new().unwrap();
    vault.set("shop-password", "an old one").unwrap();
    let old = fs::read(&vault.vault).unwrap();
    vault.set("shop-password", &login.password).unwrap();
    let service = service("db", cluster, &login);
    let file = File::with([service.clone()]).unwrap();
    let broker = launched(&file, |command| _ = vault.tell(command));
    broker.wait_until_ready().unwrap();

    Vault::overwrite(&vault.vault, &old).unwrap();
    let words = |said: &str| said.contains("is older than it was");
    broker.process().wait_for_words("that the copy is an old one", words).unwrap();
    session(&service.listen, &login);
    assert_eq!(broker.metric("secretless_credential_refused", &["db"]).unwrap(), 0.0, "it was never tried");

    // Damage is refused in the same way, and one command puts everything right.
    Vault::overwrite(&vault.vault, b"").unwrap();
    broker.process().wait_for_words("that it is empty", |said| said.contains("it is empty")).unwrap();
    session(&service.listen, &login);
    Vault::overwrite(&vault.vault, &old).unwrap();
    cluster.sql(&format!("ALTER ROLE {} PASSWORD 'the newest'", login.name)).unwrap();
    vault.set("other", "1").unwrap();
    vault.set("shop-password", "the newest").unwrap();
    wait::until("the newest is taken", || psql(&service.listen, &login).run("").unwrap().status.success());
}

#[test]
fn the_key_may_come_from_a_file_a_variable_or_a_credential_of_systemd() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let vault = Vault::new().unwrap();
    vault.set("shop-password", &login.password).unwrap();
    let key = fs::read_to_string(&vault.key).unwrap();
    let credentials = vault.key.parent().unwrap().join("credentials");
    fs::create_dir(&credentials).unwrap();
    // As systemd shows one that it has opened to the service's user by an access list.
    let credential = credentials.join("secretless-vault-key");
    fs::write(&credential, &key).unwrap();
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o440)).unwrap();
    let tells: [&dyn Fn(&mut Command); 3] = [
        &|command| _ = command.env("SECRETLESS_VAULT_KEY_FILE", &vault.key),
        &|command| _ = command.env("SECRETLESS_VAULT_KEY", &key),
        &|command| _ = command.env("CREDENTIALS_DIRECTORY", &credentials),
    ];
    for tell in tells {
        let service = service("db", cluster, &login);
        let file = File::with([service.clone()]).unwrap();
        let broker = launched(&file, |command| tell(command.env("SECRETLESS_VAULT", &vault.vault)));
        broker.wait_until_ready().unwrap();
        session(&service.listen, &login);
        assert!(!broker.said().contains("AGE-SECRET-KEY"), "{}", broker.said());
        // Nobody but root may look, for the process cannot be dumped; and there is nothing to see.
        match fs::read(format!("/proc/{}/environ", broker.process().pid())) {
            Ok(environment) => {
                let has = |words: &[u8]| environment.windows(words.len()).any(|window| window == words);
                assert!(has(b"SECRETLESS_VAULT=") && !has(b"AGE-SECRET-KEY"), "the key was wiped");
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
        }
    }
}

#[test]
fn vaults_with_names_have_their_own_values_and_are_watched() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let (names, passwords) = (Vault::new().unwrap(), Vault::new().unwrap());
    names.set("shop", &login.name).unwrap();
    passwords.set("shop", "not yet").unwrap();
    let mut service = pg("db", cluster, &login);
    for (name, store) in [("username", "names"), ("password", "passwords")] {
        service = service.credential(name, Value::From(store, "shop".to_owned()));
    }
    let mut file = File::with([service.clone()]).unwrap();
    for (name, vault) in [("names", &names), ("passwords", &passwords)] {
        let (vault, key) = (vault.vault.display(), vault.key.display());
        file.providers.push(format!("{name}: {{type: local, vault: {vault}, key: {key}}}"));
    }
    let broker = launched(&file, |_| ());
    broker.wait_until_ready().unwrap();
    passwords.set("shop", &login.password).unwrap();
    wait::until("the new password is taken", || {
        psql(&service.listen, &login).run("").unwrap().status.success()
    });

    // What is missing is said with the command that helps, and the command does.
    passwords.run(&["rm", "shop"], b"").unwrap().succeeded().unwrap();
    let checked = process::run(command(&file.write().unwrap()).unwrap().arg("check")).unwrap();
    let (vault, key) = (passwords.vault.display(), passwords.key.display());
    let remedy = format!("`secretless-broker secret set shop --vault {vault} --key {key}`");
    assert!(checked.stderr.contains(&remedy), "{checked}");
}

#[test]
fn a_vault_that_is_not_there_yet_is_awaited_and_check_says_what_is_missing() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let vault = Vault::new().unwrap();
    let service = service("late", cluster, &login).line("timeouts: {handshake: 2s}");
    let file = File::with([service.clone()]).unwrap();
    let config = file.write().unwrap();
    let check = || {
        let mut command = command(&config).unwrap();
        process::run(vault.tell(command.arg("check"))).unwrap()
    };
    let checked = check();
    assert!(checked.status.success() && checked.stderr.contains("there is no vault"), "{checked}");
    let broker = launched(&file, |command| _ = vault.tell(command));
    wait::until("it listens", || tests::wire::Wire::connect(&service.listen).is_ok());
    let error = refusal(&service.listen, &login.name);
    crate::support::assert_is_ours(&error, "late", "57P03", "credential", &login);

    vault.set("other", "1").unwrap();
    let checked = check();
    assert!(checked.stderr.contains("there is no secret shop-password"), "{checked}");
    vault.set("shop-password", &login.password).unwrap();
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
    assert!(!check().stderr.contains("vault"), "{}", check());

    let wrong = file.directory().join("wrong.yml");
    fs::write(&wrong, file.text().replace("shop-password", "shop password")).unwrap();
    let checked = process::run(command(&wrong).unwrap().arg("check")).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{checked}");
    assert!(checked.stderr.contains("letters, digits and - _ . / alone"), "{checked}");
}

#[test]
fn the_stock_tool_opens_our_vault_and_we_open_what_it_has_made() {
    let vault = Vault::new().unwrap();
    let large = "x".repeat(60_000);
    vault.set("large", &large).unwrap();
    vault.set("larger", &large).unwrap();
    vault.set("shop-password", "hunter2").unwrap();
    let mut rescue = Command::new("age");
    rescue.arg("--decrypt").arg("--identity").arg(&vault.key).arg(&vault.vault);
    let text = process::run(&mut rescue).unwrap().succeeded().unwrap();
    assert!(text.starts_with("secretless-vault/1\ncounter "), "{}", &text[..40]);
    let line = text.lines().last().unwrap();
    assert!(line.starts_with("shop-password ") && line.ends_with(" aHVudGVyMg=="), "{line}");

    // The other way round: a key of the tool's, and a vault that it has sealed.
    let theirs = Vault::new().unwrap();
    fs::create_dir_all(theirs.key.parent().unwrap()).unwrap();
    fs::create_dir_all(theirs.vault.parent().unwrap()).unwrap();
    process::run(Command::new("age-keygen").arg("--output").arg(&theirs.key)).unwrap().succeeded().unwrap();
    let recipient =
        process::run(Command::new("age-keygen").arg("-y").arg(&theirs.key)).unwrap().succeeded().unwrap();
    let mut seal = Command::new("age");
    seal.args(["--encrypt", "--recipient", recipient.trim(), "--output"]).arg(&theirs.vault);
    process::run_with_input(&mut seal, text.as_bytes()).unwrap().succeeded().unwrap();
    assert_eq!(theirs.get("shop-password").unwrap(), "hunter2");
    assert_eq!(theirs.get("larger").unwrap(), large);
    theirs.set("shop-password", "hunter3").unwrap();
    assert_eq!(theirs.get("shop-password").unwrap(), "hunter3");
}

#[test]
fn a_value_typed_at_a_terminal_is_not_shown() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::io::{Read, Write};

    let vault = Vault::new().unwrap();
    let asked = |typed: &[u8]| {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = fs::OpenOptions::new().read(true).write(true).open(slave).unwrap();
        let mut command = vault.command(&["set", "typed"]).unwrap();
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let mut child = command.spawn().unwrap();
        // What is left in it are our copies of the terminal: its last one is the child's then.
        drop(command);
        let mut master = fs::File::from(master);
        let mut shown = Vec::new();
        let mut has_answered = false;
        let mut buffer = [0; 1024];
        // Reading fails once nobody has the other side open.
        while let Ok(bytes @ 1..) = master.read(&mut buffer) {
            shown.extend_from_slice(&buffer[..bytes]);
            if !has_answered && shown.ends_with(b"(it is not shown): ") {
                has_answered = true;
                master.write_all(typed).unwrap();
            }
        }
        let status = child.wait().unwrap();
        (status.code(), String::from_utf8(shown).unwrap())
    };
    let (code, shown) = asked(b"typed-and-hidden\n");
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("typed-and-hidden") && shown.contains("typed is set in"), "{shown}");
    assert_eq!(vault.get("typed").unwrap(), "typed-and-hidden");

    let (code, shown) = asked(b"half of a sec\x03");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("given up") && !shown.contains("half"), "{shown}");
    let long = [vec![b'x'; 5000], b"\n".to_vec()].concat();
    let (code, shown) = asked(&long);
    assert!(code == Some(1) && shown.contains("put the value into a pipe"), "{code:?} {shown}");
    assert_eq!(vault.get("typed").unwrap(), "typed-and-hidden");
}

#[test]
fn a_value_is_in_no_argument_and_no_error() {
    let vault = Vault::new().unwrap();
    vault.set("name", "1").unwrap();
    for words in
        [&["set", "name", "hunter2"][..], &["set", "name", "--hunter2"], &["set", "na me"], &["hunter2"]]
    {
        let mut command = vault.command(words).unwrap();
        command.stdin(Stdio::null());
        let refused = process::run_with_input(&mut command, b"hunter2").unwrap();
        assert!(!refused.status.success() && !refused.to_string().contains("hunter2"), "{refused}");
    }
    assert_eq!(vault.get("name").unwrap(), "1");
}

#[test]
fn no_password_old_or_new_is_left_in_memory_and_no_key() {
    let Shop { cluster, login, vault, service, broker } = shop();
    let mut forms = edges("first", login.password.as_bytes());
    for rotation in 0..10 {
        let password = unguessable();
        forms.extend(edges(&format!("rotation-{rotation}"), password.as_bytes()));
        cluster.sql(&format!("ALTER ROLE {} PASSWORD '{password}'", login.name)).unwrap();
        vault.set("shop-password", &password).unwrap();
        for _ in 0..20 {
            session(&service.listen, &login);
        }
    }
    let key = fs::read_to_string(&vault.key).unwrap();
    let key = key.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    // What all keys begin with is no secret.
    forms.extend(edges("key", &key.as_bytes()[20..]));
    wait::until("they are nowhere but where secrets lie", || {
        look(&broker, &forms).is_none_or(|found| found.elsewhere.is_empty())
    });
    assert!(broker.stop().unwrap().success(), "{}", broker.said());
}

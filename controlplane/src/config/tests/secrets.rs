//! Secrets in files: who may read them, and that nothing says them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// A folder of one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("secretless-config-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn request(path: &Path) -> LoadRequest {
    LoadRequest { file: Some(path.to_owned()), ..LoadRequest::default() }
}

#[test]
fn literal_secrets_in_a_file_that_others_read_are_a_warning() {
    let folder = Folder::new("literals");
    let file =
        with_service("").replace("{host: db}", "{host: db, sslkey: s3, password: {from: literal, get: s3}}");
    for (mode, warned) in [(0o600, false), (0o640, true), (0o604, true), (0o611, false)] {
        let path = folder.write("secretless.yml", &file, mode);
        let warnings = load(&request(&path)).expect("it loads").warnings.to_string();
        assert_eq!(!warnings.is_empty(), warned, "{mode:o}: {warnings}");
        assert!(!warnings.contains("s3"));
        if warned {
            let path = path.display();
            assert_eq!(
                warnings,
                format!(
                    "{path}:6:37: warning: services.pg.credentials.sslkey: the file holds 2 secrets, this the first, and \
                     is readable by group or others\n  help: run `chmod 600 {path}`, or take secrets from elsewhere: \
                     `from: file`\n"
                )
            );
        }
    }
    for harmless in
        ["{host: db, port: 5432}", "{password: ''}", "{password: {from: env, get: X}}", "{accessKeyId: x}"]
    {
        let path = folder.write("secretless.yml", &with_service("").replace("{host: db}", harmless), 0o644);
        assert_eq!(load(&request(&path)).expect("it loads").warnings.to_string(), "", "{harmless}");
    }
}

/// What `check` says about a service with these credentials, as key and message, and how many services will fail.
fn checked(folder: &Folder, credentials: &str) -> (Vec<(String, String)>, usize) {
    let path = folder.write("secretless.yml", &with_service("").replace("host: db", credentials), 0o600);
    assert!(load(&request(&path)).expect("it loads").warnings.is_empty(), "that is for `check` to say");
    let loaded = check(&request(&path)).expect("it loads");
    let said = |finding: &crate::diagnostics::Finding| (finding.key.clone(), finding.message.clone());
    (loaded.warnings.findings().iter().map(said).collect(), loaded.doubtful.len())
}

#[test]
fn check_warns_of_what_will_fail_and_counts_it() {
    let folder = Folder::new("check");
    let (said, doubtful) =
        checked(&folder, "host: db, sslmode: prefer, user: me, password: {from: env, get: PATH}");
    let keys: Vec<&str> = said.iter().map(|(key, _)| key.as_str()).collect();
    let of = |name: &str| format!("services.pg.credentials.{name}");
    assert_eq!(keys, ["services.pg.credentials", &of("sslmode"), &of("user")], "{said:?}");
    assert_eq!(said[0].1, "there is no 'username'");
    assert_eq!(doubtful, 1);

    let (said, doubtful) = checked(&folder, "address: 'db:5432', username: me");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].1.contains("has been deprecated"), "{said:?}");
    assert_eq!(doubtful, 0, "it works all the same");
}

#[test]
fn check_knows_a_misspelt_name_and_a_secret_that_would_be_sent_under_another() {
    let folder = Folder::new("names");
    let name = |credentials: &str| checked(&folder, credentials).0;
    assert_eq!(name("username: me, application_name: books"), []);
    for (credentials, key) in [
        ("username: me, pasword: {from: env, get: PATH}", "services.pg.credentials.pasword"),
        ("username: me, sslmod: disable", "services.pg.credentials.sslmod"),
        ("username: me, token: {from: env, get: PATH}", "services.pg.credentials.token"),
    ] {
        let said = name(credentials);
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(said[0].0, key);
        assert!(said[0].1.contains("sent to the target as a parameter"), "{said:?}");
    }
}

#[test]
fn check_counts_a_service_whose_value_has_a_misspelt_name_or_is_empty() {
    let folder = Folder::new("misspelt");
    for (credentials, messages, doubtful) in [
        ("username: me, pasword: s3", 1, 1),
        ("username: me, password: s3, pasword: s3", 1, 0),
        ("user: me, password: s3", 2, 1),
        ("username: me, password: ''", 1, 0),
        ("username: me, password:", 1, 0),
        ("username: '', password: s3", 1, 1),
        ("username: me, password: s3, application_name: ''", 0, 0),
    ] {
        let (said, counted) = checked(&folder, credentials);
        assert_eq!((said.len(), counted), (messages, doubtful), "{credentials}: {said:?}");
        assert!(!format!("{said:?}").contains("s3"));
    }
    let path = folder.write("shared.yml", &with_service("").replace("host: db", "pasword: s3"), 0o644);
    let warnings = load(&request(&path)).expect("it loads").warnings.to_string();
    assert!(warnings.contains("pasword: the file holds this secret and is readable"), "{warnings}");
}

#[test]
fn check_knows_a_value_that_yaml_takes_for_something_else() {
    let folder = Folder::new("rewritten");
    for (password, is_rewritten) in
        [("0123", true), ("yes", true), ("1e3", true), ("'0123'", false), ("5432", false), ("s3", false)]
    {
        let (said, doubtful) = checked(&folder, &format!("username: me, password: {password}"));
        assert_eq!((said.len(), doubtful), (usize::from(is_rewritten), 0), "{password}: {said:?}");
        assert!(said.iter().all(|(_, message)| !message.contains(password)), "no value is shown");
    }
}

#[test]
fn check_looks_at_what_values_come_from() {
    let folder = Folder::new("files");
    let [open, closed, empty] = [
        folder.write("open", "s3", 0o644),
        folder.write("closed", "s3", 0o600),
        folder.write("empty", "", 0o600),
    ]
    .map(|path| path.display().to_string());
    let missing = folder.0.join("missing").display().to_string();
    let directory = folder.0.display().to_string();
    let about = |name: &str, get: &str| {
        let credentials = format!("username: me, {name}: {{from: file, get: {get}}}");
        let (said, _) = checked(&folder, &credentials);
        said.into_iter().map(|(_, message)| message).collect::<Vec<_>>()
    };
    assert_eq!(about("password", &closed), [""; 0]);
    let is_open = "holds a secret and is readable by its group or by others (mode 644)";
    assert_eq!(about("password", &open), [format!("{open} {is_open}")]);
    assert_eq!(about("sslrootcert", &open), [""; 0], "anybody may read a certificate");
    assert_eq!(about("password", &empty), [format!("read {empty}: the file is empty")]);
    assert_eq!(about("password", &missing), [format!("open {missing}: no such file or directory")]);
    assert_eq!(about("password", &directory), [format!("read {directory}: is a directory")]);
    let (said, _) = checked(&folder, "username: me, password: {from: env, get: NOBODY_SETS_THIS}");
    assert_eq!(said[0].1, "env cannot find environment variable 'NOBODY_SETS_THIS'");
}

#[test]
fn a_file_that_cannot_be_read_is_one_error() {
    let folder = Folder::new("unreadable");
    let missing = folder.0.join("missing.yml");
    let report = load(&request(&missing)).err().expect("it is missing");
    let path = missing.display();
    assert_eq!(
        report.to_string(),
        format!(
            "{path}: error: error reading config file '{path}': No such file or directory (os error 2)\n  help: check \
             the path given with -f\n"
        )
    );

    let latin = folder.write("latin.yml", "", 0o600);
    fs::write(&latin, b"version: 2\n# caf\xe9\n").expect("a file");
    let report = load(&request(&latin)).err().expect("it is no UTF-8").to_string();
    assert!(report.contains("latin.yml:2:6: error: expected UTF-8, found other bytes"), "{report}");

    let large = folder.write("large.yml", "", 0o600);
    fs::File::options().write(true).open(&large).expect("a file").set_len(17 << 20).expect("a sparse file");
    let report = load(&request(&large)).err().expect("it is too large").to_string();
    assert!(report.contains("error: the file has more than 16 MiB"), "{report}");
}

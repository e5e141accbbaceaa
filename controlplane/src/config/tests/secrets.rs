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
    LoadRequest { file: Some(path.to_owned()), allow_remote: false }
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

#[test]
fn check_warns_of_values_that_the_protocol_cannot_use() {
    let folder = Folder::new("check");
    let credentials = "{host: db, sslmode: prefer, user: me, password: {from: env, get: X}}";
    let path = folder.write("secretless.yml", &with_service("").replace("{host: db}", credentials), 0o600);
    assert!(load(&request(&path)).expect("it loads").warnings.is_empty());

    let warnings = check(&request(&path)).expect("it loads").warnings;
    assert_eq!(warnings.findings().len(), 2, "{warnings}");
    assert!(warnings.findings().iter().any(|finding| finding.key == "services.pg.credentials.user"));
    assert!(warnings.to_string().contains("sslmode"));
}

#[test]
fn check_warns_of_secret_files_that_are_missing_or_open_to_others() {
    let folder = Folder::new("files");
    let open = folder.write("open", "s3", 0o644);
    let closed = folder.write("closed", "s3", 0o600);
    let missing = folder.0.join("missing");
    let credentials: String = [("a", &open), ("b", &closed), ("c", &missing), ("d", &open)]
        .iter()
        .map(|(name, path)| format!("{name}: {{from: file, get: {}}}, ", path.display()))
        .collect();
    let file = with_service("").replace("host: db", &credentials);
    let path = folder.write("secretless.yml", &file, 0o600);
    let warnings = check(&request(&path)).expect("it loads").warnings;
    let said: Vec<_> =
        warnings.findings().iter().map(|finding| (finding.key.as_str(), finding.message.as_str())).collect();
    assert_eq!(
        said,
        [
            ("services.pg.credentials.a", &*format!("{} is readable by group or others", open.display())),
            (
                "services.pg.credentials.c",
                &*format!("{} cannot be read now: No such file or directory (os error 2)", missing.display())
            ),
        ]
    );
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

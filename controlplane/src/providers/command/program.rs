//! Where a program is.
//!
//! Owns the search, as execvp(3) goes about it. Runs nothing.

use std::env;
use std::path::Path;

use rustix::fs::{Access, access};

use super::{Flaw, is_program};
use crate::diagnostics::printable;

/// What is wrong with `program` as of now, if it could not be run. A path that is not whole begins where the broker is started, which
/// is not here.
pub(super) fn missing(program: &str) -> Option<Flaw> {
    let path = Path::new(program);
    if !is_program(program.as_bytes()) && !path.is_file() {
        // Who knows what is in there.
        let words = "the first word of `run` is no program".to_owned();
        let help = "write each word as a value of its own, the program first: `run: [program, first, second]`; a variable is set by \
                    `run: [env, NAME=VALUE, program]`"
            .to_owned();
        return Some(Flaw { words, help, is_fatal: true });
    }
    let shown = printable(program);
    let (words, help) = if path.is_absolute() {
        match path.is_file() {
            true if is_executable(path) => return None,
            true => {
                (format!("{shown}: it cannot be executed"), "make it executable if it is meant".to_owned())
            }
            false => {
                (format!("{shown}: there is no such program"), "correct `run`, or install it".to_owned())
            }
        }
    } else if program.contains('/') {
        return None;
    } else {
        let folders = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
        if env::split_paths(&folders).any(|folder| is_executable(&folder.join(program))) {
            return None;
        }
        let help = "install it, or write its whole path: the broker's own `PATH` is what counts".to_owned();
        (format!("{shown}: there is no such program in any folder of `PATH`"), help)
    };
    Some(Flaw { words, help, is_fatal: true })
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_program_is_looked_for_where_the_system_would() {
        assert!(missing("sh").is_none() && missing("/bin/sh").is_none());
        let dir = TempDir::new();
        let script = dir.file("script", "#!/bin/sh");
        let path = script.to_str().expect("text");
        let words = |program: &str| missing(program).map(|flaw| flaw.words).unwrap_or_default();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o600)).expect("its mode");
        assert_eq!(words(path), format!("{path}: it cannot be executed"));
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("its mode");
        assert_eq!(words(path), "");
        assert_eq!(words("/bin"), "/bin: there is no such program");
        assert_eq!(words("./no-such-program"), "", "nobody knows where the broker is started");
        for line in ["curl -H 'X: hunter2'", "PGPASSWORD=hunter2", "curl\t-H", "https://hunter2"] {
            assert_eq!(words(line), "the first word of `run` is no program", "{line}");
        }
        let words = words("no-such-program-here");
        assert_eq!(words, "no-such-program-here: there is no such program in any folder of `PATH`");
    }
}

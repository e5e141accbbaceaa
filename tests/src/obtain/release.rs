//! Packages of another release of Debian, unpacked into a directory: nothing of the system changes.
//!
//! apt does it, with a state of its own that knows of no installed package. What comes has its own C library and
//! dynamic linker, which [`Unpacked::command`] starts programs with, so it takes neither root nor a chroot.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{drivers, fetch_with};
use crate::failure::{Doing, Failure, Result};

/// The keys that Debian signs its releases with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What no test reads.
const PRUNED: [&str; 5] =
    ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/perl"];

#[cfg(target_arch = "aarch64")]
const LINKER: &str = "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1";
#[cfg(target_arch = "aarch64")]
const LIBRARIES: &str = "usr/lib/aarch64-linux-gnu";
#[cfg(not(target_arch = "aarch64"))]
const LINKER: &str = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
#[cfg(not(target_arch = "aarch64"))]
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Unpacks the packages that `list` names, as `release` has them today, into `directory`.
pub(super) fn unpack(release: &str, list: &str, directory: &Path) -> Result<()> {
    let apt = Apt::new(directory.join("apt"), &format!("deb {}", source(release)?))?;
    let list = drivers().join(list);
    let text = fs::read_to_string(&list).doing(format_args!("read {}", list.display()))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (alone, whole): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.ends_with(" alone"));
    fetch_with(apt.get().args(["install", "--download-only", "--yes"]).args(whole))?;
    if !alone.is_empty() {
        let alone = alone.iter().map(|line| line.trim_end_matches(" alone"));
        fetch_with(apt.get().arg("download").args(alone).current_dir(apt.state.join("archives")))?;
    }
    for package in files(&apt.state.join("archives"), "deb")? {
        fetch_with(Command::new("dpkg-deb").arg("--extract").arg(package).arg(directory))?;
    }
    for path in PRUNED {
        // Not every release has each of them.
        let _ = fs::remove_dir_all(directory.join(path));
    }
    apt.remove()
}

/// Fetches the original source of a package, as `release` has it, and unpacks it into `directory`.
pub(super) fn unpack_source(release: &str, package: &str, directory: &Path) -> Result<()> {
    let apt = Apt::new(directory.join("apt"), &format!("deb-src {}", source(release)?))?;
    let archives = apt.state.join("archives");
    fetch_with(
        apt.get()
            .args(["source", "--download-only", "--tar-only", "--only-source", package])
            .current_dir(&archives),
    )?;
    for archive in files(&archives, "xz")?.into_iter().chain(files(&archives, "gz")?) {
        fetch_with(
            Command::new("tar")
                .args(["--extract", "--strip-components=1", "--file"])
                .arg(archive)
                .arg("--directory")
                .arg(directory),
        )?;
    }
    apt.remove()
}

/// What a line of sources says after its kind: the mirror that this machine uses for its own packages.
fn source(release: &str) -> Result<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])
        .output()
        .doing("run apt-get")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mirror = text.lines().find(|line| line.trim_end_matches('/').ends_with("/debian"));
    let mirror = mirror.ok_or_else(|| Failure::new("apt on this machine knows no mirror of Debian"))?;
    Ok(format!("[signed-by={KEYRING}] {mirror} {release} main\n"))
}

fn files(directory: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).doing(format_args!("list {}", directory.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension().is_some_and(|extension| extension == end)).collect())
}

/// An apt with a state of its own.
struct Apt {
    state: PathBuf,
}

impl Apt {
    /// Makes its state and learns what `sources` have.
    fn new(state: PathBuf, sources: &str) -> Result<Self> {
        for directory in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(state.join(directory)).doing("make a state for apt")?;
        }
        let path = state.display();
        let configuration = format!(
            "Dir::State \"{path}\";\nDir::State::lists \"{path}/lists\";\nDir::State::status \"{path}/status\";\n\
             Dir::Cache \"{path}\";\nDir::Cache::archives \"{path}/archives\";\n\
             Dir::Etc::sourcelist \"{path}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             APT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n\
             Debug::NoLocking \"true\";\n"
        );
        for (name, content) in
            [("status", ""), ("sources.list", sources), ("apt.conf", configuration.as_str())]
        {
            fs::write(state.join(name), content).doing("write apt's state")?;
        }
        let apt = Self { state };
        // Without this a list that cannot be fetched is only warned of.
        fetch_with(apt.get().args(["update", "--error-on=any"]))?;
        Ok(apt)
    }

    fn get(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", self.state.join("apt.conf")).env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.state).doing("remove apt's state")
    }
}

/// Packages that were unpacked into a directory.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// The directory, which stands for `/`.
    pub root: PathBuf,
}

impl Unpacked {
    /// Where its libraries lie.
    pub fn libraries(&self) -> PathBuf {
        self.root.join(LIBRARIES)
    }

    /// A command that runs one of its programs, with its own libraries.
    pub fn command(&self, program: &str) -> Command {
        let path = self.root.join(program);
        let name = path.file_name().unwrap_or(OsStr::new(program));
        self.command_as(&path, name, self.libraries().into_os_string())
    }

    /// The same for a program that looks for itself by its whole path, and that has more libraries in `more`.
    pub fn command_by_path(&self, program: &str, more: &str) -> Command {
        let path = self.root.join(program);
        let mut libraries = self.libraries().into_os_string();
        libraries.push(":");
        libraries.push(self.root.join(more));
        self.command_as(&path, path.as_os_str(), libraries)
    }

    fn command_as(&self, path: &Path, name: &OsStr, libraries: OsString) -> Command {
        let mut command = Command::new(self.root.join(LINKER));
        command.arg("--library-path").arg(libraries).arg("--argv0").arg(name).arg(path);
        command
    }
}

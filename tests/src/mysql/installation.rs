//! The programs of one version of MySQL or MariaDB, where an unprivileged server can reach them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Doing, Failure, Result};
use crate::obtain::{self, Unpacked};
use crate::{places, process};

/// Which of the two servers it is: they have the same roots and no longer the same options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MariaDB.
    MariaDb,
    /// MySQL.
    MySql,
}

/// One version of a server.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Whose it is.
    pub kind: Kind,
    /// Its version: major and minor.
    pub version: (u32, u32),
    /// Where it was unpacked, unless the distribution installed it.
    unpacked: Option<Unpacked>,
    /// Its messages, character sets and the tables that a new data directory is filled from.
    share: PathBuf,
    /// Its plugins.
    plugins: PathBuf,
}

impl Installation {
    /// The distribution's MariaDB.
    pub fn of_distribution() -> Result<Self> {
        obtain::check_mariadb()?;
        Self::at(Kind::MariaDb, None, Path::new("/"))
    }

    /// The newer MariaDB.
    pub fn newer() -> Result<Self> {
        let copy = reachable(&obtain::newer_mariadb()?)?;
        Self::at(Kind::MariaDb, Some(copy.clone()), &copy.root)
    }

    /// MySQL, if it could be obtained.
    pub fn mysql() -> Result<Option<Self>> {
        let Some(unpacked) = obtain::mysql() else { return Ok(None) };
        let copy = reachable(&unpacked)?;
        Self::at(Kind::MySql, Some(copy.clone()), &copy.root).map(Some)
    }

    fn at(kind: Kind, unpacked: Option<Unpacked>, root: &Path) -> Result<Self> {
        // Newer packages of MariaDB have a directory of their own name.
        let shares = ["usr/share/mariadb", "usr/share/mysql"].map(|share| root.join(share));
        let share = shares.into_iter().find(|share| share.join("charsets").is_dir());
        let share =
            share.ok_or_else(|| Failure::new(format!("no server's files under {}", root.display())))?;
        let plugins = root.join("usr/lib/mysql/plugin");
        let mut installation = Self { kind, version: (0, 0), unpacked, share, plugins };
        installation.version = installation.ask_version()?;
        Ok(installation)
    }

    fn ask_version(&self) -> Result<(u32, u32)> {
        let words = process::run(self.program().args(["--no-defaults", "--version"]))?.succeeded()?;
        // "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu …"
        let version = words.split_whitespace().skip_while(|word| *word != "Ver").nth(1).unwrap_or_default();
        let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
            _ => Err(Failure::new(format!("cannot read the version in {words:?}"))),
        }
    }

    /// A command that runs the server.
    fn program(&self) -> Command {
        let name = match self.kind {
            Kind::MariaDb => "usr/sbin/mariadbd",
            Kind::MySql => "usr/sbin/mysqld",
        };
        let mut command = match &self.unpacked {
            Some(unpacked) => unpacked.command(name),
            None => Command::new(Path::new("/").join(name)),
        };
        command.current_dir("/").env("LC_ALL", "C");
        command
    }

    /// A command that runs the server on this data directory, reading no settings but ours.
    pub(super) fn server(&self, data: &Path) -> Command {
        let mut command = self.program();
        command
            .arg("--no-defaults")
            .arg(option("datadir", data))
            .arg(option("lc-messages-dir", &self.share))
            .arg(option("character-sets-dir", &self.share.join("charsets")))
            .arg(option("plugin-dir", &self.plugins));
        command
    }

    /// The statements that fill MariaDB's system tables. Its script for that knows only its own paths.
    pub(super) fn system_tables(&self) -> Result<String> {
        let mut text = String::from(
            "create database mysql;\nuse mysql;\nset @skip_auth_anonymous=1;\nset @auth_root_socket=NULL;\n",
        );
        for part in ["system_tables", "performance_tables", "system_tables_data"] {
            // The files, too, were renamed.
            let files = ["mariadb", "mysql"].map(|name| self.share.join(format!("{name}_{part}.sql")));
            let file = files.into_iter().find(|file| file.exists());
            let file = file.ok_or_else(|| Failure::new(format!("MariaDB has no {part}.sql")))?;
            text += &fs::read_to_string(&file).doing(format_args!("read {}", file.display()))?;
        }
        Ok(text)
    }
}

/// An option of the server's command line.
pub(super) fn option(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// Puts what a server needs where an unprivileged user may read it: as links, or as a copy on another disk.
fn reachable(unpacked: &Unpacked) -> Result<Unpacked> {
    let copy = places::fresh("unpacked")?;
    let parts = ["usr/sbin", "usr/lib", "usr/share/mysql", "usr/share/mariadb"];
    for part in parts.into_iter().filter(|part| unpacked.root.join(part).exists()) {
        let (from, to) = (unpacked.root.join(part), copy.join(part));
        let parent = to.parent().unwrap_or(&copy);
        fs::create_dir_all(parent).doing(format_args!("create {}", parent.display()))?;
        if !process::run(Command::new("cp").arg("-al").arg(&from).arg(parent))?.status.success() {
            process::run(Command::new("cp").arg("-a").arg(&from).arg(parent))?.succeeded()?;
        }
    }
    Ok(Unpacked { root: copy })
}

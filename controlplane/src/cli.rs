//! The command line: what the program is asked to do.
//!
//! Owns every flag but those of `secret`. Those of the Go broker are accepted as Go's `flag` package accepts them: one dash or two,
//! `-x=value`, `-flag=false`. Does nothing but read the words, and a plugin folder's list of files.

mod secret;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use dataplane::IoChoice;

pub use self::secret::{Deed, SecretOptions};
use crate::config::{IO_WORDS, LoadRequest};

/// What the program is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The deed.
    pub action: Action,
    /// How the program logs meanwhile.
    pub log: LogOptions,
    /// What whoever started it should know about the flags.
    pub warnings: Vec<String>,
}

/// A deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Serve, until told to stop.
    Run(RunOptions),
    /// Say what is wrong with the configuration.
    Check(CheckOptions),
    /// Say what the configuration means.
    Explain(LoadRequest),
    /// Look after the secrets of the embedded vault.
    Secret(SecretOptions),
    /// Print [`version`].
    Version,
}

/// How to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOptions {
    /// Which configuration.
    pub load: LoadRequest,
    /// Whether stores are asked for every value, too.
    pub online: bool,
}

/// How to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// Which configuration.
    pub load: LoadRequest,
    /// Reload it when the file changes.
    pub watch: bool,
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Log sessions too.
    pub debug: bool,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// The command line asks for nothing that can be done: print this and exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// What to print, with its newline.
    pub text: String,
    /// The exit code; with 0 the text was asked for and belongs on stdout, else on stderr.
    pub code: u8,
}

/// Reads the command line. `args` begins with the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, Exit> {
    let args = go_to_gnu(args);
    let is_secret = args.iter().any(|arg| arg == "secret");
    let exit_of = |error: &clap::Error| if is_secret { secret::exit_of(error) } else { exit_of(error) };
    let matches = Line::command().try_get_matches_from(args).map_err(|error| exit_of(&error))?;
    let line = Line::from_arg_matches(&matches).map_err(|error| exit_of(&error))?;
    line.options.into_invocation(line.command)
}

/// The program's name and version, as the Go broker prints them.
pub fn version() -> String {
    let tag = option_env!("SECRETLESS_TAG").unwrap_or("dev");
    format!("secretless-broker v{}-{tag}\n", env!("CARGO_PKG_VERSION"))
}

/// Connects applications to databases with credentials that they never see.
#[derive(Parser)]
#[command(
    name = "secretless-broker",
    disable_version_flag = true,
    disable_help_subcommand = true,
    args_override_self = true
)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default)
    Run,
    /// Say what is wrong with the configuration, and exit 1 if it cannot be used
    Check {
        /// Ask the stores for every value, too, and show none
        #[arg(long)]
        online: bool,
    },
    /// Say what each service listens on, reaches, and takes from where
    Explain,
    /// Keep secrets in the embedded vault
    Secret(secret::Line),
    /// Print the version
    Version,
}

#[derive(Args)]
struct Options {
    /// The configuration file [default: the first of ./secretless.yml, ~/.secretless.yml, /etc/secretless.yml]
    #[arg(short = 'f', long = "file", value_name = "FILE", global = true)]
    file: Option<OsString>,

    /// Reload the configuration when the file changes
    #[arg(long, value_name = "BOOL", global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    watch: Option<bool>,

    /// Log every session
    #[arg(long, value_name = "BOOL", global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    debug: Option<bool>,

    /// The form of log lines
    #[arg(long, value_name = "FORMAT", global = true, value_enum, default_value_t)]
    log_format: LogFormat,

    /// Let services listen beyond this machine, except those that say `allowRemote: false`
    #[arg(long, value_name = "BOOL", global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    allow_remote: Option<bool>,

    /// What bytes are moved with, whatever the file says: auto, uring or epoll
    #[arg(long, value_name = "DRIVER", global = true, value_parser = io_word)]
    io: Option<IoChoice>,

    /// Print the version
    #[arg(long, value_name = "BOOL", global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    version: Option<bool>,

    /// Where the configuration comes from: configfile[#FILE]
    #[arg(long, value_name = "MANAGER", global = true)]
    config_mgr: Option<OsString>,

    /// Not supported: a folder of Go plugins
    #[arg(short = 'p', value_name = "DIR", global = true)]
    plugins: Option<PathBuf>,

    /// Not supported: checksums of Go plugins
    #[arg(short = 's', value_name = "FILE", global = true)]
    plugin_checksums: Option<PathBuf>,

    /// Not supported: a profile of the Go runtime
    #[arg(long, value_name = "KIND", global = true)]
    profile: Option<String>,

    /// Accepted and ignored: a stop is always graceful
    #[arg(long, value_name = "BOOL", global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    graceful_exit: Option<bool>,
}

impl Options {
    fn into_invocation(self, command: Option<Command>) -> Result<Invocation, Exit> {
        let log = LogOptions { debug: self.debug.unwrap_or(false), format: self.log_format };
        if self.version.unwrap_or(false) || matches!(command, Some(Command::Version)) {
            return Ok(Invocation { action: Action::Version, log, warnings: Vec::new() });
        }
        let mut warnings = Vec::new();
        if let Some(kind) = &self.profile {
            return Err(Exit::refusal(&format!(
                "-profile {kind} is not supported: it writes profiles of the Go runtime; use `perf record -p PID`"
            )));
        }
        if let Some(folder) = &self.plugins {
            check_plugins(folder, &mut warnings)?;
        }
        if self.plugin_checksums.is_some() {
            warnings.push(
                "-s is ignored: Go plugins are not supported, so there is nothing to verify".to_owned(),
            );
        }
        let file = match &self.config_mgr {
            Some(manager) => file_of_manager(manager)?.or(self.file),
            None => self.file,
        };
        let load = LoadRequest {
            // Go's default for -f is no text at all.
            file: file.filter(|file| !file.is_empty()).map(PathBuf::from),
            allow_remote: self.allow_remote.unwrap_or(false),
            io: self.io,
        };
        let action = match command {
            Some(Command::Secret(line)) => {
                if load.file.is_some() || self.watch.is_some() {
                    return Err(Exit::refusal("`secret` reads no configuration: leave out -f and --watch"));
                }
                Action::Secret(line.into_options()?)
            }
            Some(Command::Check { online }) => Action::Check(CheckOptions { load, online }),
            Some(Command::Explain) => Action::Explain(load),
            _ => Action::Run(RunOptions { load, watch: self.watch.unwrap_or(false) }),
        };
        Ok(Invocation { action, log, warnings })
    }
}

impl Exit {
    /// The Go broker's exit code for whatever it cannot do.
    fn refusal(message: &str) -> Self {
        Self { text: format!("error: {message}\n"), code: 1 }
    }
}

/// `configfile[#FILE]`: the file, if one is named.
fn file_of_manager(manager: &OsStr) -> Result<Option<OsString>, Exit> {
    let bytes = manager.as_bytes();
    let split = bytes.iter().position(|byte| *byte == b'#');
    let (name, file) = match split {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &bytes[bytes.len()..]),
    };
    match name {
        b"configfile" => Ok(Some(OsStr::from_bytes(file).to_owned()).filter(|file| !file.is_empty())),
        b"k8s/crd" => Err(Exit::refusal(
            "the k8s/crd configuration manager is not supported: mount the configuration as a file and name it with -f",
        )),
        _ => Err(Exit::refusal(&format!(
            "'{}' configuration manager not supported: the only one is configfile[#FILE]",
            manager.to_string_lossy().escape_debug()
        ))),
    }
}

/// A folder without plugins is what most Go installations have; one with plugins cannot be obeyed.
fn check_plugins(folder: &Path, warnings: &mut Vec<String>) -> Result<(), Exit> {
    let Ok(entries) = folder.read_dir() else {
        warnings
            .push(format!("Plugin directory '{}' not found. Ignoring external plugins...", folder.display()));
        return Ok(());
    };
    let is_plugin = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "so");
    let mut plugins: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_plugin).collect();
    plugins.sort();
    match plugins.first() {
        Some(plugin) => Err(Exit::refusal(&format!(
            "Go plugins are not supported, and {} is one: services that need it must stay with the Go broker; remove -p",
            plugin.display()
        ))),
        None => {
            warnings.push(format!("-p is ignored: there is no plugin in {}", folder.display()));
            Ok(())
        }
    }
}

fn exit_of(error: &clap::Error) -> Exit {
    let mut text = error.render().to_string();
    if error.kind() == ErrorKind::InvalidSubcommand || error.kind() == ErrorKind::UnknownArgument {
        text.push_str(
            "\nActions: run (default), check, explain, secret, version. Every flag may have one dash or two.\n",
        );
    }
    let code = if error.use_stderr() { 2 } else { 0 };
    Exit { text, code }
}

fn io_word(text: &str) -> Result<IoChoice, String> {
    let known = IO_WORDS.iter().find(|(word, _)| *word == text);
    known.map(|(_, choice)| *choice).ok_or_else(|| "expected auto, uring or epoll".to_owned())
}

/// What Go's `strconv.ParseBool` takes.
fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// Brings Go's spelling of flags into the one that clap knows: two dashes before a long name, and the value of a
/// flag, which may begin with a dash, behind an equals sign.
fn go_to_gnu(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args = args.into_iter();
    let mut gnu: Vec<OsString> = args.next().into_iter().collect();
    while let Some(arg) = args.next() {
        let bytes = arg.as_bytes();
        if bytes == b"--" {
            gnu.push(arg);
            gnu.extend(args);
            break;
        }
        let Some(flag) =
            bytes.strip_prefix(b"--").or(bytes.strip_prefix(b"-")).filter(|flag| !flag.is_empty())
        else {
            gnu.push(arg);
            continue;
        };
        let (name, value) = match flag.iter().position(|byte| *byte == b'=') {
            Some(at) => (&flag[..at], Some(flag[at + 1..].to_vec())),
            None => (flag, None),
        };
        let (is_long, takes_value) = match name {
            b"f" | b"p" | b"s" => (false, true),
            b"file" | b"log-format" | b"io" | b"config-mgr" | b"profile" | b"vault" | b"key" => (true, true),
            b"h" => (false, false),
            b"help" | b"watch" | b"debug" | b"allow-remote" | b"version" | b"graceful-exit" => (true, false),
            // A lone letter aside, one dash is two to Go: clap would name the first letter as what is wrong.
            _ => (name.len() > 1, false),
        };
        let value = value.or_else(|| if takes_value { args.next().map(OsString::into_vec) } else { None });
        let mut spelled = if is_long { b"--".to_vec() } else { b"-".to_vec() };
        spelled.extend_from_slice(name);
        if let Some(value) = value {
            spelled.push(b'=');
            spelled.extend(value);
        }
        gnu.push(OsString::from_vec(spelled));
    }
    gnu
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Invocation, Exit> {
        let words = line.split('|').filter(|word| !word.is_empty());
        parse(std::iter::once("secretless-broker").chain(words).map(OsString::from))
    }

    fn load_of(line: &str) -> LoadRequest {
        match parse_line(line).unwrap_or_else(|exit| panic!("{line}: {}", exit.text)).action {
            Action::Run(run) => run.load,
            Action::Check(CheckOptions { load, .. }) | Action::Explain(load) => load,
            Action::Version | Action::Secret(_) => panic!("{line}: no configuration"),
        }
    }

    #[test]
    fn serves_by_default() {
        for line in ["", "run"] {
            let invocation = parse_line(line).expect("nothing is wrong");
            assert_eq!(
                invocation.action,
                Action::Run(RunOptions { load: LoadRequest::default(), watch: false })
            );
            assert_eq!(invocation.log, LogOptions { debug: false, format: LogFormat::Human });
            assert!(invocation.warnings.is_empty());
        }
    }

    #[test]
    fn finds_the_file_in_every_spelling() {
        for line in [
            "-f|x.yml",
            "--f|x.yml",
            "-f=x.yml",
            "--f=x.yml",
            "--file|x.yml",
            "-file=x.yml",
            "-config-mgr|configfile#x.yml",
            "--config-mgr=configfile#x.yml",
            "-f|y.yml|-config-mgr|configfile#x.yml",
            "-f|x.yml|-config-mgr|configfile",
            "-f|x.yml|check",
            "-f|y.yml|-f|x.yml",
            "check|-f|x.yml",
            "run|-f|x.yml|-debug",
        ] {
            assert_eq!(load_of(line).file, Some(PathBuf::from("x.yml")), "{line}");
        }
        assert_eq!(
            load_of("-f|-debug").file,
            Some(PathBuf::from("-debug")),
            "Go takes the next word, whatever it is"
        );
        assert_eq!(load_of("-f=").file, None, "Go's default is no text at all");
        assert_eq!(load_of("-f|a?b#c%d.yml").file, Some(PathBuf::from("a?b#c%d.yml")));
    }

    #[test]
    fn switches_are_booleans_as_in_go() {
        for (line, debug) in [
            ("-debug", true),
            ("--debug", true),
            ("-debug=true", true),
            ("-debug=1", true),
            ("-debug=false", false),
            ("--debug=F", false),
            ("-debug|-debug=false", false),
        ] {
            assert_eq!(parse_line(line).expect("a switch").log.debug, debug, "{line}");
        }
        assert_eq!(parse_line("-debug=maybe").expect_err("no boolean").code, 2);
        assert!(matches!(
            parse_line("-watch"),
            Ok(Invocation { action: Action::Run(RunOptions { watch: true, .. }), .. })
        ));
        assert!(load_of("--allow-remote").allow_remote);
        assert!(load_of("-allow-remote|check").allow_remote);
        for (line, io) in [
            ("--io|uring", Some(IoChoice::Uring)),
            ("-io=epoll|check", Some(IoChoice::Epoll)),
            ("--io=epoll|-io|auto", Some(IoChoice::Auto)),
            ("", None),
        ] {
            assert_eq!(load_of(line).io, io, "{line}");
        }
        assert!(parse_line("--io|kqueue").expect_err("no driver").text.contains("auto, uring or epoll"));
        assert!(parse_line("-graceful-exit").is_ok_and(|invocation| invocation.warnings.is_empty()));
        assert_eq!(parse_line("--log-format|json").expect("a format").log.format, LogFormat::Json);
        assert_eq!(parse_line("-log-format=xml").expect_err("no format").code, 2);
    }

    #[test]
    fn prints_its_version() {
        for line in
            ["version", "-version", "--version", "-version=true", "-version|-f|x.yml", "version|-debug"]
        {
            assert_eq!(parse_line(line).expect("a version").action, Action::Version, "{line}");
        }
        assert!(matches!(parse_line("-version=false").expect("no version").action, Action::Run(_)));
        let version = version();
        assert!(version.starts_with("secretless-broker v0.") && version.ends_with("-dev\n"), "{version}");
    }

    #[test]
    fn what_cannot_be_done_is_refused_in_one_word() {
        for (line, code, words) in [
            ("-config-mgr|k8s/crd#x", 1, "k8s/crd configuration manager is not supported"),
            ("-config-mgr|etcd#x", 1, "'etcd#x' configuration manager not supported"),
            ("-profile|cpu", 1, "-profile cpu is not supported"),
            ("-unknown", 2, "unexpected argument '--unknown' found"),
            ("-u", 2, "unexpected argument '-u' found"),
            ("--unknown=3", 2, "unexpected argument '--unknown' found"),
            ("extra", 2, "unrecognized subcommand 'extra'"),
            ("run|extra", 2, "unexpected argument 'extra' found"),
            ("check|version", 2, "unexpected argument 'version' found"),
            ("-f", 2, "a value is required for '--file <FILE>'"),
        ] {
            let exit = parse_line(line).expect_err(line);
            assert_eq!(exit.code, code, "{line}: {}", exit.text);
            assert!(exit.text.contains(words), "{line}: {}", exit.text);
            assert!(exit.text.starts_with("error: ") && exit.text.ends_with('\n'), "{line}: {}", exit.text);
        }
    }

    #[test]
    fn help_is_no_error() {
        for line in ["-h", "-help", "--help", "check|-h"] {
            let exit = parse_line(line).expect_err("help");
            assert_eq!(exit.code, 0, "{line}");
            assert!(exit.text.contains("Usage: secretless-broker"), "{}", exit.text);
        }
        let help = parse_line("-h").expect_err("help").text;
        for word in [
            "run",
            "check",
            "version",
            "-f, --file <FILE>",
            "--log-format",
            "--allow-remote",
            "--io <DRIVER>",
            "-p <DIR>",
        ] {
            assert!(help.contains(word), "{word} is not in {help}");
        }
    }

    #[test]
    fn plugin_folders_are_refused_only_if_they_hold_plugins() {
        let folder = std::env::temp_dir().join(format!("secretless-cli-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let line = format!("-p|{}|-s|sums", folder.display());

        let invocation = parse_line(&line).expect("an empty folder is fine");
        assert_eq!(invocation.warnings.len(), 2);
        assert!(invocation.warnings[0].starts_with("-p is ignored: there is no plugin in "));

        std::fs::write(folder.join("echo.so"), b"").expect("a file");
        let exit = parse_line(&line).expect_err("a plugin");
        assert!(
            exit.text.contains("Go plugins are not supported") && exit.text.contains("echo.so"),
            "{}",
            exit.text
        );

        std::fs::remove_dir_all(&folder).expect("the folder is ours");
        let invocation = parse_line(&line).expect("a missing folder is fine");
        assert!(invocation.warnings[0].ends_with("not found. Ignoring external plugins..."));
    }
}

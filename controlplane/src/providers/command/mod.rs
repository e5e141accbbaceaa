//! `command`: values that a program prints.
//!
//! Owns what the program is given, and what its end means. No shell is asked. What it says on stderr is thrown away: nobody knows
//! whether a secret is in there.

mod running;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::SecretArena;
use protocol::{Secret, SecretMemory};
use tokio::process::Command as Program;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use running::{OUTPUT_MAX, Running};

use super::file::trim_newline;
use super::{FetchError, Fetched, Fetching, Item, Kind, KnownSetting, Provider, Request, Settings, Written};
use crate::clock;
use crate::os_words::words;
use crate::web::line::duration;

/// The kind `command`.
pub(super) struct Command;

/// One program.
struct Asked {
    settings: Settings,
    parameters: Vec<&'static str>,
}

const SETTINGS: [KnownSetting; 3] = [
    KnownSetting { is_required: true, is_list: true, check: check_word, ..KnownSetting::new(RUN) },
    KnownSetting { check: check_timeout, ..KnownSetting::new(TIMEOUT) },
    KnownSetting { check: check_lifetime, ..KnownSetting::new(LIFETIME) },
];

const RUN: &str = "run";
const TIMEOUT: &str = "timeout";
const LIFETIME: &str = "lifetime";

/// What may stand in a command line as `{host}`, and is no secret there.
const PARAMETERS: [&str; 3] = ["host", "port", "username"];

impl Kind for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn trims(&self) -> bool {
        true
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        match id {
            "" => Err("what the program is asked for is empty".into()),
            _ if id.contains('\0') => Err(format!("'{}' cannot be given to a program", id.escape_debug())),
            // An id that comes from elsewhere must not become an option.
            _ if id.starts_with('-') => Err(format!("'{id}' would be an option of the program")),
            _ => Ok(()),
        }
    }

    fn settings(&self) -> &'static [KnownSetting] {
        &SETTINGS
    }

    fn parameters(&self, written: &Written<'_>) -> Vec<&'static str> {
        let words: Vec<Vec<u8>> = written.values(RUN).map(|word| word.expose(<[u8]>::to_vec)).collect();
        parameters(&words)
    }

    fn open(&self, settings: Settings) -> Arc<dyn Provider> {
        let words: Vec<&[u8]> = settings.all_fixed(RUN).map(SecretMemory::bytes).collect();
        let parameters = parameters(&words);
        Arc::new(Asked { settings, parameters })
    }
}

/// Those that one of these words has in it.
fn parameters(words: &[impl AsRef<[u8]>]) -> Vec<&'static str> {
    let has = |word: &[u8], name: &str| word.windows(name.len()).any(|part| part == name.as_bytes());
    let is_named = |name: &&str| words.iter().any(|word| has(word.as_ref(), &placeholder(name)));
    PARAMETERS.into_iter().filter(is_named).collect()
}

fn placeholder(name: &str) -> String {
    format!("{{{name}}}")
}

fn check_word(word: &[u8]) -> Result<(), &'static str> {
    if word.contains(&0) { Err("a word of a command line cannot hold a NUL byte") } else { Ok(()) }
}

fn check_timeout(text: &[u8]) -> Result<(), &'static str> {
    let seconds = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    match seconds {
        Some(1..=TIMEOUT_MAX) => Ok(()),
        _ => Err("expected whole seconds from 1 to 300"),
    }
}

fn check_lifetime(text: &[u8]) -> Result<(), &'static str> {
    lifetime(text).map(drop).ok_or("expected a time like `15m`")
}

fn lifetime(text: &[u8]) -> Option<Duration> {
    duration(std::str::from_utf8(text).ok()?)
}

impl Provider for Asked {
    fn must_be_asked(&self) -> bool {
        true
    }

    fn parameters(&self) -> &[&'static str] {
        &self.parameters
    }

    fn fetch(&self, request: Request) -> Fetching {
        let settings = self.settings.clone();
        Box::pin(async move {
            let command = CommandLine::of(&settings, &request.parameters).await?;
            let lifetime = settings.value(LIFETIME).await?.and_then(|text| text.expose(lifetime));
            let asked = clock::now();
            let mut values = Vec::with_capacity(request.items.len());
            for item in &request.items {
                values.push(command.ask(item).await?);
            }
            let refetch_at = lifetime.map(|lifetime| asked + lifetime * 2 / 3);
            let usable_until = lifetime.map(|lifetime| asked + lifetime);
            Ok(Fetched { refetch_at, usable_until, ..Fetched::new(values) })
        })
    }
}

/// A program and the arguments that come before what it is asked for.
struct CommandLine {
    words: Vec<OsString>,
    timeout: Duration,
}

impl CommandLine {
    async fn of(
        settings: &Settings,
        parameters: &BTreeMap<&'static str, String>,
    ) -> Result<Self, FetchError> {
        let word = |secret: Secret| with_parameters(secret.expose(<[u8]>::to_vec), parameters);
        let words: Vec<OsString> =
            settings.values(RUN).await?.into_iter().map(word).collect::<Result<_, _>>()?;
        if words.is_empty() {
            return Err(FetchError::Unusable(
                "there is no program to run: give the provider a name and `run:` in the section `providers`"
                    .into(),
            ));
        }
        let seconds = settings
            .value(TIMEOUT)
            .await?
            .and_then(|seconds| seconds.expose(|seconds| std::str::from_utf8(seconds).ok()?.parse().ok()));
        Ok(Self { words, timeout: Duration::from_secs(seconds.unwrap_or(TIMEOUT_DEFAULT)) })
    }

    /// How errors call it.
    fn name(&self) -> String {
        self.words.first().map_or_else(String::new, |word| word.to_string_lossy().into_owned())
    }

    async fn ask(&self, item: &Item) -> Result<Secret, FetchError> {
        let name = self.name();
        let unavailable = |reason: String| FetchError::Failing(format!("{name} {}: {reason}", item.id));
        let Some((program, arguments)) = self.words.split_first() else {
            return Err(FetchError::Unusable("there is no program to run".into()));
        };
        let mut command = std::process::Command::new(program);
        command.args(arguments).arg(&item.id).env_clear();
        for variable in KEPT {
            command.envs(std::env::var_os(variable).map(|value| (variable, value)));
        }
        // A group of its own, so that what it has started ends with it.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let seconds = self.timeout.as_secs();
        let late = |_| unavailable(format!("it did not end within {seconds} s"));
        let broken = |error: std::io::Error| unavailable(words(&error));
        let Ok(turn) = TURNS.acquire().await else { return Err(unavailable("the broker stops".into())) };
        let end = Instant::now() + self.timeout;
        // The kernel says only when it has found the program whether it could: a file system may be dead.
        let starting = tokio::task::spawn_blocking(move || {
            Program::from(command).spawn().map(|child| Running::new(child, turn))
        });
        let started = timeout_at(end.into(), starting).await.map_err(late)?;
        let started = started.map_err(|_| unavailable("starting it broke down: this is a bug".into()))?;
        let mut running = started.map_err(broken)?;
        let output = timeout_at(end.into(), running.output()).await.map_err(late)?;
        let (mut output, status) = output.map_err(broken)?;
        let Some(output) = &mut output else {
            let words = format!("{name} {}: it printed more than {} KiB", item.id, OUTPUT_MAX >> 10);
            return Err(FetchError::Unusable(words));
        };
        if !status.success() {
            return Err(unavailable(format!("{status}; run it by hand to see what it says")));
        }
        if !item.raw {
            // The newline is the program's, not the value's.
            trim_newline(output);
        }
        if output.bytes().is_empty() {
            return Err(FetchError::Empty(format!("{name} {}: it printed nothing", item.id)));
        }
        Ok(SecretArena::of_process().secret(output.bytes()))
    }
}

/// `word` with the values in place of their names.
fn with_parameters(
    word: Vec<u8>,
    parameters: &BTreeMap<&'static str, String>,
) -> Result<OsString, FetchError> {
    let Ok(text) = std::str::from_utf8(&word) else { return Ok(OsString::from_vec(word)) };
    let (mut whole, mut rest) = (String::new(), text);
    loop {
        let next =
            parameters.iter().filter_map(|(name, value)| Some((rest.find(&placeholder(name))?, name, value)));
        let Some((at, name, value)) = next.min() else { break };
        whole.push_str(&rest[..at]);
        // What comes from elsewhere must not become an option.
        if whole.is_empty() && value.starts_with('-') {
            return Err(FetchError::Unusable(format!(
                "the service's `{name}` would be an option of the program"
            )));
        }
        whole.push_str(value);
        rest = &rest[at + placeholder(name).len()..];
    }
    whole.push_str(rest);
    Ok(whole.into())
}

/// Programs take what others need, too: some at a time.
static TURNS: Semaphore = Semaphore::const_new(8);

/// Variables that a program is given: where programs are, whose home it is, and the words it speaks. None that may hold a
/// secret.
const KEPT: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "XDG_RUNTIME_DIR"];

/// In seconds.
const TIMEOUT_DEFAULT: u64 = 10;
const TIMEOUT_MAX: u64 = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Setting;
    use crate::testing::block_on;
    use crate::values::Value;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let literal = |text: &str| Setting::Literal(Value::new(Secret::from_heap(text.as_bytes().to_vec())));
        Settings::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), literal(value))))
    }

    fn ask(pairs: &[(&str, &str)], ids: &[&str]) -> Result<Vec<Vec<u8>>, FetchError> {
        let items = ids.iter().map(|id| Item { id: (*id).into(), raw: false, is_public: false }).collect();
        let fetched = block_on(Command.open(settings(pairs)).fetch(Request::of(items)))?;
        Ok(fetched.values.iter().map(|value| value.expose(<[u8]>::to_vec)).collect())
    }

    /// A script, run without being asked for by a shell of ours.
    fn script(text: &str, id: &str) -> Result<Vec<u8>, FetchError> {
        let mut values = ask(&[(RUN, "/bin/sh"), (RUN, "-c"), (RUN, text), (RUN, "script")], &[id])?;
        Ok(values.remove(0))
    }

    #[test]
    fn a_value_is_what_the_program_prints_for_each_id() {
        let values = ask(&[(RUN, "printf"), (RUN, "%s!\n")], &["a b", "$(id); `id`"]);
        assert_eq!(values, Ok(vec![b"a b!".to_vec(), b"$(id); `id`!".to_vec()]));
        assert_eq!(script("printf 'x\\n\\n'", "y"), Ok(b"x\n".to_vec()), "one newline is the program's");
    }

    #[test]
    fn a_program_gets_no_variable_that_may_hold_a_secret_and_no_input() {
        let said = script("cat; env", "x").map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let said = said.unwrap_or_else(|error| panic!("{error}"));
        assert!(said.contains("PATH="), "{said}");
        // Cargo sets it for every test that it runs.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some() && !said.contains("CARGO_PKG_NAME"), "{said}");
    }

    #[test]
    fn a_program_that_fails_says_so_without_a_word_of_its_own() {
        let failed = script("echo hunter2 >&2; echo hunter2; exit 3", "x");
        let words = "/bin/sh x: exit status: 3; run it by hand to see what it says";
        assert_eq!(failed, Err(FetchError::Failing(words.into())));
        let missing = ask(&[(RUN, "/nonexistent/program")], &["x"]);
        let words = "/nonexistent/program x: no such file or directory";
        assert_eq!(missing, Err(FetchError::Failing(words.into())));
        assert_eq!(script("true", "x"), Err(FetchError::Empty("/bin/sh x: it printed nothing".into())));
        assert!(matches!(ask(&[], &["x"]), Err(FetchError::Unusable(_))));
    }

    #[test]
    fn a_program_that_does_not_end_is_ended_with_all_that_it_has_started() {
        let dir = crate::testing::TempDir::new();
        let pids = dir.file("pids", "");
        let text = format!("sleep 1000 & echo $$ $! > {}; wait", pids.display());
        let run = [(RUN, "/bin/sh"), (RUN, "-c"), (RUN, text.as_str()), (RUN, "script"), (TIMEOUT, "1")];
        let failed = ask(&run, &["x"]);
        assert_eq!(failed, Err(FetchError::Failing("/bin/sh x: it did not end within 1 s".into())));
        let pids = std::fs::read_to_string(pids).expect("the script wrote it");
        for pid in pids.split_whitespace() {
            let is_gone = || {
                let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
                status.map_or(true, |status| status.contains(") Z "))
            };
            while !is_gone() {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_program_that_prints_without_end_is_ended() {
        let failed = script("yes", "x");
        assert_eq!(failed, Err(FetchError::Unusable("/bin/sh x: it printed more than 64 KiB".into())));
    }

    #[test]
    fn a_program_is_told_what_its_command_line_names() {
        let run = ["printf", "{port}{host}:%s {username}\\n", "{database}"];
        let settings = settings(&run.map(|word| (RUN, word)));
        let store = Command.open(settings.clone());
        assert_eq!(store.parameters(), ["host", "port", "username"]);
        let line = |host: &str| {
            let parameters = [("host", host), ("port", "5432"), ("username", "me")]
                .map(|(name, value)| (name, value.to_owned()));
            block_on(CommandLine::of(&settings, &parameters.into())).map(|line| line.words)
        };
        // A value is no command line itself.
        assert_eq!(
            line("{username}"),
            Ok(["printf", "5432{username}:%s me\\n", "{database}"].map(Into::into).into())
        );
        let item = Item { id: "x".into(), raw: false, is_public: false };
        let parameters = [("host", "db"), ("port", "-5"), ("username", "me")]
            .map(|(name, value)| (name, value.to_owned()));
        let refused = block_on(store.fetch(Request { items: vec![item], parameters: parameters.into() }));
        let words = "the service's `port` would be an option of the program";
        assert_eq!(refused.err(), Some(FetchError::Unusable(words.into())));
        assert!(Command.open(Settings::default()).parameters().is_empty());
    }

    #[test]
    fn what_a_program_prints_may_have_a_lifetime() {
        let settings = settings(&[(RUN, "echo"), (LIFETIME, "15m")]);
        let item = Item { id: "x".into(), raw: false, is_public: false };
        let before = clock::now();
        let fetched = block_on(Command.open(settings).fetch(Request::of(vec![item])));
        let fetched = fetched.unwrap_or_else(|error| panic!("{error}"));
        let asked = fetched.usable_until.map(|at| at - Duration::from_secs(900));
        assert!(asked.is_some_and(|asked| before <= asked && asked <= clock::now()));
        assert_eq!(fetched.refetch_at, asked.map(|asked| asked + Duration::from_secs(600)));
        assert!(check_lifetime(b"soon").is_err());
    }

    #[test]
    fn ids_that_would_be_options_are_refused() {
        assert!(Command.check_id("--help").is_err());
        assert!(Command.check_id("").is_err());
        assert_eq!(Command.check_id("db/password"), Ok(()));
    }
}

//! `command`: values that a program prints.
//!
//! Owns what the program is given, and what its end means. No shell is asked. What it says on stderr is thrown away: nobody knows
//! whether a secret is in there.

mod program;
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
use super::{
    FetchError, Fetched, Fetching, Flaw, Item, Kind, KnownSetting, Provider, Request, Settings, Shown,
    Written,
};
use crate::clock;
use crate::config::nearest;
use crate::os_words::words;
use crate::web::line::duration;

/// The kind `command`.
pub(super) struct Command;

/// One program.
struct Asked {
    settings: Settings,
    parameters: Vec<&'static str>,
    turns: Arc<Semaphore>,
}

const SETTINGS: [KnownSetting; 3] = [
    KnownSetting {
        is_required: true,
        is_list: true,
        shown: Shown::First,
        check: check_word,
        ..KnownSetting::new(RUN)
    },
    KnownSetting { shown: Shown::Always, check: check_timeout, ..KnownSetting::new(TIMEOUT) },
    KnownSetting { shown: Shown::Always, check: check_lifetime, ..KnownSetting::new(LIFETIME) },
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
        Arc::new(Asked { settings, parameters, turns: Arc::new(Semaphore::new(AT_ONCE_EACH)) })
    }
}

/// Whether a first word of a command line can be a program, and not all of one, or a variable that a shell would set.
pub(crate) fn is_program(word: &[u8]) -> bool {
    let is_strange = |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || *byte == b'=';
    !word.iter().any(is_strange) && !word.windows(3).any(|part| part == b"://")
}

/// Those that one of these words has in it.
fn parameters(words: &[impl AsRef<[u8]>]) -> Vec<&'static str> {
    let has = |word: &[u8], name: &str| word.windows(name.len()).any(|part| part == name.as_bytes());
    let is_named = |name: &&str| words.iter().any(|word| has(word.as_ref(), &placeholder(name)));
    PARAMETERS.into_iter().filter(is_named).collect()
}

/// A name in braces that is nearly one of those, or that somebody may expect to be one. Other braces are the program's.
fn misspelt(word: &[u8]) -> Option<String> {
    const NAME_MAX: usize = 16;
    const EXPECTED: [&str; 6] = ["password", "user", "hostname", "database", "address", "service"];
    let text = std::str::from_utf8(word).ok()?;
    // `${NAME}` is a shell's, `{{NAME}}` a template's.
    let opened = text.match_indices('{').filter(|(at, _)| !text[..*at].ends_with(['$', '{']));
    let mut names = opened.filter_map(|(at, _)| {
        let rest = &text[at + 1..];
        let len = rest.bytes().take(NAME_MAX).take_while(u8::is_ascii_alphabetic).count();
        rest[len..].starts_with('}').then(|| &rest[..len])
    });
    let is_meant = |name: &&str| {
        !PARAMETERS.contains(name)
            && (EXPECTED.contains(&name.to_lowercase().as_str()) || nearest(name, &PARAMETERS).is_some())
    };
    names.find(is_meant).map(str::to_owned)
}

fn placeholder(name: &str) -> String {
    format!("{{{name}}}")
}

fn check_word(word: &[u8]) -> Result<(), &'static str> {
    if word.contains(&0) { Err("a word of a command line cannot hold a NUL byte") } else { Ok(()) }
}

fn check_timeout(text: &[u8]) -> Result<(), &'static str> {
    timeout(text).map(drop).ok_or("expected a time from `1s` to `5m`")
}

fn timeout(text: &[u8]) -> Option<Duration> {
    lifetime(text).filter(|time| (TIMEOUT_MIN..=TIMEOUT_MAX).contains(time))
}

fn check_lifetime(text: &[u8]) -> Result<(), &'static str> {
    let usable = lifetime(text).filter(|time| *time >= LIFETIME_MIN);
    usable.map(drop).ok_or("expected a time like `15m`, from `4s` to `24h`")
}

fn lifetime(text: &[u8]) -> Option<Duration> {
    duration(std::str::from_utf8(text).ok()?)
}

/// The time that a setting is worth, wherever it comes from.
async fn time(
    settings: &Settings,
    name: &str,
    parse: fn(&[u8]) -> Option<Duration>,
) -> Result<Option<Duration>, FetchError> {
    let Some(value) = settings.value(name).await? else { return Ok(None) };
    let time = value.expose(parse);
    time.map(Some).ok_or_else(|| FetchError::Unusable(format!("`{name}` is no such time as may stand there")))
}

impl Provider for Asked {
    fn must_be_asked(&self) -> bool {
        true
    }

    fn parameters(&self) -> &[&'static str] {
        &self.parameters
    }

    fn look(&self, _: &Item) -> Option<Flaw> {
        // Whether it is there when its name comes from elsewhere, nobody knows yet.
        let program = self.settings.all_fixed(RUN).next().filter(|_| self.settings.are_literal(&[RUN]));
        let program = program.and_then(|word| std::str::from_utf8(word.bytes()).ok());
        // What its name depends on is known when it runs.
        let program =
            program.filter(|program| PARAMETERS.iter().all(|name| !program.contains(&placeholder(name))));
        let misspelt = || {
            let name = self.settings.all_fixed(RUN).find_map(|word| misspelt(word.bytes()))?;
            Some(Flaw {
                words: format!("the program is given `{}` as it is written", placeholder(&name)),
                help: "what it can be told of its service is `{host}`, `{port}` and `{username}`".to_owned(),
                is_fatal: false,
            })
        };
        program.and_then(program::missing).or_else(misspelt)
    }

    fn fetch(&self, request: Request) -> Fetching {
        let (settings, turns) = (self.settings.clone(), Arc::clone(&self.turns));
        Box::pin(async move {
            let command = CommandLine::of(&settings, &request.parameters, turns).await?;
            let lifetime = time(&settings, LIFETIME, lifetime).await?;
            let mut values = Vec::with_capacity(request.items.len());
            let mut asked = None;
            for item in &request.items {
                let (value, began) = command.ask(item).await?;
                values.push(value);
                asked.get_or_insert(began);
            }
            let asked = asked.unwrap_or_else(clock::now);
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
    turns: Arc<Semaphore>,
}

impl CommandLine {
    async fn of(
        settings: &Settings,
        parameters: &BTreeMap<&'static str, String>,
        turns: Arc<Semaphore>,
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
        let timeout = time(settings, TIMEOUT, timeout).await?.unwrap_or(TIMEOUT_DEFAULT);
        Ok(Self { words, timeout, turns })
    }

    /// How errors call it.
    fn name(&self) -> String {
        self.words.first().map_or_else(String::new, |word| word.to_string_lossy().into_owned())
    }

    /// The value, and when the program was started.
    async fn ask(&self, item: &Item) -> Result<(Secret, Instant), FetchError> {
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
        let seconds = self.timeout.as_secs_f64();
        let late = |_| unavailable(format!("it did not end within {seconds} s"));
        let broken = |error: std::io::Error| unavailable(words(&error));
        let turns = async {
            // First its own: whoever waits for a program that hangs holds up nobody else.
            let turn = Arc::clone(&self.turns).acquire_owned().await?;
            TURNS.acquire().await.map(|all| (turn, all))
        };
        let Ok(Ok(turn)) = tokio::time::timeout(self.timeout, turns).await else {
            return Err(FetchError::Unasked(format!(
                "{name} {}: too many programs run: its turn has not come within {seconds} s",
                item.id
            )));
        };
        let began = clock::now();
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
            let words = "to see what it says, run by hand what `run` has and this behind it";
            return Err(unavailable(format!("{status}; {words}")));
        }
        if !item.raw {
            // The newline is the program's, not the value's.
            trim_newline(output);
        }
        if output.bytes().is_empty() {
            return Err(FetchError::Empty(format!("{name} {}: it printed nothing", item.id)));
        }
        Ok((SecretArena::of_process().secret(output.bytes()), began))
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

/// Programs take what others need, too: some at a time, and not all of them one store's.
static TURNS: Semaphore = Semaphore::const_new(32);
const AT_ONCE_EACH: usize = 4;

/// Variables that a program is given: where programs are, whose home it is, and the words it speaks. None that may hold a
/// secret.
const KEPT: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "XDG_RUNTIME_DIR"];

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// What is over 2 s after it came is no use, and a program may take as long.
const LIFETIME_MIN: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests;

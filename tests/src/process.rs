//! A child process that does not outlive us, with its output at hand.
//!
//! The kernel signals it when we die (`setpriv --pdeathsig`, of util-linux). That signal is tied to the thread
//! that started the child, so one thread that never ends starts them all.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::failure::{Doing, Failure, Result};
use crate::wait::GENEROUS;

/// A child process. Dropping it stops it and waits for its end.
pub struct Process {
    name: String,
    pid: Pid,
    child: Mutex<Child>,
    stop: Signal,
    output: Arc<Output>,
}

/// Who a child runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum User {
    /// As we do.
    #[default]
    Same,
    /// As this user of the system, with all its groups. Takes root.
    Named(String),
}

/// How a command ended, and what it said.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Process {
    /// Starts `command`; `stop` is how it is asked to end, by [`Process::stop`] or when we die.
    pub fn start(name: &str, command: &Command, user: &User, stop: Signal) -> Result<Self> {
        let mut command = bound_to_us(command, user, stop);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = start_from_lasting_thread(command).doing(format_args!("start {name}"))?;
        let output = Arc::new(Output::default());
        let stdout = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
        let stderr = child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
        for (stream, pipe) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
            if let Some(pipe) = pipe {
                let output = Arc::clone(&output);
                thread::spawn(move || output.take(stream, pipe));
            }
        }
        let pid = Pid::from_child(&child);
        Ok(Self { name: name.to_owned(), pid, child: Mutex::new(child), stop, output })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends it a signal. A process that has ended takes none, and that is no error.
    pub fn signal(&self, signal: Signal) {
        let mut child = lock(&self.child);
        // Once reaped, the number may belong to somebody else.
        if child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        lock(&self.child).try_wait().ok().flatten()
    }

    /// Waits for its end, and for its last words.
    pub fn wait(&self) -> Result<ExitStatus> {
        let status = self
            .wait_within(GENEROUS)
            .ok_or_else(|| Failure::new(format!("{} did not end:\n{}", self.name, self.said())))?;
        // They may still be on their way when it has ended. A child that it has left holds them back for ever.
        self.output.wait_until(LAST_WORDS, |_| false);
        Ok(status)
    }

    /// Waits for its end; `None` if it still runs after `deadline`.
    pub fn wait_within(&self, deadline: Duration) -> Option<ExitStatus> {
        if let Some(status) = self.ended() {
            return Some(status);
        }
        wait_for_end(self.pid, deadline);
        self.ended()
    }

    /// Asks it to end, and waits for that.
    pub fn stop(&self) -> Result<ExitStatus> {
        self.signal(self.stop);
        self.wait()
    }

    /// What it has written to standard output.
    pub fn stdout(&self) -> String {
        self.output.text(Stream::Stdout)
    }

    /// What it has written to standard error.
    pub fn stderr(&self) -> String {
        self.output.text(Stream::Stderr)
    }

    /// What it has written, both streams as they came.
    pub fn said(&self) -> String {
        self.output.text(Stream::Both)
    }

    /// Waits until it has said something that `wanted` accepts; fails if it ends or the deadline passes first.
    pub fn wait_for_words(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
        if self.output.wait_until(GENEROUS, &wanted) {
            return Ok(());
        }
        let state = self.ended().map_or_else(|| "still runs".to_owned(), |status| status.to_string());
        Err(Failure::new(format!("{} never said {what} ({state}):\n{}", self.name, self.said())))
    }
}

/// How long the output of a process that has ended is waited for.
const LAST_WORDS: Duration = Duration::from_secs(10);

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(self.stop);
        if self.wait_within(Duration::from_secs(20)).is_none() {
            self.signal(Signal::KILL);
            let _ = lock(&self.child).wait();
        }
    }
}

/// Runs `command` to its end, within [`GENEROUS`].
pub fn run(command: &mut Command) -> Result<Finished> {
    run_with_input(command, b"")
}

/// Runs `command` to its end, within [`GENEROUS`], with `input` on its standard input.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().doing(format_args!("start {name}"))?;
    let pid = Pid::from_child(&child);
    let stdin = child.stdin.take();
    thread::scope(|scope| {
        scope.spawn(move || {
            // A command that does not read its input closes it; what it says then is what counts.
            let _ = stdin.map(|mut pipe| io::Write::write_all(&mut pipe, input));
        });
        let watch = scope.spawn(move || {
            if !wait_for_end(pid, GENEROUS) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        let output = child.wait_with_output().doing(format_args!("run {name}"))?;
        let _ = watch.join();
        if output.status.signal() == Some(Signal::KILL.as_raw()) {
            return Err(Failure::new(format!("{name} did not end within {} s", GENEROUS.as_secs())));
        }
        Ok(Finished {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    })
}

impl Finished {
    /// Its standard output, if it succeeded.
    pub fn succeeded(self) -> Result<String> {
        if self.status.success() { Ok(self.stdout) } else { Err(Failure::new(self.to_string())) }
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}{}", self.status, self.stdout, self.stderr)
    }
}

/// `command`, run by a program that binds its life to ours.
fn bound_to_us(command: &Command, user: &User, stop: Signal) -> Command {
    let mut bound = Command::new("setpriv");
    bound.arg("--pdeathsig").arg(name_of(stop));
    if let User::Named(name) = user {
        bound.arg(format!("--reuid={name}")).arg(format!("--regid={}", group_of(name))).arg("--init-groups");
    }
    bound.arg("--").arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(key, value),
            None => bound.env_remove(key),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        bound.current_dir(directory);
    }
    bound
}

/// The word that setpriv has for a signal that ends a process.
fn name_of(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "INT",
        Signal::QUIT => "QUIT",
        Signal::TERM => "TERM",
        _ => "KILL",
    }
}

/// The id of the group that `user` belongs to first.
fn group_of(user: &str) -> String {
    let found = Command::new("id").args(["-g", user]).output();
    found.map_or_else(|_| user.to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

type Order = (Command, SyncSender<io::Result<Child>>);

fn start_from_lasting_thread(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            while let Ok((mut command, answer)) = inbox.recv() {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, child) = sync_channel(1);
    starter.send((command, answer)).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}

/// Waits until the process ends, which makes its descriptor readable; `false` if the deadline passes first.
fn wait_for_end(pid: Pid, deadline: Duration) -> bool {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let end = Instant::now() + deadline;
    loop {
        let Ok(left) = Timespec::try_from(end.saturating_duration_since(Instant::now())) else {
            return false;
        };
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(_) => {} // interrupted by a signal
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
    Both,
}

/// What a child has written so far.
#[derive(Default)]
struct Output {
    said: Mutex<Said>,
    more: Condvar,
}

#[derive(Default)]
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    both: Vec<u8>,
    streams_ended: usize,
}

impl Output {
    fn take(&self, stream: Stream, mut pipe: Box<dyn Read + Send>) {
        let mut buffer = vec![0u8; 64 * 1024];
        loop {
            let count = match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let mut said = lock(&self.said);
            said.both.extend_from_slice(&buffer[..count]);
            let own = if stream == Stream::Stdout { &mut said.stdout } else { &mut said.stderr };
            own.extend_from_slice(&buffer[..count]);
            self.more.notify_all();
        }
        lock(&self.said).streams_ended += 1;
        self.more.notify_all();
    }

    fn text(&self, stream: Stream) -> String {
        let said = lock(&self.said);
        let bytes = match stream {
            Stream::Stdout => &said.stdout,
            Stream::Stderr => &said.stderr,
            Stream::Both => &said.both,
        };
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn wait_until(&self, deadline: Duration, wanted: impl Fn(&str) -> bool) -> bool {
        let end = Instant::now() + deadline;
        let mut said = lock(&self.said);
        loop {
            if wanted(&String::from_utf8_lossy(&said.both)) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || said.streams_ended == 2 {
                return false;
            }
            (said, _) = self.more.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A test that panicked while it held the lock left nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The start of the process, and its exit code.
//!
//! Owns the order: the process is hardened before it reads anything, every address is taken before any is announced,
//! and a service is published before its listener is served.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use dataplane::{Dataplane, IoInUse, IoReason, Protection, Settings};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{LocalSet, spawn_local};
use tracing::{error, info, warn};

use crate::admin::Admin;
use crate::cli::{self, Action, CheckOptions, Invocation, RunOptions};
use crate::clock;
use crate::config::{self, BrokerConfig, ListenOn, LoadRequest, Loaded};
use crate::control::Control;
use crate::diagnostics::Report;
use crate::listeners::describe;
use crate::os_words::words;
use crate::process::{self, Hardening, harden};
use crate::reload::Prepared;
use crate::run::{Run, Signals};
use crate::{environment, logging, online, secret_command, terminal};

/// Runs the program that the command line asks for.
pub fn main() -> ExitCode {
    let started = (SystemTime::now(), Instant::now());
    let mut hardening = harden();
    // There is no other thread yet.
    hardening.refused.extend(environment::take());
    let Invocation { action, log, warnings } = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(exit) => {
            if exit.code == 0 {
                terminal::out(&exit.text);
            } else {
                terminal::err(&exit.text);
            }
            return ExitCode::from(exit.code);
        }
    };
    match action {
        Action::Version => {
            terminal::out(&cli::version());
            ExitCode::SUCCESS
        }
        Action::Check(options) => check(&options),
        Action::Explain(request) => explain(&request),
        Action::Secret(options) => secret_command::run(options),
        Action::Run(options) => {
            let _log = logging::start(log.format, log.debug);
            info!("Secretless v{} starting up...", env!("CARGO_PKG_VERSION"));
            for warning in &warnings {
                warn!("{warning}");
            }
            say(&hardening);
            match serve(options, log.debug, started) {
                Ok(()) => ExitCode::SUCCESS,
                Err(reasons) => {
                    for reason in reasons {
                        error!("{reason}");
                    }
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// Says what is wrong with a file.
fn check(CheckOptions { load, online }: &CheckOptions) -> ExitCode {
    match config::check(load) {
        Ok(loaded) => {
            if *online {
                return check_online(load, &loaded);
            }
            terminal::report(&loaded.warnings);
            let path = loaded.config.path.display();
            let verdict =
                verdict(loaded.config.services.len(), loaded.doubtful.len(), loaded.config.unserved.len());
            terminal::out(&format!("{path}: {verdict}\n"));
            ExitCode::SUCCESS
        }
        Err(report) => {
            terminal::report(&report);
            ExitCode::FAILURE
        }
    }
}

/// Asks stores for all that a file wants of them. It is read again, for looking at it has taken it apart.
fn check_online(load: &LoadRequest, checked: &Loaded) -> ExitCode {
    let asked = config::inspect(load).and_then(|loaded| {
        let failed = |error| Report::of_error(None, format!("cannot ask stores: {}", words(&error)), "");
        online::ask(loaded.config, &checked.warnings).map_err(failed)
    });
    let online::Told { report, doubtful } = match asked {
        Ok(told) => told,
        Err(report) => {
            terminal::report(&checked.warnings);
            terminal::report(&report);
            return ExitCode::FAILURE;
        }
    };
    terminal::report(&report);
    if report.has_errors() {
        return ExitCode::FAILURE;
    }
    let path = checked.config.path.display();
    let answered = if doubtful.is_empty() { "every value is there" } else { "all stores have answered" };
    let doubtful = doubtful.union(&checked.doubtful).count();
    let verdict = verdict(checked.config.services.len(), doubtful, checked.config.unserved.len());
    terminal::out(&format!("{path}: {answered}; {verdict}\n"));
    ExitCode::SUCCESS
}

/// What `check` says last: how many services can be served, how many of those will fail, and how many cannot be started.
fn verdict(served: usize, doubtful: usize, unserved: usize) -> String {
    let mut words = format!("{} can be served", count(served, "service"));
    if doubtful > 0 {
        words.push_str(&format!(", but connections to {doubtful} of them will fail"));
    }
    if unserved > 0 {
        words.push_str(&format!("; {unserved} cannot be started, so `run` refuses the file"));
    }
    if doubtful + unserved > 0 {
        words.push_str(": see the warnings");
    }
    words
}

/// Says what a file means.
fn explain(request: &LoadRequest) -> ExitCode {
    match config::inspect(request) {
        Ok(loaded) => {
            terminal::out(&config::explain(&loaded.config));
            ExitCode::SUCCESS
        }
        Err(report) => {
            terminal::report(&report);
            ExitCode::FAILURE
        }
    }
}

/// `1 service`, `2 services`
fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn say(hardening: &Hardening) {
    let number = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let (before, now) = (number(hardening.descriptors.0), number(hardening.descriptors.1));
    let secrets = match hardening.secrets {
        Protection::Secret => "memfd_secret",
        Protection::Locked => "locked memory",
        Protection::Undumped => "memory that may be swapped out",
        Protection::Heap => "the general heap",
    };
    info!(
        "no core dumps, not dumpable, secrets in {secrets}, {now} descriptors (the soft limit was {before})"
    );
    for refused in &hardening.refused {
        warn!("{refused}");
    }
}

/// A client and a target.
const DESCRIPTORS_PER_SESSION: u64 = 2;

/// Rings and queues, pipes for bulk data, what is watched and what is read for a moment.
const OTHER_DESCRIPTORS: u64 = 100;

/// Says if the descriptors do not last for the sessions that may be open. Whoever meets that limit is told nothing of `limits`.
fn say_room(broker: &BrokerConfig, services: usize) {
    let Some(limit) = process::descriptors() else { return };
    // A listener for each service.
    let taken = services as u64 + OTHER_DESCRIPTORS;
    let room = limit.saturating_sub(taken) / DESCRIPTORS_PER_SESSION;
    let wanted = u64::from(broker.sessions_max);
    if room >= wanted {
        return;
    }
    let finding = format!(
        "{limit} descriptors are room for about {room} sessions, and broker.limits.sessions is {wanted}: raise RLIMIT_NOFILE \
         (LimitNOFILE= in systemd, ulimits in containers), or lower broker.limits.sessions"
    );
    // The default asks for more than many machines have, and most brokers for less than the default.
    if room < wanted / 2 {
        warn!("{finding}");
    } else {
        info!("{finding}");
    }
}

fn say_driver(io: &IoInUse) {
    let driver = io.driver;
    match &io.reason {
        IoReason::Configured => info!("bytes are moved with {driver}, as configured"),
        IoReason::Available => info!("bytes are moved with {driver}"),
        IoReason::Refused(refused) => warn!("bytes are moved with {driver}: {refused}"),
    }
}

/// Serves until a signal ends it; why it could not, one line each.
fn serve(options: RunOptions, debug: bool, started: (SystemTime, Instant)) -> Result<(), Vec<String>> {
    let RunOptions { mut load, watch } = options;
    if let Some(file) = &load.file {
        info!("Trying to load configuration file: {}", file.display());
    }
    let loaded = config::load(&load)
        .map_err(|report| report.to_string().lines().map(str::to_owned).collect::<Vec<_>>())?;
    info!("Configuration file {} loaded", loaded.config.path.display());
    for finding in loaded.warnings.findings() {
        warn!("{finding}");
    }
    // A reload reads the file that the start found, whatever appears in a better place meanwhile.
    let (path, read) = (loaded.config.path.clone(), loaded.state);
    load.file = Some(path.clone());

    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_keep_alive(Duration::from_secs(1))
        .build()
        .map_err(|error| vec![format!("cannot start the control plane: {}", words(&error))])?;
    let broker = loaded.config.broker.clone();
    let dataplane = Dataplane::start(Settings {
        workers: broker.workers,
        io: broker.io,
        sessions_max: broker.sessions_max,
        system_roots: system_roots(),
        report_sessions: debug,
    })
    .map_err(|error| vec![error.to_string()])?;
    say_driver(dataplane.io());
    say_room(&broker, loaded.config.services.len());
    let control = Rc::new(RefCell::new(Control::new(dataplane, broker.clone(), started)));

    let local = LocalSet::new();
    let result = runtime.block_on(local.run_until(async {
        let signals = Signals::catch().map_err(|error| vec![format!("signals: {}", words(&error))])?;
        serve_admin(broker.admin, &control).await?;
        let prepared = Prepared::new(loaded.config, control.borrow().stores());
        let places: Vec<ListenOn> = prepared.places().cloned().collect();
        announce(&places);
        let watcher = control.borrow_mut().commit(prepared, clock::now())?;
        let run = Run::new(Rc::clone(&control), watcher, load)
            .map_err(|error| vec![format!("the workers cannot be heard: {}", words(&error))])?;
        run.obey(signals);
        if watch {
            run.follow_file(path, read);
        }
        let took = started.1.elapsed().as_millis();
        info!("listening after {took} ms: {}", summary(&places));
        run.until_the_end().await;
        Ok(())
    }));
    end(local, runtime, control);
    if result.is_ok() {
        info!("Exiting...");
    }
    result
}

/// Lets go of everything, but does not wait for ever for a worker that is stuck.
fn end(local: LocalSet, runtime: Runtime, control: Rc<RefCell<Control>>) {
    drop(local);
    // Threads that wait for a dead file system are not waited for.
    runtime.shutdown_background();
    let Some(control) = Rc::into_inner(control) else { return };
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let ending = std::thread::Builder::new().name("end".to_owned()).spawn(move || {
        drop(control.into_inner());
        drop(done);
    });
    if ending.is_ok() {
        // Disconnected is what we wait for.
        let _ = is_done.recv_timeout(END_MAX);
    }
}

async fn serve_admin(address: Option<SocketAddr>, control: &Rc<RefCell<Control>>) -> Result<(), Vec<String>> {
    let Some(address) = address else { return Ok(()) };
    info!("Initializing health check on {address}...");
    let admin = Admin::bind(address)
        .await
        .map_err(|error| vec![format!("listen tcp {address}: bind: {} (broker.admin)", words(&error))])?;
    let facts = Rc::clone(control);
    spawn_local(admin.serve(facts));
    info!("Initialization of health check done. You can access the endpoint at `/live` and `/ready`.");
    Ok(())
}

/// The system's trusted roots. A machine without any can still verify against a service's own.
fn system_roots() -> Vec<Vec<u8>> {
    let found = rustls_native_certs::load_native_certs();
    if let Some(first) = found.errors.first() {
        warn!(
            "the system's trusted roots: {} cannot be used, the first for this: {first}",
            found.errors.len()
        );
    }
    found.certs.iter().map(|certificate| certificate.to_vec()).collect()
}

fn announce(places: &[ListenOn]) {
    if places.len() > PLACES_SAID {
        return;
    }
    for place in places {
        match place {
            ListenOn::Tcp(address) => info!("Starting TCP listener on {address}..."),
            ListenOn::Unix { path, .. } => info!("Starting TCP listener on {}...", path.display()),
        }
    }
}

fn summary(places: &[ListenOn]) -> String {
    let said: Vec<String> = places.iter().take(PLACES_SAID).map(describe).collect();
    let more = match places.len().saturating_sub(PLACES_SAID) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} on {}{more}", count(places.len(), "service"), said.join(", "))
}

/// As many as are at work at a time (16 for files, 96 for stores over HTTP, 32 that start programs), and a hundred that a dead file system holds.
const BLOCKING_THREADS_MAX: usize = 256;

/// More are not read.
const PLACES_SAID: usize = 20;

/// Workers that are alive end within milliseconds.
const END_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn a_verdict_counts_what_fails_and_what_cannot_be_started() {
        let refused = "so `run` refuses the file: see the warnings";
        assert_eq!(verdict(2, 0, 0), "2 services can be served");
        assert_eq!(
            verdict(1, 1, 0),
            "1 service can be served, but connections to 1 of them will fail: see the warnings"
        );
        assert_eq!(verdict(0, 0, 3), format!("0 services can be served; 3 cannot be started, {refused}"));
        assert_eq!(
            verdict(2, 1, 1),
            format!(
                "2 services can be served, but connections to 1 of them will fail; 1 cannot be started, {refused}"
            )
        );
    }
}

//! The control plane's loop: what it waits for.
//!
//! Owns the tasks that fetch, look up, watch and listen to signals; each brings its result as an [`Event`]. Between two
//! events nothing of the state is borrowed.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use dataplane::ServiceId;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet, spawn_local};
use tracing::{info, warn};

use crate::clock;
use crate::config::{FileState, LoadRequest};
use crate::control::Control;
use crate::fetch::{Answer, Question};
use crate::reload::Prepared;
use crate::resolve::{Resolution, look_up};
use crate::stores::Stores;
use crate::watch::{Watch, Watcher};

/// Something has happened.
enum Event {
    Fetched { service: ServiceId, epoch: u64, answer: Answer },
    Resolved { host: String, resolution: Resolution },
    FilesChanged(BTreeSet<PathBuf>),
    Reload,
    Reloaded { result: Box<Result<Prepared, Vec<String>>>, looks: u32 },
    Stop,
}

/// The loop and its tasks.
pub(crate) struct Run {
    control: Rc<RefCell<Control>>,
    reports: AsyncFd<OwnedFd>,
    events: UnboundedReceiver<Event>,
    sender: UnboundedSender<Event>,
    request: LoadRequest,
    watch: Watch,
    watching: JoinHandle<()>,
    reloading: Reloading,
    /// Stores that are let go.
    closing: Vec<JoinSet<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reloading {
    No,
    Yes,
    /// Once more, when that is over.
    Again,
}

/// The signals that mean something, caught from the moment this exists.
pub(crate) struct Signals {
    stop: [Signal; 3],
    reload: [(Signal, &'static str); 2],
}

impl Signals {
    /// Catches them.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            stop: [
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::quit())?,
            ],
            reload: [
                (signal(SignalKind::hangup())?, "hangup"),
                (signal(SignalKind::user_defined1())?, "user defined signal 1"),
            ],
        })
    }
}

impl Run {
    /// A loop over `control`; `watcher` watches its secrets.
    pub(crate) fn new(
        control: Rc<RefCell<Control>>,
        watcher: Watcher,
        request: LoadRequest,
    ) -> io::Result<Self> {
        let reports = control.borrow().dataplane().reports_fd().try_clone_to_owned()?;
        #[expect(
            deprecated,
            reason = "the replacement is unsafe; the descriptor is owned, so it stays what it is"
        )]
        let register = AsyncFd::new;
        let (sender, events) = unbounded_channel();
        let watch = watcher.watch();
        let watching = spawn_local(follow(watcher, sender.clone()));
        let reports = register(reports)?;
        let reloading = Reloading::No;
        let closing = Vec::new();
        Ok(Self { control, reports, events, sender, request, watch, watching, reloading, closing })
    }

    /// Listens to signals.
    pub(crate) fn obey(&self, signals: Signals) {
        for mut signal in signals.stop {
            let sender = self.sender.clone();
            spawn_local(
                async move { while signal.recv().await.is_some() && sender.send(Event::Stop).is_ok() {} },
            );
        }
        let path = self.request.file.as_ref().map_or(String::new(), |path| path.display().to_string());
        for (mut signal, name) in signals.reload {
            let (sender, path) = (self.sender.clone(), path.clone());
            spawn_local(async move {
                while signal.recv().await.is_some() {
                    info!("Intercepted reload signal '{name}'. Reloading (from '{path}')...");
                    if sender.send(Event::Reload).is_err() {
                        break;
                    }
                }
            });
        }
    }

    /// Reloads when the file at `path` is not what it was when it was `read`.
    pub(crate) fn follow_file(&self, path: PathBuf, read: FileState) {
        info!("Attaching filesystem notifier onto {}", path.display());
        let sender = self.sender.clone();
        spawn_local(async move {
            let mut watcher = Watcher::new();
            let watch = watcher.watch();
            watch.attach(vec![path.clone()]).await;
            // It may have changed before it was watched.
            let mut is_other = FileState::at(&path) != Some(read);
            loop {
                if !std::mem::take(&mut is_other) {
                    watcher.changed().await;
                }
                warn!("Watched file '{}' modified!", path.display());
                // A link on the way may lead elsewhere now.
                watch.attach(vec![path.clone()]).await;
                if sender.send(Event::Reload).is_err() {
                    break;
                }
            }
        });
    }

    /// Runs until the end of the process has come.
    pub(crate) async fn until_the_end(mut self) {
        loop {
            if self.round() {
                break;
            }
            let (may_wait, wait) = {
                let control = self.control.borrow();
                (control.dataplane().begin_wait(), clock::until(control.next_deadline(clock::now())))
            };
            let event = if may_wait {
                tokio::select! {
                    event = self.events.recv() => event,
                    ready = self.reports.readable() => {
                        if let Ok(mut ready) = ready {
                            ready.clear_ready();
                        }
                        None
                    }
                    () = tokio::time::sleep(wait) => None,
                }
            } else {
                // Signals, fetches and the admin address get their turn all the same.
                tokio::task::yield_now().await;
                self.events.try_recv().ok()
            };
            self.control.borrow().dataplane().end_wait();
            let mut next = event;
            while let Some(event) = next {
                self.on_event(event);
                next = self.events.try_recv().ok();
            }
        }
        // Nobody takes what is still on its way: leases that come with it go back at once.
        self.events.close();
        while self.events.try_recv().is_ok() {}
        let leases = self.control.borrow().stores().leases().clone();
        leases.give_all_back(RETURN_MAX).await;
        self.closing.push(self.control.borrow().stores().close(&Stores::default(), CLOSING_MAX));
        let all_closed = async {
            for mut closing in self.closing {
                while closing.join_next().await.is_some() {}
            }
        };
        // Whatever holds them up, the end comes.
        let _ = tokio::time::timeout(CLOSING_MAX * 2, all_closed).await;
    }

    /// Goes once through everything that may be due. Whether the end has come.
    fn round(&mut self) -> bool {
        self.closing.retain_mut(|closing| {
            while closing.try_join_next().is_some() {}
            !closing.is_empty()
        });
        let mut control = self.control.borrow_mut();
        let now = clock::now();
        control.take_reports(now);
        let is_over = control.on_time(now);
        for question in control.store.take_fetches() {
            let (sender, watch) = (self.sender.clone(), self.watch.clone());
            tokio::spawn(async move {
                let Question { service, epoch, sources, holds, is_refused } = question;
                let answer = sources.fetch(watch, holds, is_refused).await;
                // Nobody listens any more only when the process ends.
                let _ = sender.send(Event::Fetched { service, epoch, answer });
            });
        }
        for host in control.store.take_lookups(now) {
            let sender = self.sender.clone();
            tokio::spawn(async move {
                let resolution = look_up(host.clone()).await;
                let _ = sender.send(Event::Resolved { host, resolution });
            });
        }
        is_over
    }

    fn on_event(&mut self, event: Event) {
        let now = clock::now();
        let mut control = self.control.borrow_mut();
        match event {
            Event::Fetched { service, epoch, answer } => {
                control.store.on_fetched(service, epoch, answer, now);
            }
            Event::Resolved { host, resolution } => control.store.on_resolved(&host, resolution, now),
            Event::FilesChanged(paths) => control.store.on_files_changed(&paths, now),
            Event::Stop => control.on_stop_signal(now),
            Event::Reload if self.reloading == Reloading::No => {
                drop(control);
                self.reload();
            }
            Event::Reload => self.reloading = Reloading::Again,
            // An address that an earlier reload gives up may be wanted again: it is free in a moment.
            Event::Reloaded { result, looks } if looks < LOOKS_MAX && control.listening.is_retiring() => {
                let sender = self.sender.clone();
                spawn_local(async move {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                    let _ = sender.send(Event::Reloaded { result, looks: looks + 1 });
                });
            }
            Event::Reloaded { result, .. } => {
                match *result {
                    Ok(prepared) => {
                        let (before, opened) = (control.stores().clone(), prepared.stores.clone());
                        if let Some(watcher) = control.on_reloaded(prepared, now) {
                            self.watching.abort();
                            self.watch = watcher.watch();
                            self.watching = spawn_local(follow(watcher, self.sender.clone()));
                        }
                        // Either those of the last file, or those of one that is not put in force.
                        for stores in [before, opened] {
                            self.closing.push(stores.close(control.stores(), CLOSING_MAX));
                        }
                    }
                    Err(reasons) => control.on_reload_refused(&reasons),
                }
                drop(control);
                if self.reloading == Reloading::Again {
                    self.reload();
                } else {
                    self.reloading = Reloading::No;
                }
            }
        }
    }

    fn reload(&mut self) {
        self.reloading = Reloading::Yes;
        let (request, sender) = (self.request.clone(), self.sender.clone());
        let present = self.control.borrow().present();
        spawn_local(async move {
            let result = match Prepared::load(request, present).await {
                Ok((prepared, warnings)) => {
                    for finding in warnings.findings() {
                        warn!("{finding}");
                    }
                    Ok(prepared)
                }
                Err(report) => Err(report.to_string().lines().map(str::to_owned).collect()),
            };
            let _ = sender.send(Event::Reloaded { result: Box::new(result), looks: 0 });
        });
    }
}

/// How long the end waits for stores to take leases back.
const RETURN_MAX: Duration = Duration::from_secs(2);

/// A stop is not held up for longer by stores that do not answer.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// Between two looks whether listeners that go are gone, and how many: a stuck worker must not hold a reload.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 100;

async fn follow(mut watcher: Watcher, sender: UnboundedSender<Event>) {
    loop {
        let paths = watcher.changed().await;
        if sender.send(Event::FilesChanged(paths)).is_err() {
            return;
        }
    }
}

//! Files that are watched: whoever writes one, replaces it, or swaps a link on the way to it, is noticed.
//!
//! Owns the inotify descriptor and what its events mean for the paths that somebody cares about. Never reads a file.
//!
//! A path is followed as the kernel would follow it. Each directory in which a link or the file itself is looked up is
//! watched for that name: so Kubernetes' swap of `..data` is seen, and so is a file put in the place of another. A
//! part that does not exist is watched for in the directory where it would be. Watches are added before the name in
//! them is looked at, and a file is read after that, so no change falls in between.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tracing::{debug, warn};

use crate::offload::offload;
use crate::os_words::words;
use crate::timers::Timers;

/// Waits for changes of the paths that were attached.
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    events: Option<AsyncFd<Arc<OwnedFd>>>,
    /// Changes that are most often followed by the one that counts.
    delayed: Timers<PathBuf>,
    poll_at: Instant,
}

/// Attaches paths to a [`Watcher`].
#[derive(Clone)]
pub(crate) struct Watch(Arc<Shared>);

struct Shared {
    inotify: Option<Arc<OwnedFd>>,
    interests: Mutex<Interests>,
}

/// Nothing is taken out but what the kernel says is gone: an entry too many costs a look, one too few a change.
#[derive(Default)]
struct Interests {
    /// By watch and name, who cares. The name is empty for the watched thing itself.
    by_watch: HashMap<i32, BTreeMap<OsString, BTreeSet<PathBuf>>>,
    /// Paths that cannot be watched.
    polled: BTreeSet<PathBuf>,
}

impl Watcher {
    /// A watcher without paths. If the kernel has no inotify instance left, every path is polled.
    pub(crate) fn new() -> Self {
        #[expect(
            deprecated,
            reason = "the replacement is unsafe; an Arc of a descriptor never names another"
        )]
        let register = AsyncFd::new;
        let opened = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(io::Error::from)
            .map(Arc::new)
            .and_then(|fd| Ok((register(Arc::clone(&fd))?, fd)));
        let (events, inotify) = match opened {
            Ok((events, fd)) => (Some(events), Some(fd)),
            Err(error) => {
                warn!(
                    "files are polled every second: inotify: {}; see fs.inotify.max_user_instances",
                    words(&error)
                );
                (None, None)
            }
        };
        let shared = Arc::new(Shared { inotify, interests: Mutex::default() });
        Self { shared, events, delayed: Timers::new(), poll_at: Instant::now() + POLL_INTERVAL }
    }

    /// What attaches paths.
    pub(crate) fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.shared))
    }

    /// Waits until something may have changed. May be dropped and called again: nothing is lost.
    pub(crate) async fn changed(&mut self) -> BTreeSet<PathBuf> {
        loop {
            let is_polling = !self.shared.interests().polled.is_empty();
            let due = self.delayed.next().into_iter().chain(is_polling.then_some(self.poll_at)).min();
            let at = due.unwrap_or_else(|| Instant::now() + FAR_AWAY);
            let changed = tokio::select! {
                () = readable(self.events.as_ref()) => self.read_events(),
                () = tokio::time::sleep_until(at.into()) => self.on_time(Instant::now()),
            };
            if !changed.is_empty() {
                return changed;
            }
        }
    }

    fn on_time(&mut self, now: Instant) -> BTreeSet<PathBuf> {
        let mut changed = BTreeSet::new();
        while let Some(path) = self.delayed.pop(now) {
            changed.insert(path);
        }
        if self.poll_at <= now {
            self.poll_at = now + POLL_INTERVAL;
            changed.extend(self.shared.interests().polled.iter().cloned());
        }
        changed
    }

    /// Takes the events that are there: the paths that have changed now.
    fn read_events(&mut self) -> BTreeSet<PathBuf> {
        let mut changed = BTreeSet::new();
        let Some(inotify) = self.shared.inotify.as_ref() else { return changed };
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        // Bounded, so that a busy directory cannot hold the control plane: the rest is read in the next round.
        for _ in 0..EVENTS_AT_ONCE {
            let Ok(event) = reader.next() else { break };
            let mut interests = self.shared.interests();
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                changed.extend(interests.by_watch.values().flat_map(BTreeMap::values).flatten().cloned());
                continue;
            }
            let name = event.file_name().map_or(OsStr::new(""), |name| OsStr::from_bytes(name.to_bytes()));
            let names = interests.by_watch.get(&event.wd());
            let paths = names.and_then(|names| names.get(name)).cloned().unwrap_or_default();
            if flags.contains(ReadFlags::IGNORED) {
                interests.by_watch.remove(&event.wd());
            }
            drop(interests);
            if flags.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) {
                changed.extend(paths);
            } else {
                let at = Instant::now() + SETTLING;
                for path in paths {
                    self.delayed.set(path, Some(at));
                }
            }
        }
        for path in &changed {
            self.delayed.set(path.clone(), None);
        }
        changed
    }
}

impl Watch {
    /// Follows `paths` from now on. After this returns, no change is missed, unless the file system hangs.
    pub(crate) async fn attach(&self, paths: Vec<PathBuf>) {
        let shared = Arc::clone(&self.0);
        let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        let work = move || {
            for path in &paths {
                shared.follow(path);
            }
        };
        if let Err(lost) = offload(&format!("watch {}", names.join(", ")), PATIENCE, work).await {
            debug!("watch {}: {lost:?}", names.join(", "));
        }
    }
}

impl Shared {
    fn interests(&self) -> MutexGuard<'_, Interests> {
        self.interests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches everything on the way of `path`, or has it polled.
    fn follow(&self, path: &Path) {
        if let Err(error) = self.try_follow(path)
            && self.interests().polled.insert(path.to_owned())
            && self.inotify.is_some()
        {
            warn!("{} is polled every second: it cannot be watched: {}", path.display(), words(&error));
        }
    }

    fn try_follow(&self, path: &Path) -> io::Result<()> {
        let Some(inotify) = &self.inotify else { return Err(Errno::NOSYS.into()) };
        let absolute = std::path::absolute(path)?;
        let mut parts: VecDeque<OsString> = parts_of(&absolute).collect();
        let mut directory = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = parts.pop_front() {
            if part == ".." {
                directory.pop();
                continue;
            }
            let here = directory.join(&part);
            let is_last = parts.is_empty();
            if !is_last && here.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                directory = here;
                continue;
            }
            // From here on only what is seen after the watch was added counts.
            let watch = inotify::add_watch(inotify, &directory, DIRECTORY_EVENTS)?;
            self.add(watch, &part, path);
            self.add(watch, OsStr::new(""), path);
            match here.symlink_metadata() {
                Ok(found) if found.is_symlink() => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Ok(());
                    }
                    let Ok(target) = here.read_link() else { continue };
                    if target.is_absolute() {
                        directory = PathBuf::from("/");
                    }
                    for part in parts_of(&target).collect::<Vec<_>>().into_iter().rev() {
                        parts.push_front(part);
                    }
                }
                Ok(found) if !is_last && found.is_dir() => directory = here,
                Ok(found) => {
                    // A file that is mounted over another is written through a directory that we do not see.
                    if found.is_file()
                        && let Ok(watch) = inotify::add_watch(inotify, &here, FILE_EVENTS)
                    {
                        self.add(watch, OsStr::new(""), path);
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn add(&self, watch: i32, name: &OsStr, path: &Path) {
        let mut interests = self.interests();
        let names = interests.by_watch.entry(watch).or_default();
        names.entry(name.to_owned()).or_default().insert(path.to_owned());
    }
}

/// The parts of a path that lead somewhere.
fn parts_of(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

async fn readable(events: Option<&AsyncFd<Arc<OwnedFd>>>) {
    match events {
        Some(events) => match events.readable().await {
            // Edge-triggered: what is left unread now raises no second event, so the flag goes only when all is read.
            Ok(mut ready) => {
                if rustix::io::ioctl_fionread(events.get_ref()).unwrap_or(0) == 0 {
                    ready.clear_ready();
                }
            }
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// One mask for every directory: adding a watch again replaces the mask.
const DIRECTORY_EVENTS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

const FILE_EVENTS: WatchFlags = WatchFlags::CLOSE_WRITE.union(WatchFlags::DONT_FOLLOW);

/// After a name came or went: an editor that moves the old file away writes the new one within milliseconds, and a
/// created file is empty until it was written.
const SETTLING: Duration = Duration::from_millis(100);

/// For paths that cannot be watched.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A local directory answers in microseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// As many as the kernel follows (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// Some hundred microseconds of work.
const EVENTS_AT_ONCE: usize = 1000;

const FAR_AWAY: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::future::Future;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::{TempDir, block_on};

    /// Runs `change`, and waits until it was noticed for `path`.
    async fn notices(watcher: &mut Watcher, path: &Path, change: impl FnOnce()) {
        watcher.watch().attach(vec![path.to_owned()]).await;
        change();
        soon(async { while !watcher.changed().await.contains(path) {} }).await;
    }

    async fn soon(event: impl Future<Output = ()>) {
        tokio::time::timeout(Duration::from_secs(60), event).await.expect("the change is noticed");
    }

    #[test]
    fn notices_a_file_that_is_written_replaced_removed_and_made_again() {
        block_on(async {
            let (dir, mut watcher) = (TempDir::new(), Watcher::new());
            let path = dir.file("secret", "1");
            notices(&mut watcher, &path, || drop(dir.file("secret", "2"))).await;
            notices(&mut watcher, &path, || {
                fs::rename(dir.file("new", "3"), &path).expect("renames");
            })
            .await;
            notices(&mut watcher, &path, || fs::remove_file(&path).expect("removes")).await;
            notices(&mut watcher, &path, || drop(dir.file("secret", "4"))).await;
        });
    }

    #[test]
    fn notices_a_swap_as_kubernetes_does_it() {
        block_on(async {
            let (dir, mut watcher) = (TempDir::new(), Watcher::new());
            let at = |name: &str| dir.path().join(name);
            fs::create_dir(at("..1")).expect("makes a directory");
            fs::write(at("..1/secret"), "1").expect("writes");
            symlink("..1", at("..data")).expect("links");
            symlink("..data/secret", at("secret")).expect("links");
            for next in 2..5 {
                notices(&mut watcher, &at("secret"), || {
                    let name = format!("..{next}");
                    fs::create_dir(at(&name)).expect("makes a directory");
                    fs::write(at(&name).join("secret"), "2").expect("writes");
                    symlink(&name, at("..data_tmp")).expect("links");
                    fs::rename(at("..data_tmp"), at("..data")).expect("renames");
                })
                .await;
            }
        });
    }

    #[test]
    fn notices_a_directory_that_is_made_later() {
        block_on(async {
            let (dir, mut watcher) = (TempDir::new(), Watcher::new());
            let path = dir.path().join("a/b/secret");
            notices(&mut watcher, &path, || fs::create_dir(dir.path().join("a")).expect("makes a directory"))
                .await;
            notices(&mut watcher, &path, || {
                fs::create_dir(dir.path().join("a/b")).expect("makes a directory");
            })
            .await;
            notices(&mut watcher, &path, || fs::write(&path, "1").expect("writes")).await;
        });
    }

    #[test]
    fn notices_a_directory_that_is_put_in_the_place_of_another() {
        block_on(async {
            let (dir, mut watcher) = (TempDir::new(), Watcher::new());
            let at = |name: &str| dir.path().join(name);
            for name in ["old", "new"] {
                fs::create_dir(at(name)).expect("makes a directory");
                fs::write(at(name).join("secret"), name).expect("writes");
            }
            notices(&mut watcher, &at("old/secret"), || {
                fs::rename(at("old"), at("gone")).expect("renames");
                fs::rename(at("new"), at("old")).expect("renames");
            })
            .await;
        });
    }

    #[test]
    fn follows_links_to_files_elsewhere() {
        block_on(async {
            let (here, there, mut watcher) = (TempDir::new(), TempDir::new(), Watcher::new());
            let path = here.path().join("link");
            symlink(there.file("secret", "1"), &path).expect("links");
            notices(&mut watcher, &path, || drop(there.file("secret", "2"))).await;
        });
    }

    #[test]
    fn does_not_mind_a_link_to_itself() {
        block_on(async {
            let (dir, mut watcher) = (TempDir::new(), Watcher::new());
            let path = dir.path().join("loop");
            symlink("loop", &path).expect("links");
            watcher.shared.try_follow(&path).expect("comes to an end");
            notices(&mut watcher, &path, || fs::remove_file(&path).expect("removes")).await;
        });
    }

    #[test]
    fn a_neighbour_is_none_of_its_business() {
        block_on(async {
            let (dir, mut watcher) = (TempDir::new(), Watcher::new());
            let (path, neighbour) = (dir.file("secret", "1"), dir.file("neighbour", "1"));
            watcher.watch().attach(vec![path.clone()]).await;
            dir.file("neighbour", "2");
            dir.file("secret", "2");
            soon(async {
                let changed = watcher.changed().await;
                assert!(changed.contains(&path) && !changed.contains(&neighbour));
            })
            .await;
        });
    }

    #[test]
    fn without_inotify_every_path_is_polled() {
        block_on(async {
            let shared = Arc::new(Shared { inotify: None, interests: Mutex::default() });
            let mut watcher =
                Watcher { shared, events: None, delayed: Timers::new(), poll_at: Instant::now() };
            let path = PathBuf::from("/nowhere/secret");
            notices(&mut watcher, &path, || ()).await;
        });
    }
}

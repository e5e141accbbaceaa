//! A program that runs: what it prints, and its end.
//!
//! Owns how much it may say, and that what it has started ends with it, but for what has left its process group.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::process::ExitStatus;
use std::task::Poll;

use dataplane::{SecretArena, SecretBytes};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, ChildStdout};

/// A program that runs. It ends with this.
pub(super) struct Running<T> {
    child: Child,
    /// Whether it has been waited for: its number may be another's then.
    is_reaped: bool,
    _turn: T,
}

impl<T> Running<T> {
    /// A program that was started in a group of its own, when it was its turn.
    pub(super) fn new(child: Child, turn: T) -> Self {
        Self { child, is_reaped: false, _turn: turn }
    }

    /// What it prints, or `None` if that is more than may be, and how it ends. What others print who have its output is waited for no
    /// longer than it lives.
    pub(super) async fn output(&mut self) -> io::Result<(Option<SecretBytes>, ExitStatus)> {
        // The kernel writes it where it stays, so no copy stays behind elsewhere.
        let mut output = SecretArena::of_process().zeroed(OUTPUT_MAX);
        let mut filled = 0;
        let mut is_more = false;
        if let Some(mut stdout) = self.child.stdout.take() {
            let mut end = End::of(&self.child);
            loop {
                let mut beyond = [0];
                is_more = filled == OUTPUT_MAX;
                let room = if is_more { &mut beyond[..] } else { &mut output.bytes_mut()[filled..] };
                let len = end.read_before(&mut stdout, room).await?;
                if is_more || len == 0 {
                    is_more &= len > 0;
                    break;
                }
                filled += len;
            }
            if is_more || end.is_seen().await {
                self.kill();
            }
        }
        output.truncate(filled);
        let status = self.child.wait().await?;
        self.is_reaped = true;
        Ok(((!is_more).then_some(output), status))
    }

    /// Kills it and its group, as long as nobody else can have its number.
    fn kill(&self) {
        let group =
            self.child.id().filter(|_| !self.is_reaped).and_then(|id| Pid::from_raw(id.cast_signed()));
        // It may be gone already.
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of a program, which is noticed without waiting for it, so that its number stays its own.
struct End {
    /// Missing before Linux 5.3: what it prints is read to its end then.
    pidfd: Option<AsyncFd<OwnedFd>>,
    has_come: bool,
}

impl End {
    fn of(child: &Child) -> Self {
        #[expect(
            deprecated,
            reason = "the replacement is unsafe; the descriptor is owned, so it stays what it is"
        )]
        let register = AsyncFd::new;
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pidfd = id.and_then(|id| pidfd_open(id, PidfdFlags::empty()).ok());
        Self { pidfd: pidfd.and_then(|fd| register(fd).ok()), has_come: false }
    }

    /// Waits for it, where it can be noticed: whether it was.
    async fn is_seen(&mut self) -> bool {
        match &self.pidfd {
            Some(pidfd) => pidfd.readable().await.is_ok(),
            None => false,
        }
    }

    /// Reads what there is; 0 where nothing is left or nothing comes any more.
    async fn read_before(&mut self, stdout: &mut ChildStdout, room: &mut [u8]) -> io::Result<usize> {
        let mut reading = pin!(stdout.read(room));
        if let Some(pidfd) = self.pidfd.as_ref().filter(|_| !self.has_come) {
            tokio::select! {
                biased;
                len = &mut reading => return len,
                _ = pidfd.readable() => self.has_come = true,
            }
        } else if !self.has_come {
            return reading.await;
        }
        // Whatever it has printed is there.
        poll_fn(|cx| match reading.as_mut().poll(cx) {
            Poll::Ready(len) => Poll::Ready(len),
            Poll::Pending => Poll::Ready(Ok(0)),
        })
        .await
    }
}

/// As for a file's value.
pub(super) const OUTPUT_MAX: usize = 64 * 1024;

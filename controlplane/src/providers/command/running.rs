//! A program that runs: what it prints, and its end.
//!
//! Owns how much it may say, and that nothing of it is left behind.

use dataplane::{SecretArena, SecretBytes};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::Child;
use tokio::sync::SemaphorePermit;

/// A program that runs. It ends with this, and with it whatever it has started.
pub(super) struct Running {
    child: Child,
    _turn: SemaphorePermit<'static>,
}

impl Running {
    /// A program that was started in a group of its own, when it was its turn.
    pub(super) fn new(child: Child, turn: SemaphorePermit<'static>) -> Self {
        Self { child, _turn: turn }
    }

    /// What it prints, or `None` if that is more than may be, and how it ends.
    pub(super) async fn output(
        &mut self,
    ) -> std::io::Result<(Option<SecretBytes>, std::process::ExitStatus)> {
        // The kernel writes it where it stays, so no copy stays behind elsewhere.
        let mut output = SecretArena::of_process().zeroed(OUTPUT_MAX);
        let mut filled = 0;
        let mut is_more = false;
        if let Some(mut stdout) = self.child.stdout.take() {
            loop {
                let mut beyond = [0];
                is_more = filled == OUTPUT_MAX;
                let room = if is_more { &mut beyond[..] } else { &mut output.bytes_mut()[filled..] };
                let len = stdout.read(room).await?;
                if is_more || len == 0 {
                    is_more &= len > 0;
                    break;
                }
                filled += len;
            }
        }
        output.truncate(filled);
        if is_more {
            self.kill();
        }
        Ok(((!is_more).then_some(output), self.child.wait().await?))
    }

    fn kill(&self) {
        let group = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        // It may be gone already.
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// As for a file's value.
pub(super) const OUTPUT_MAX: usize = 64 * 1024;

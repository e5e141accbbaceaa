//! The timer of an epoll set.
//!
//! Owns its descriptor. Knows neither the set nor what is waited for.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// What ends a wait in which nothing else happens: it stays in the set over many turns. A time limit of each wait would be
/// set and taken back each time.
pub(super) struct Timer {
    descriptor: OwnedFd,
    /// When it goes off.
    at: Option<Instant>,
}

impl Timer {
    /// A timer that is not set.
    pub(super) fn new() -> Result<Self, Errno> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { descriptor, at: None })
    }

    /// What becomes readable when it goes off.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// It has gone off.
    pub(super) fn on_expired(&mut self) {
        self.at = None;
    }

    /// Sees to it that a wait ends at `until`, or earlier; `false` if it must not begin.
    pub(super) fn set(&mut self, until: Instant) -> bool {
        if self.at.is_some_and(|at| at <= until) {
            return true;
        }
        let left = until.saturating_duration_since(Instant::now());
        let Ok(it_value) = Timespec::try_from(left) else { return false };
        let once = Itimerspec { it_interval: Timespec::default(), it_value };
        // Setting no time at all would switch it off.
        let is_set =
            !left.is_zero() && timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once).is_ok();
        self.at = is_set.then_some(until);
        is_set
    }
}

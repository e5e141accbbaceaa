//! The environment that the kernel gave the process: variables that are read once and must not stay.
//!
//! Owns the wiping of a variable's bytes, which lie on the first thread's stack for as long as the process runs. Knows no
//! variable.

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use protocol::Secret;
use zeroize::Zeroize;

/// Takes a variable out of the environment: its value, and whether nothing of it is left there.
///
/// It stays where it is if there is another thread, which may be reading it: this is for the very start of a program.
pub fn take_variable(name: &str) -> Option<(Secret, bool)> {
    let value = std::env::var_os(name)?;
    let is_wiped = is_alone() && wipe(name.as_ref());
    Some((Secret::from_heap(value.into_vec()), is_wiped))
}

/// Whether no other thread runs, nor can begin to: only we could start one.
fn is_alone() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// Wipes the value and removes the variable. The caller has seen that there is no other thread.
fn wipe(name: &OsStr) -> bool {
    let Ok(c_name) = CString::new(name.as_bytes()) else { return false };
    // SAFETY: `c_name` ends with a NUL and lives until the end of this function. No other thread changes the environment
    // meanwhile: `take_variable`, the only caller, has asked `is_alone`, and this function starts none.
    let value = unsafe { libc::getenv(c_name.as_ptr()) };
    if value.is_null() {
        return false;
    }
    // SAFETY: `value` is not null (above), and getenv gives the address of a string of the environment, which ends with a NUL.
    let bytes = unsafe { libc::strlen(value) };
    // SAFETY: these are the bytes that strlen has just counted, without the NUL. The kernel put them on the stack of the
    // process, or whoever set the variable on the heap; both may be written to. Nobody else looks at them: there is no other
    // thread, std copies what it reads, and the slice ends with this statement.
    let place = unsafe { std::slice::from_raw_parts_mut(value.cast::<u8>(), bytes) };
    place.zeroize();
    // SAFETY: no other thread reads or changes the environment: `is_alone`, as above.
    unsafe { std::env::remove_var(name) };
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests run beside each other, so this is what a program with threads gets. What one without gets is tested from
    /// outside, with the broker's own key.
    #[test]
    fn a_variable_that_another_thread_may_be_reading_stays() {
        std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || receiver.recv());
            for _ in 0..2 {
                // Cargo sets it for every test that it runs.
                let (value, is_wiped) = take_variable("CARGO_PKG_NAME").expect("is set");
                assert!(value.expose(|bytes| bytes == b"dataplane") && !is_wiped);
            }
            drop(sender);
        });
        assert!(take_variable("NOT_A_VARIABLE_HERE").is_none());
    }
}

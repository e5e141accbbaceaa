//! The binary `secretless-broker`.

use std::process::ExitCode;

/// Secrets come and go in small pieces on several threads; the system's allocator keeps more of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    controlplane::main()
}

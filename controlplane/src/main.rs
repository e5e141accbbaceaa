//! The binary `secretless-broker`.

use std::process::ExitCode;

/// Sessions come and go in small pieces on several threads; the system's allocator keeps more of them. What is given back to it is
/// wiped first: secrets have memory of their own, but pass through buffers of libraries.
#[global_allocator]
static ALLOCATOR: dataplane::Wiping<mimalloc::MiMalloc> = dataplane::Wiping::new(mimalloc::MiMalloc);

fn main() -> ExitCode {
    controlplane::main()
}

//! The program: its allocator; parse arguments, run, turn the result into an exit code.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// What jemalloc is told before it starts, in its own words: one arena, from which every thread takes what another gave back, and
/// nothing kept for later. A controller reads much once and then holds a little of it for months.
#[expect(unsafe_code, reason = "jemalloc reads its settings from a symbol of this name: nothing else may be called so")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 44] = b"narenas:1,dirty_decay_ms:0,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    lockstep::cli::run(std::env::args_os())
}

//! The memory of a process: its allocator, and the size of the pages it gets.

/// Pages are parsed on one thread and dropped on another, which glibc's allocator pays for (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps this process, and those that it starts, off transparent huge pages. The allocator asks for them, and each is resident
/// as a whole, however little of it is used: half the memory of a service at rest (docs/benchmarks.md). To be called first of all.
pub fn use_small_pages() {
    // A kernel that knows no huge pages refuses, and is right.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
}

//! What /proc says about the processes of a browser. Everything here is best effort: processes come and go.

use std::fs;
use std::path::Path;

use bytesize::ByteSize;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Whether this process runs as root.
pub(super) fn root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// When a process started, in clock ticks since boot: with its id, this names one process for ever.
pub(super) fn start_ticks(pid: u32) -> Option<u64> {
    stat_field(pid, 22)?.parse().ok()
}

/// The living processes of a process group; those that only wait to be reaped do not count.
pub(super) fn group(leader: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&pid| {
        let in_group = stat_field(pid, 5).and_then(|group| group.parse::<u32>().ok()) == Some(leader);
        in_group && stat_field(pid, 3).is_some_and(|state| state != "Z" && state != "X")
    })
    .collect()
}

/// Memory of a process group: what its processes hold alone, and their share of what they hold together.
pub(super) fn group_memory(leader: u32) -> ByteSize {
    let kib = |pid: u32| -> Option<u64> {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    ByteSize::kib(group(leader).into_iter().filter_map(kib).sum())
}

/// Whether a process runs this program.
pub(super) fn runs(pid: u32, program: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.file_name() == program.file_name())
}

/// Ends all processes of a group at once.
pub(super) fn kill_group(leader: u32) {
    let Ok(leader) = i32::try_from(leader) else { return };
    // Groups 0 and 1 are our own and everybody's.
    if leader > 1 {
        let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
    }
}

/// A field of /proc/{pid}/stat, counted from 1 as in proc(5), from the third on.
fn stat_field(pid: u32, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name, is in parentheses and may hold anything.
    let rest = stat.rsplit_once(')')?.1;
    rest.split_whitespace().nth(number.checked_sub(3)?).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_find_ourselves() {
        let me = std::process::id();
        assert!(start_ticks(me).is_some_and(|ticks| ticks > 0));
        let leader: u32 = stat_field(me, 5).unwrap().parse().unwrap();
        assert!(group(leader).contains(&me) && group_memory(leader).as_u64() > 0);
        assert!(start_ticks(u32::MAX).is_none());
    }
}

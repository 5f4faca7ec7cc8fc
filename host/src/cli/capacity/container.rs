//! How much memory this process may take: the limit of its container, or the memory of the machine.

use std::fmt;
use std::fs;
use std::path::Path;

/// A limit of memory, and what it is the limit of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryLimit {
    pub(super) bytes: u64,
    pub(super) of: Limited,
}

/// What a limit is the limit of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limited {
    /// A control group, such as a container or a unit of systemd.
    Container,
    /// The whole machine.
    Machine,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "the container",
            Self::Machine => "the machine",
        })
    }
}

impl MemoryLimit {
    /// The smallest limit that applies to this process. `None` if the system does not state one.
    pub(super) fn of_process() -> Option<Self> {
        Self::from_files(|path| fs::read_to_string(path).ok())
    }

    /// The same, from what `read` returns for the files of the system.
    fn from_files(read: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let groups = read("/proc/self/cgroup").unwrap_or_default();
        let groups = groups.lines().filter_map(|line| of_group(&read, line));
        let container = groups.min().map(|bytes| Self {
            bytes,
            of: Limited::Container,
        });
        let meminfo = read("/proc/meminfo").unwrap_or_default();
        let total = meminfo.lines().find_map(|line| {
            let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
            kib.parse::<u64>().ok()?.checked_mul(1 << 10)
        });
        let machine = total.map(|bytes| Self {
            bytes,
            of: Limited::Machine,
        });
        // A control group of version 1 without a limit has one above the machine's memory.
        let limits = [container, machine].into_iter().flatten();
        limits.min_by_key(|limit| limit.bytes)
    }
}

/// The smallest limit of the control group in a line of `/proc/self/cgroup` and of those that it is in: `0::/a/b` in
/// version 2, `4:memory:/a/b` in version 1.
fn of_group(read: impl Fn(&str) -> Option<String>, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (mount, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return None,
    };
    let limit = |group: &Path| {
        let group = group.to_str()?.trim_end_matches('/');
        // "max" is no limit.
        read(&format!("{mount}{group}/{file}"))?.trim().parse().ok()
    };
    Path::new(path).ancestors().filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit where these files are all there are.
    fn limit(files: &[(&str, &str)]) -> Option<(u64, Limited)> {
        let read = |path: &str| {
            let (_, text) = files.iter().find(|(name, _)| *name == path)?;
            Some((*text).to_owned())
        };
        MemoryLimit::from_files(read).map(|limit| (limit.bytes, limit.of))
    }

    #[test]
    fn the_smallest_limit_counts() {
        let machine = (
            "/proc/meminfo",
            "MemTotal:       4 kB\nMemFree:        1 kB\n",
        );
        let v2 = ("/proc/self/cgroup", "0::/pods/one\n");
        let v1 = ("/proc/self/cgroup", "9:cpu:/x\n4:memory:/pods/one\n");
        let of_machine = Some((4096, Limited::Machine));
        let of_container = |bytes| Some((bytes, Limited::Container));
        let (pods, one) = (
            "/sys/fs/cgroup/pods/memory.max",
            "/sys/fs/cgroup/pods/one/memory.max",
        );
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&[machine]), of_machine);
        assert_eq!(limit(&[machine, v2, (one, "max\n")]), of_machine);
        assert_eq!(limit(&[machine, v2, (one, "1000\n")]), of_container(1000));
        let both = [machine, v2, (one, "3000\n"), (pods, "2000\n")];
        assert_eq!(limit(&both), of_container(2000));
        // In a container its own group is usually the root.
        let inside = [
            ("/proc/self/cgroup", "0::/\n"),
            ("/sys/fs/cgroup/memory.max", "7\n"),
        ];
        assert_eq!(limit(&inside), of_container(7));
        let old = "/sys/fs/cgroup/memory/pods/one/memory.limit_in_bytes";
        assert_eq!(limit(&[machine, v1, (old, "1000\n")]), of_container(1000));
        let unlimited = [machine, v1, (old, "9223372036854771712\n")];
        assert_eq!(limit(&unlimited), of_machine);
    }
}

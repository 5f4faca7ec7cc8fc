//! [`Descriptors`]: how many file descriptors the process may have, and how many of them connections of callers may
//! take. The rest is kept for upstreams, the admin address, and files: a service whose callers take all descriptors can
//! neither answer them nor report why.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use oneflight::ServerLimits;
use oneflight::config::Config;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is kept beside the descriptors that are open at the start: for the files that a reload reads, name lookups, the
/// pipes of compilers, the connection that waits for room, and probes at the admin address beyond its limit.
const KEPT: usize = 40;

/// The descriptors that a process may have, and what could be opened with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// The limit of the process (`RLIMIT_NOFILE`).
    limit: usize,
    /// Those that are not connections.
    files: usize,
    callers: usize,
    admin: usize,
    upstreams: usize,
}

/// Raises the soft limit of this process to the hard one. The soft limit is 1,024 for programs that use `select`, which
/// this one does not.
pub(super) fn raise_limit() -> Result<(), Errno> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum })
}

impl Descriptors {
    /// What this process may have, once its limit is raised, and what `config` could open.
    pub(super) fn of(config: &Config) -> Self {
        let limit = getrlimit(Resource::Nofile).maximum;
        let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            limit: limit.map_or(usize::MAX, |limit| {
                usize::try_from(limit).unwrap_or(usize::MAX)
            }),
            files: open + KEPT,
            callers: config.limits.max_connections,
            admin: if config.admin.is_some() {
                config.limits.max_admin_connections
            } else {
                0
            },
            upstreams: upstreams(config),
        }
    }

    /// `limits` with as many connections as there are descriptors for. Where there are not enough, an eighth of them is
    /// for the admin address, a quarter for upstreams, and the rest for callers, but at least one for each.
    pub(super) fn within(self, limits: &ServerLimits) -> ServerLimits {
        let left = self.limit.saturating_sub(self.files);
        let admin = self.admin.min((left / 8).max(1));
        let upstreams = self.upstreams.min((left / 4).max(1));
        let callers = left.saturating_sub(admin + upstreams).max(1);
        ServerLimits {
            max_connections: limits.max_connections.min(callers),
            max_admin_connections: limits.max_admin_connections.min(admin.max(1)),
            ..limits.clone()
        }
    }

    /// All connections that could be opened.
    fn connections(self) -> usize {
        let connections = self.callers.saturating_add(self.admin);
        connections.saturating_add(self.upstreams)
    }

    /// All that could be open.
    fn all(self) -> usize {
        self.files.saturating_add(self.connections())
    }

    /// How many could be open, and how many may be, in one line.
    pub(super) fn summary(self) -> String {
        let all = self.all();
        let Self {
            limit,
            files,
            callers,
            admin,
            upstreams,
        } = self;
        format!(
            "descriptors: at most {all} of {limit}; callers {callers}, admin address {admin}, upstreams {upstreams}, \
             others {files}"
        )
    }

    /// A warning if there are not enough.
    pub(super) fn warning(self, limits: &ServerLimits) -> Option<String> {
        if self.all() <= self.limit {
            return None;
        }
        let connections = self.connections();
        let Self {
            limit,
            callers,
            admin,
            upstreams,
            ..
        } = self;
        let within = self.within(limits).max_connections;
        Some(format!(
            "expected descriptors for {connections} connections, {callers} of callers (limits.max_connections), {admin} \
             to the admin address (limits.max_admin_connections) and {upstreams} to upstreams (twice max_connections of \
             each client), got a limit of {limit} open files: at most {within} connections of callers are open at a \
             time; raise the limit (LimitNOFILE, ulimit -Hn), or lower these settings"
        ))
    }
}

/// The connections to upstreams that the clients of `config` may have.
fn upstreams(config: &Config) -> usize {
    let each = config.clients.iter().map(|client| {
        // As many may be idle or being opened as are in use.
        client.limits.max_connections.saturating_mul(2)
    });
    each.fold(0, usize::saturating_add)
}

/// The descriptors of a service whose clients are replaced while it runs. What callers may take stays as it was at the
/// start.
#[derive(Debug)]
pub(super) struct DescriptorWatch {
    started: Descriptors,
    /// The connections to upstreams of the last load.
    upstreams: AtomicUsize,
}

impl DescriptorWatch {
    /// That of a service which was started with `descriptors` for `limits`.
    pub(super) fn new(descriptors: Descriptors, limits: &ServerLimits) -> Self {
        let within = descriptors.within(limits);
        Self {
            started: Descriptors {
                callers: within.max_connections,
                admin: descriptors.admin.min(within.max_admin_connections),
                ..descriptors
            },
            upstreams: AtomicUsize::new(descriptors.upstreams),
        }
    }

    /// How many could be open at the start, and how many may be, in one line.
    pub(super) fn summary(&self) -> String {
        self.started.summary()
    }

    /// A warning if there are not enough for the clients of `config`, which have been loaded now, and they may have
    /// another number of connections than those before.
    pub(super) fn warning(&self, config: &Config) -> Option<String> {
        let upstreams = upstreams(config);
        if self.upstreams.swap(upstreams, Ordering::Relaxed) == upstreams {
            return None;
        }
        let now = Descriptors {
            upstreams,
            ..self.started
        };
        if now.all() <= now.limit {
            return None;
        }
        let connections = now.connections();
        let Descriptors {
            limit,
            callers,
            admin,
            ..
        } = now;
        Some(format!(
            "expected descriptors for {connections} connections after the reload, {callers} of callers, {admin} to the \
             admin address and {upstreams} to upstreams (twice max_connections of each client), got a limit of {limit} \
             open files, so connections to upstreams may fail: restart, after raising the limit (LimitNOFILE, ulimit \
             -Hn) or lowering these settings"
        ))
    }
}

#[cfg(test)]
mod tests {
    use oneflight::config::ClientConfig;

    use super::*;

    fn of(limit: usize) -> Descriptors {
        Descriptors {
            limit,
            files: 40,
            callers: 8_000,
            admin: 100,
            upstreams: 512,
        }
    }

    #[test]
    fn where_there_are_too_few_descriptors_some_are_kept_for_the_admin_address_and_upstreams() {
        let limits = ServerLimits::default();
        for (limit, callers, admin) in [
            (0, 1, 1),
            (64, 15, 3),
            (1_024, 638, 100),
            (8_651, 7_999, 100),
            (8_652, 8_000, 100),
            (usize::MAX, 8_000, 100),
        ] {
            let within = of(limit).within(&limits);
            let connections = (within.max_connections, within.max_admin_connections);
            assert_eq!(connections, (callers, admin), "{limit}");
        }
    }

    #[test]
    fn a_warning_names_what_to_raise_and_what_to_lower() {
        let limits = ServerLimits::default();
        assert_eq!(of(8_652).warning(&limits), None);
        let warning = of(1_024).warning(&limits).unwrap();
        for part in [
            "8612 connections",
            "at most 638 connections of callers",
            "LimitNOFILE",
            "limits.max_connections",
        ] {
            assert!(warning.contains(part), "{warning}");
        }
    }

    #[test]
    fn a_reload_that_changes_the_connections_to_upstreams_is_warned_of_once_if_they_do_not_fit() {
        let clients = |count: usize| {
            let clients = (0..count).map(|n| ClientConfig::new(&format!("c{n}")));
            Config {
                clients: clients.collect(),
                ..Config::default()
            }
        };
        let watch = DescriptorWatch::new(of(8_652), &ServerLimits::default());
        assert_eq!(watch.warning(&clients(2)), None, "the same as at the start");
        let warning = watch.warning(&clients(3)).unwrap();
        assert!(warning.contains("8868 connections"), "{warning}");
        assert!(warning.contains("768 to upstreams"), "{warning}");
        assert_eq!(watch.warning(&clients(3)), None, "the same as before");
        assert_eq!(watch.warning(&clients(2)), None, "they fit");
        assert!(watch.warning(&clients(3)).is_some());
    }
}

//! What this process takes of the machine, as the kernel tells it.

/// A look at the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Memory that it holds, in bytes.
    pub resident_bytes: u64,
    /// Most memory that it ever held, in bytes.
    pub resident_peak_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors; none where the kernel does not list them.
    pub open_descriptors: Option<u64>,
}

impl Process {
    /// Looks; `None` where the kernel does not say (`/proc` is not mounted).
    pub fn look() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        // The walk has a descriptor of its own.
        let open = std::fs::read_dir("/proc/self/fd").ok().map(|all| (all.count() as u64).saturating_sub(1));
        Some(Self { open_descriptors: open, ..Self::read(&status) })
    }

    /// Reads the lines of `/proc/self/status` (proc(5)).
    fn read(status: &str) -> Self {
        let number = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let kib = |name: &str| number(name).unwrap_or(0).saturating_mul(1024);
        Self {
            resident_bytes: kib("VmRSS"),
            resident_peak_bytes: kib("VmHWM"),
            threads: number("Threads").unwrap_or(0),
            open_descriptors: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_kernel_are_read() {
        let status = "Name:\ttidegate\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\nThreads:\t7\n";
        let process = Process::read(status);
        assert_eq!((process.resident_bytes, process.resident_peak_bytes, process.threads), (1 << 20, 2 << 20, 7));
        assert_eq!(Process::read("VmRSS: much kB\n"), Process::default());
        let here = Process::look().expect("Linux");
        assert!(here.resident_bytes > 1 << 20 && here.threads > 0 && here.open_descriptors > Some(2), "{here:?}");
    }
}

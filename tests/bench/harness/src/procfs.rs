//! What Linux reports about memory below `/proc`.

use std::fs;

use anyhow::Context;

/// Resident bytes of this process.
///
/// # Errors
///
/// The system has no `/proc/self/smaps_rollup`.
pub fn resident() -> anyhow::Result<u64> {
    let file = "/proc/self/smaps_rollup";
    let sums = fs::read_to_string(file).with_context(|| format!("read {file}"))?;
    let kibibytes = field(&sums, "Rss:").with_context(|| format!("{file} has no Rss"))?;
    Ok(kibibytes << 10)
}

/// The number after `name`, at the start of a line, in one of the kernel's lists.
pub fn field(list: &str, name: &str) -> Option<u64> {
    let line = list.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_field_is_found_by_the_start_of_its_line() {
        let list = "SwapTotal:  1 kB\nTotal:   23 kB\nEmpty:\n";
        assert_eq!(field(list, "Total:"), Some(23));
        assert_eq!(field(list, "Empty:"), None);
        assert_eq!(field(list, "Absent:"), None);
    }
}

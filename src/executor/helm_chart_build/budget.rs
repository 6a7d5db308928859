//! How much a chart may hold.
//!
//! 5 MiB a file and 100 MiB altogether are helm's own limits (`MaxDecompressedFileSize`, `MaxDecompressedChartSize`): a chart past them
//! could be pushed and then installed by nobody. Helm has no limit on the number of files; ours keeps a runner from drowning in one.

/// Longest file.
pub(crate) const MAX_FILE: u64 = 5 << 20;
/// Everything unpacked, subcharts and their archives included; the limit itself is too much already, as for helm.
pub(crate) const MAX_TOTAL: u64 = 100 << 20;
/// Most files, subcharts included.
pub(crate) const MAX_FILES: usize = 10_000;
/// Most folder entries looked at, ignored ones included.
pub(crate) const MAX_VISITED: usize = 200_000;
/// Charts within charts.
pub(crate) const MAX_DEPTH: usize = 32;

/// A chart that is too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMuch {
    /// One file.
    #[error("'{file}' has {size} bytes; a file of a chart may have 5 MiB (helm's limit): list it in .helmignore or keep it elsewhere")]
    File { file: String, size: u64 },
    /// All of them.
    #[error("the chart has 100 MiB or more unpacked, at '{file}'; helm installs no such chart: list what it does not need in .helmignore")]
    Total { file: String },
    /// Their number.
    #[error("the chart has more than 10000 files, at '{file}'; list what it does not need in .helmignore")]
    Files { file: String },
    /// The folder as a whole.
    #[error(
        "the chart folder has more than 200000 entries, at '{file}'; list folders it does not need in .helmignore, each with a '/' at its end"
    )]
    Visited { file: String },
    /// Nesting.
    #[error("subcharts are nested more than 32 deep, at '{file}'; take the innermost ones out")]
    Depth { file: String },
}

/// What is left of the limits. One for a chart and everything in it.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    bytes: u64,
    files: usize,
    visits: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: MAX_TOTAL, files: MAX_FILES, visits: MAX_VISITED }
    }
}

impl Budget {
    /// Takes one file of `size` bytes.
    pub(crate) fn take(&mut self, file: &str, size: u64) -> Result<(), TooMuch> {
        if size > MAX_FILE {
            return Err(TooMuch::File { file: file.to_owned(), size });
        }
        self.files = self.files.checked_sub(1).ok_or_else(|| TooMuch::Files { file: file.to_owned() })?;
        self.bytes = self.bytes.checked_sub(size).filter(|left| *left > 0).ok_or_else(|| TooMuch::Total { file: file.to_owned() })?;
        Ok(())
    }

    /// Looks at one more folder entry.
    pub(crate) fn visit(&mut self, file: &str) -> Result<(), TooMuch> {
        self.visits = self.visits.checked_sub(1).ok_or_else(|| TooMuch::Visited { file: file.to_owned() })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_are_helms() {
        let mut budget = Budget::default();
        assert_eq!(budget.take("a", MAX_FILE), Ok(()));
        assert!(matches!(budget.take("a", MAX_FILE + 1), Err(TooMuch::File { .. })));
        for _ in 0..18 {
            assert_eq!(budget.take("a", MAX_FILE), Ok(()));
        }
        assert!(matches!(budget.take("last", MAX_FILE), Err(TooMuch::Total { .. })), "exactly 100 MiB is too much");
        let mut budget = Budget::default();
        assert!((0..MAX_FILES).all(|_| budget.take("a", 0).is_ok()));
        assert!(matches!(budget.take("a", 0), Err(TooMuch::Files { .. })));
    }
}

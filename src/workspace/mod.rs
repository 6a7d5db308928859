//! Private folder of an execution. Placeholder.

/// A private folder.
#[derive(Debug)]
pub struct Workspace {
    root: std::path::PathBuf,
}

impl Workspace {
    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &std::path::Path {
        &self.root
    }
}

//! Reading a chart folder, as helm does: sorted, `.helmignore` applied, links followed – but never out of the source it belongs to.
//!
//! In: the source root (checkout or user's folder) and the chart's path in it. Out: files by their path relative to the chart.
//! Invariants: nothing outside the root is read; a link that leads there, a loop or a special file is an error that names it; `.git` is never
//! packed. Nothing is written.

use std::{
    fs::{self, Metadata},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::{executor::shared, job::FailureKind};

use super::{
    archive::File,
    budget::{Budget, MAX_FILE, TooMuch},
    ignore::{self, IgnoreError, Rules},
};

/// A folder that is no chart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("'{path}' is not a folder of the source")]
    NoFolder { path: String },
    #[error("the folder '{path}' lies outside of the source")]
    Outside { path: String },
    #[error("link '{link}' leads out of the source to '{target}'; replace it by a copy, or list it in .helmignore")]
    LinkOut { link: String, target: String },
    #[error("link '{link}' cannot be followed: {source}; repair or remove it")]
    BrokenLink { link: String, source: io::Error },
    #[error("link '{link}' leads back to a folder it lies in; remove it")]
    Loop { link: String },
    #[error("'{file}' is {what}, not a file; remove it, or list it in .helmignore")]
    Special { file: String, what: &'static str },
    #[error("the name '{file}' is not UTF-8; rename the file")]
    NotText { file: String },
    #[error(transparent)]
    Ignore(#[from] IgnoreError),
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    #[error("'{file}' cannot be read: {source}")]
    Io { file: String, source: io::Error },
}

impl FolderError {
    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::NoFolder { .. } => FailureKind::SourceNotFound,
            Self::TooMuch(_) => FailureKind::LimitExceeded,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => FailureKind::DiskFull,
            Self::Io { .. } => FailureKind::Io,
            Self::Outside { .. }
            | Self::LinkOut { .. }
            | Self::BrokenLink { .. }
            | Self::Loop { .. }
            | Self::Special { .. }
            | Self::NotText { .. }
            | Self::Ignore(_) => FailureKind::InvalidSource,
        }
    }
}

/// A chart folder within its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChartFolder {
    /// Real path of the source.
    root: PathBuf,
    /// Real path of the chart.
    path: PathBuf,
}

struct Walk<'a> {
    folder: &'a ChartFolder,
    rules: Rules,
    budget: &'a mut Budget,
    files: Vec<File>,
    /// Real paths of the folders the walk is in.
    inside: Vec<PathBuf>,
}

impl ChartFolder {
    /// The folder `path`, absolute or relative to it, of the source at `root`.
    pub(crate) fn open(root: &Path, path: &Path) -> Result<Self, FolderError> {
        let root = fs::canonicalize(root).map_err(|source| FolderError::Io { file: "the source".to_owned(), source })?;
        Self { path: root.clone(), root }.relative(path)
    }

    /// Another folder of the same source, by a path relative to this one (`file://` dependencies).
    pub(crate) fn relative(&self, path: &Path) -> Result<Self, FolderError> {
        let shown = || if path.as_os_str().is_empty() { ".".to_owned() } else { path.display().to_string() };
        let found = fs::canonicalize(self.path.join(path)).map_err(|_| FolderError::NoFolder { path: shown() })?;
        if !found.starts_with(&self.root) {
            return Err(FolderError::Outside { path: shown() });
        }
        if !found.is_dir() {
            return Err(FolderError::NoFolder { path: shown() });
        }
        Ok(Self { root: self.root.clone(), path: found })
    }

    /// Every file that belongs to the chart, in helm's order.
    pub(crate) fn read(&self, budget: &mut Budget) -> Result<Vec<File>, FolderError> {
        let mut walk = Walk { folder: self, rules: Rules::default(), budget, files: Vec::new(), inside: vec![self.path.clone()] };
        if let Some(rules) = walk.ignore_file()? {
            walk.rules = rules;
        }
        walk.enter(&self.path, "")?;
        Ok(walk.files)
    }
}

impl Walk<'_> {
    fn ignore_file(&mut self) -> Result<Option<Rules>, FolderError> {
        let path = self.folder.path.join(ignore::FILE);
        if fs::symlink_metadata(&path).is_err() {
            return Ok(None);
        }
        let (real, metadata) = self.follow(&path, ignore::FILE)?;
        if !metadata.is_file() {
            return Err(FolderError::Special { file: ignore::FILE.to_owned(), what: shared::special(metadata.file_type()) });
        }
        Ok(Some(Rules::parse(&read(&real, ignore::FILE)?)?))
    }

    /// The file or folder at the end of all links, which has to be inside the source.
    fn follow(&self, path: &Path, name: &str) -> Result<(PathBuf, Metadata), FolderError> {
        let broken = |source| FolderError::BrokenLink { link: name.to_owned(), source };
        let real = fs::canonicalize(path).map_err(broken)?;
        if !real.starts_with(&self.folder.root) {
            let target = fs::read_link(path).unwrap_or(real);
            return Err(FolderError::LinkOut { link: name.to_owned(), target: target.to_string_lossy().into_owned() });
        }
        let metadata = fs::metadata(&real).map_err(broken)?;
        Ok((real, metadata))
    }

    fn enter(&mut self, folder: &Path, name: &str) -> Result<(), FolderError> {
        let failed = |source| FolderError::Io { file: if name.is_empty() { ".".to_owned() } else { name.to_owned() }, source };
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            self.budget.visit(&join(name, &entry.file_name().to_string_lossy()))?;
            names.push(entry.file_name());
        }
        names.sort_unstable();
        for part in names {
            if part == ".git" {
                continue;
            }
            let path = folder.join(&part);
            match part.to_str() {
                Some(part) => self.entry(&path, &join(name, part))?,
                None => return Err(FolderError::NotText { file: join(name, &part.to_string_lossy()) }),
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: &str) -> Result<(), FolderError> {
        let failed = |source| FolderError::Io { file: name.to_owned(), source };
        let metadata = fs::symlink_metadata(path).map_err(failed)?;
        let is_link = metadata.file_type().is_symlink();
        let (real, metadata) = if is_link {
            match self.follow(path, name) {
                // A link out of the source that is not to be packed does no harm.
                Err(FolderError::LinkOut { .. }) if self.rules.ignores(name, path.is_dir()) => return Ok(()),
                followed => followed?,
            }
        } else {
            (path.to_owned(), metadata)
        };
        if self.rules.ignores(name, metadata.is_dir()) {
            return if name == "Chart.yaml" { Err(IgnoreError::ChartYaml.into()) } else { Ok(()) };
        }
        if metadata.is_dir() {
            if is_link && self.inside.contains(&real) {
                return Err(FolderError::Loop { link: name.to_owned() });
            }
            self.inside.push(real.clone());
            self.enter(&real, name)?;
            self.inside.pop();
            return Ok(());
        }
        if !metadata.is_file() {
            return Err(FolderError::Special { file: name.to_owned(), what: shared::special(metadata.file_type()) });
        }
        self.budget.take(name, metadata.len())?;
        let data = read(&real, name)?;
        if data.len() as u64 > metadata.len() {
            self.budget.take(name, data.len() as u64 - metadata.len())?;
        }
        self.files.push(File::new(name.to_owned(), data));
        Ok(())
    }
}

/// A file of at most [`MAX_FILE`] bytes, even if it grows while it is read.
fn read(path: &Path, name: &str) -> Result<Vec<u8>, FolderError> {
    let failed = |source| FolderError::Io { file: name.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let mut data = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut data).map_err(failed)?;
    let size = data.len() as u64;
    if size > MAX_FILE { Err(TooMuch::File { file: name.to_owned(), size }.into()) } else { Ok(data) }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A source with a chart in `chart/` and, beside the source, a folder nobody may reach.
    fn source() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, data) in [
            ("src/chart/Chart.yaml", "name: a"),
            ("src/chart/templates/b.yaml", "b"),
            ("src/chart/templates/.swp", "x"),
            ("src/parts/c.yaml", "c"),
            ("secret", "s"),
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            fs::write(path, data).expect("written");
        }
        dir
    }

    fn read_chart(dir: &tempfile::TempDir) -> Result<Vec<String>, String> {
        let folder = ChartFolder::open(&dir.path().join("src"), Path::new("chart")).map_err(|e| e.to_string())?;
        let files = folder.read(&mut Budget::default()).map_err(|e| e.to_string())?;
        Ok(files.into_iter().map(|file| file.name).collect())
    }

    #[test]
    fn files_come_sorted_and_links_inside_the_source_are_copies() {
        let dir = source();
        let chart = dir.path().join("src/chart");
        symlink("../parts", chart.join("parts")).expect("linked");
        symlink("../parts/c.yaml", chart.join("templates/c.yaml")).expect("linked");
        fs::create_dir(chart.join(".git")).expect("created");
        fs::write(chart.join(".git/config"), "x").expect("written");
        assert_eq!(
            read_chart(&dir),
            Ok(["Chart.yaml", "parts/c.yaml", "templates/b.yaml", "templates/c.yaml"].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn links_that_lead_out_dangle_or_loop_are_named() {
        let dir = source();
        let link = dir.path().join("src/chart/link");
        for (target, message) in [
            ("../../secret", "link 'link' leads out of the source to '../../secret'; replace it by a copy, or list it in .helmignore"),
            ("nowhere", "link 'link' cannot be followed: No such file or directory (os error 2); repair or remove it"),
            ("link", "link 'link' cannot be followed: Too many levels of symbolic links (os error 40); repair or remove it"),
            (".", "link 'link' leads back to a folder it lies in; remove it"),
            ("..", "link 'link/chart/link' leads back to a folder it lies in; remove it"),
        ] {
            symlink(target, &link).expect("linked");
            let error = read_chart(&dir).expect_err(target);
            assert!(error == message || (target == ".." && error.contains("leads back")), "{error}");
            fs::remove_file(&link).expect("removed");
        }
        symlink("/etc/passwd", &link).expect("linked");
        fs::write(dir.path().join("src/chart/.helmignore"), "link\n").expect("written");
        assert_eq!(read_chart(&dir).map(|files| files.len()), Ok(3), "ignored, so never read");
    }

    #[test]
    fn special_files_and_odd_names_are_refused() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = source();
        let chart = dir.path().join("src/chart");
        let socket = std::os::unix::net::UnixListener::bind(chart.join("s.sock")).expect("bound");
        assert_eq!(read_chart(&dir), Err("'s.sock' is a socket, not a file; remove it, or list it in .helmignore".to_owned()));
        drop(socket);
        fs::remove_file(chart.join("s.sock")).expect("removed");
        fs::write(chart.join(std::ffi::OsStr::from_bytes(b"\xffx")), "").expect("written");
        assert_eq!(read_chart(&dir), Err("the name '\u{fffd}x' is not UTF-8; rename the file".to_owned()));
    }

    #[test]
    fn the_path_stays_in_the_source() {
        let dir = source();
        let open = |path: &str| ChartFolder::open(&dir.path().join("src"), Path::new(path)).map_err(|e| e.to_string());
        assert_eq!(open("../"), Err("the folder '../' lies outside of the source".to_owned()));
        assert_eq!(open("/etc"), Err("the folder '/etc' lies outside of the source".to_owned()));
        assert_eq!(open("nope"), Err("'nope' is not a folder of the source".to_owned()));
        assert!(
            open("").is_ok()
                && open("chart")
                    .is_ok_and(|chart| chart.relative(Path::new("../parts")).is_ok() && chart.relative(Path::new("../../")).is_err())
        );
    }
}

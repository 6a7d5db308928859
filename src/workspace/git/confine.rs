//! Keeping `git_source.path` inside the source.

use std::path::{Component, Path, PathBuf};

use super::Error;

/// `path` as a clean relative path; empty for the whole source.
pub(super) fn relative(path: &str) -> Result<PathBuf, Error> {
    let refuse =
        |why: &str| Err(Error::Plan { field: "path", why: format!("'{path}' {why}; write it relative to the root of the repository") });
    if path.contains('\0') {
        return refuse("has a NUL in it");
    }
    let mut clean = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir => return refuse("has '..' in it"),
            Component::RootDir | Component::Prefix(_) => return refuse("is absolute"),
        }
    }
    Ok(clean)
}

/// `root/inside`, which must be a folder and, all links followed, inside `root`.
pub(super) fn join(root: &Path, inside: &Path) -> Result<PathBuf, Error> {
    let root = fs_err::canonicalize(root)?;
    let missing = || Error::NotFound { what: format!("the folder '{}'", inside.display()), url: "the source".to_owned(), field: "path" };
    let path = std::fs::canonicalize(root.join(inside)).map_err(|_| missing())?;
    if !path.starts_with(&root) {
        return Err(Error::Content { entry: inside.display().to_string(), why: "is a link that leaves the source".to_owned() });
    }
    if path.is_dir() { Ok(path) } else { Err(missing()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(relative("./charts//app/").expect("fine"), Path::new("charts/app"));
        assert_eq!(relative("").expect("fine"), Path::new(""));
        for bad in ["..", "a/../../b", "/etc", "a\0b"] {
            assert!(matches!(relative(bad), Err(Error::Plan { field: "path", .. })), "{bad:?}");
        }
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(root.path().join("chart")).expect("made");
        std::fs::write(root.path().join("file"), "").expect("written");
        std::os::unix::fs::symlink("/etc", root.path().join("out")).expect("linked");
        std::os::unix::fs::symlink("chart", root.path().join("in")).expect("linked");
        assert!(join(root.path(), Path::new("in")).expect("inside").ends_with("chart"));
        assert!(matches!(join(root.path(), Path::new("out")), Err(Error::Content { .. })));
        assert!(matches!(join(root.path(), Path::new("none")), Err(Error::NotFound { .. })));
        assert!(matches!(join(root.path(), Path::new("file")), Err(Error::NotFound { .. })));
    }
}

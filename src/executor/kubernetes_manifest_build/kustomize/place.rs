//! Where files of a source are, and that they are in it.
//!
//! Invariant: a path that is given out lies inside the source with all links followed. Paths of a plan are relative to `git_source.path`
//! or else to the root; paths in a kustomization to its folder, joined as kustomize does it, by their text alone.

use std::path::{Component, Path, PathBuf};

use crate::job::{Failure, FailureKind};

/// Names kustomize looks for (api/konfig).
pub(super) const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A file or folder of the source, without links.
    Inside(PathBuf),
    /// Nothing, at a place inside of the source.
    Missing,
    /// Something outside of the source.
    Outside,
}

/// What `entry`, written in a file of `folder`, leads to. `root` has no links in it.
pub(super) fn resolve(root: &Path, folder: &Path, entry: &str) -> Place {
    let path = clean(&folder.join(entry));
    if Path::new(entry).is_absolute() || !path.starts_with(root) || entry.contains('\0') {
        return Place::Outside;
    }
    if let Ok(found) = std::fs::canonicalize(&path) {
        return if found.starts_with(root) { Place::Inside(found) } else { Place::Outside };
    }
    // A link to nothing: of a copied source, perhaps to what was beside it.
    if let (Ok(target), Some(parent)) = (std::fs::read_link(&path), path.parent())
        && !clean(&parent.join(target)).starts_with(root)
    {
        return Place::Outside;
    }
    // What is not there yet may still be put there by a tool, through a link that leads out.
    let above = path.ancestors().skip(1).find_map(|folder| std::fs::canonicalize(folder).ok());
    if above.is_some_and(|folder| folder.starts_with(root)) { Place::Missing } else { Place::Outside }
}

/// The path without `.` and `..`, by its text alone (Go's `filepath.Clean`).
fn clean(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut clean, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
        clean
    })
}

/// A path as people know it: relative to the source.
pub(super) fn shown(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    if inside.as_os_str().is_empty() { ".".to_owned() } else { inside.display().to_string() }
}

/// What a path of the plan leads to, from each folder it may be relative to.
pub(super) fn candidates(root: &Path, base: &Path, path: &str) -> Vec<Place> {
    let mut found = vec![resolve(root, base, path)];
    if base != root && !matches!(path.trim_matches('/'), "" | ".") {
        let other = resolve(root, root, path);
        if !found.contains(&other) {
            found.push(other);
        }
    }
    found
}

/// The kustomization files of a folder.
pub(super) fn kustomization_files(folder: &Path) -> Vec<PathBuf> {
    NAMES.iter().map(|name| folder.join(name)).filter(|file| file.is_file()).collect()
}

/// The folder of the kustomization that the plan names.
pub(super) fn kustomization(root: &Path, base: &Path, path: &str) -> Result<PathBuf, Failure> {
    let path = path.trim_start_matches('/');
    let fail = |kind, why: String| Err(Failure::new(kind, format!("kustomize_path '{path}' {why}")));
    let places = candidates(root, base, path);
    // Whoever names the file means its folder.
    let folder = |place: &Place| match place {
        Place::Inside(found) if found.is_dir() => Some(found.clone()),
        Place::Inside(found) if found.file_name().is_some_and(|name| NAMES.iter().any(|known| name == *known)) => {
            found.parent().map(Path::to_owned)
        }
        _ => None,
    };
    let folders: Vec<_> = places.iter().filter_map(folder).collect();
    let built: Vec<_> = folders.iter().filter(|folder| !kustomization_files(folder).is_empty()).collect();
    match (built.as_slice(), folders.first()) {
        ([one], _) => Ok((*one).clone()),
        ([one, other, ..], _) => {
            let (one, other) = (shown(root, one), shown(root, other));
            fail(
                FailureKind::InvalidSource,
                format!("is ambiguous: both '{one}' and '{other}' have a kustomization; rename one, or leave git_source.path empty"),
            )
        }
        ([], Some(folder)) => {
            let folder = shown(root, folder);
            fail(
                FailureKind::InvalidSource,
                format!("names the folder '{folder}' of the source, which has no {}; add one, or name another folder", NAMES.join(", ")),
            )
        }
        ([], None) if places.contains(&Place::Outside) => {
            fail(FailureKind::InvalidSource, "leads out of the source; name a folder of the repository".to_owned())
        }
        ([], None) => {
            let at = if base == root { "the source".to_owned() } else { format!("git_source.path '{}' or the source", shown(root, base)) };
            fail(
                FailureKind::SourceNotFound,
                format!("is not a folder of {at}; write it relative to the root of the repository or to git_source.path"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_source() {
        let outer = tempfile::tempdir().expect("a folder");
        let outer = std::fs::canonicalize(outer.path()).expect("real");
        let root = outer.join("inner");
        std::fs::create_dir_all(root.join("a/b")).expect("made");
        std::fs::write(outer.join("secret"), "x").expect("written");
        std::os::unix::fs::symlink("../secret", root.join("out")).expect("linked");
        std::os::unix::fs::symlink("a", root.join("in")).expect("linked");
        std::os::unix::fs::symlink("..", root.join("up")).expect("linked");
        let a = root.join("a");
        assert_eq!(resolve(&root, &a, "../in/b"), Place::Inside(root.join("a/b")));
        assert_eq!(resolve(&root, &a, "nope/../b"), Place::Inside(root.join("a/b")));
        for out in ["../../secret", "../out", "/etc/passwd", "../up/secret", "../up/new", "../../inner/../secret"] {
            assert_eq!(resolve(&root, &a, out), Place::Outside, "{out}");
        }
        assert_eq!(resolve(&root, &a, "new/file"), Place::Missing);
        assert_eq!(resolve(&root, &a, "../../inner/a"), Place::Inside(root.join("a")));
    }
}

//! Finding context, Dockerfile and other files of the plan in the checked-out source, and keeping them in there.

use std::path::{Component, Path, PathBuf};

use super::{super::shared, dockerfile::Dockerfile};
use crate::{
    job::{Failure, FailureKind},
    plan::DockerBuildPlan,
};

/// Most Dockerfiles that are named when the wanted one is missing.
const MOST_CANDIDATES: usize = 10;
/// Most entries that are looked at to find them, and how deep.
const MOST_ENTRIES: usize = 20_000;
const DEEPEST: usize = 4;

/// What is built, links followed, inside the source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) context: PathBuf,
    pub(crate) dockerfile: PathBuf,
    /// Relative to the root of the source.
    pub(crate) dockerfile_name: String,
}

/// Where the plan's files are looked for.
struct Places<'a> {
    /// The source, canonical: nothing outside of it is ever named.
    root: PathBuf,
    source: &'a shared::Source,
}

/// Finds context and Dockerfile. Blocking.
pub(crate) fn find(source: &shared::Source, plan: &DockerBuildPlan) -> Result<Found, Failure> {
    let places = Places { root: fs_err::canonicalize(&source.root)?, source };
    let context = places.path_of(plan.context.as_deref().unwrap_or_default()).map_err(|failure| failure.context("context"))?;
    let context = context.filter(|path| path.is_dir()).ok_or_else(|| {
        let name = plan.context.as_deref().unwrap_or(".");
        missing("context", &format!("the folder '{name}' is not in the source, relative to git_source.path"))
    })?;
    let wanted = plan.dockerfile.as_deref().unwrap_or("Dockerfile");
    let mut outside = None;
    for base in [source.path.clone(), context.clone()] {
        match places.inside(&base.join(wanted), wanted) {
            Ok(Some(file)) if file.is_file() => {
                let dockerfile_name = file.strip_prefix(&places.root).unwrap_or(&file).display().to_string();
                Dockerfile::check(&file, &dockerfile_name)?;
                return Ok(Found { context, dockerfile: file, dockerfile_name });
            }
            Ok(_) => {}
            Err(failure) => outside = Some(failure),
        }
    }
    if let Some(failure) = outside {
        return Err(failure.context("dockerfile"));
    }
    let found = candidates(&places.root);
    let hint = match found.as_slice() {
        [] => "there is none of that name in the source".to_owned(),
        some => format!("the source has {}", some.join(", ")),
    };
    Err(missing("dockerfile", &format!("'{wanted}' is not a file of the source, relative to git_source.path or to the context; {hint}")))
}

/// A file of the source that the plan names, links followed. Blocking.
pub(crate) fn file(source: &shared::Source, field: &str, name: &str) -> Result<PathBuf, Failure> {
    let places = Places { root: fs_err::canonicalize(&source.root)?, source };
    let found = places.path_of(name).map_err(|failure| failure.context(field))?.filter(|path| path.is_file());
    found.ok_or_else(|| missing(field, &format!("'{name}' is not a file of the source, relative to git_source.path")))
}

impl Places<'_> {
    fn path_of(&self, name: &str) -> Result<Option<PathBuf>, Failure> {
        self.inside(&self.source.path.join(name), name)
    }

    /// `path` with its links followed; `None` when there is nothing, a failure when it is somewhere else.
    fn inside(&self, path: &Path, name: &str) -> Result<Option<PathBuf>, Failure> {
        // Also the text alone may not leave: a folder outside that happens to exist is nobody's business here.
        let outside =
            || Failure::new(FailureKind::InvalidSource, format!("'{name}' leaves the source; name something inside the repository"));
        let plain = normal(path);
        if !plain.starts_with(&self.root) && !plain.starts_with(&self.source.root) {
            return Err(outside());
        }
        let Ok(real) = std::fs::canonicalize(path) else { return Ok(None) };
        if real.starts_with(&self.root) { Ok(Some(real)) } else { Err(outside()) }
    }
}

fn missing(field: &str, why: &str) -> Failure {
    Failure::new(FailureKind::SourceNotFound, format!("{field}: {why}"))
}

/// The path without `.` and `..`, by its text alone.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(normal.pop()),
            other => normal.push(other),
        }
        normal
    })
}

/// Files of the source that look like Dockerfiles, nearest first.
fn candidates(root: &Path) -> Vec<String> {
    let (mut found, mut looked_at) = (Vec::new(), 0);
    let mut level = vec![root.to_owned()];
    for _ in 0..DEEPEST {
        let mut next = Vec::new();
        for folder in level {
            let mut entries: Vec<_> = std::fs::read_dir(&folder).map(|all| all.flatten().collect()).unwrap_or_default();
            entries.sort_by_key(std::fs::DirEntry::file_name);
            for entry in entries {
                looked_at += 1;
                if looked_at > MOST_ENTRIES || found.len() >= MOST_CANDIDATES {
                    return found;
                }
                let name = entry.file_name().to_string_lossy().into_owned();
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() && name != ".git" {
                    next.push(entry.path());
                } else if kind.is_file() && is_dockerfile(&name) {
                    found.push(entry.path().strip_prefix(root).unwrap_or(&entry.path()).display().to_string());
                }
            }
        }
        level = next;
    }
    found
}

fn is_dockerfile(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let ignore = lower.ends_with(".dockerignore");
    !ignore && (lower.starts_with("dockerfile") || lower.starts_with("containerfile") || lower.ends_with(".dockerfile"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(root: &Path, path: &str) -> shared::Source {
        shared::Source {
            root: root.to_owned(),
            path: root.join(path),
            stamp: shared::Stamp::default(),
            git_ref: None,
            info: serde_json::Value::Null,
        }
    }

    fn found(root: &Path, path: &str, context: Option<&str>, dockerfile: Option<&str>) -> String {
        let plan = DockerBuildPlan::plain(context, dockerfile);
        match find(&source(root, path), &plan) {
            Ok(found) => format!("{} {}", found.context.strip_prefix(root).expect("inside").display(), found.dockerfile_name),
            Err(failure) => format!("{}: {}", failure.kind, failure.message),
        }
    }

    #[test]
    fn the_dockerfile_is_in_or_outside_the_context_and_both_in_the_source() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = fs_err::canonicalize(folder.path()).expect("a path").join("repo");
        for name in ["app/src", "other"] {
            fs_err::create_dir_all(root.join(name)).expect("made");
        }
        for name in ["Dockerfile", "app/Dockerfile", "app/src/x.Dockerfile", "../outside"] {
            fs_err::write(root.join(name), "FROM scratch").expect("written");
        }
        std::os::unix::fs::symlink("../../outside", root.join("app/leak")).expect("linked");
        std::os::unix::fs::symlink("../Dockerfile", root.join("app/linked")).expect("linked");

        assert_eq!(found(&root, "", None, None), " Dockerfile");
        assert_eq!(found(&root, "app", None, None), "app app/Dockerfile");
        assert_eq!(found(&root, "app", None, Some("../Dockerfile")), "app Dockerfile");
        assert_eq!(found(&root, "", Some("app"), Some("../Dockerfile")), "app Dockerfile", "relative to the context");
        assert_eq!(found(&root, "", Some("app"), Some("app/Dockerfile")), "app app/Dockerfile");
        assert_eq!(found(&root, "app/src", Some("../.."), Some("x.Dockerfile")), " app/src/x.Dockerfile");
        assert_eq!(found(&root, "app", None, Some("linked")), "app Dockerfile");
        assert!(found(&root, "app", None, Some("leak")).starts_with("InvalidSource: dockerfile: 'leak' leaves the source"));
        assert!(found(&root, "", None, Some("../outside")).starts_with("InvalidSource: dockerfile: '../outside' leaves"));
        assert!(found(&root, "", Some("none"), None).starts_with("SourceNotFound: context: the folder 'none'"));
        let missing = found(&root, "other", None, None);
        assert!(missing.ends_with("the source has Dockerfile, app/Dockerfile, app/src/x.Dockerfile"), "{missing}");
    }
}

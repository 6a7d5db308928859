//! Sources on this machine: folders as they stand and commits of local repositories.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::{path::Path, process::Command};

use build_runner::{
    job::ExecutionId,
    logs::{JobLog, Progress},
    shutdown::Cancel,
    workspace::{
        Cx, Workspace,
        git::{Checkout, Error, Options, Source, SourceKind, checkout},
    },
};

/// Runs git as a person would, in a repository that the runner is to read.
pub(crate) fn git(folder: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always"])
        .args(args)
        .output()
        .expect("git runs");
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

pub(crate) fn write(root: &Path, name: &str, text: &str) {
    let file = root.join(name);
    std::fs::create_dir_all(file.parent().expect("inside")).expect("made");
    std::fs::write(file, text).expect("written");
}

/// A repository with two commits, a tag and a branch; returns the ids.
pub(crate) fn repository(root: &Path) -> (String, String) {
    std::fs::create_dir_all(root).expect("made");
    git(root, &["init", "-q"]);
    write(root, "charts/app/Chart.yaml", "version: 1");
    write(root, ".gitignore", "*.tmp\n");
    git(root, &["add", "."]);
    git(root, &["commit", "-qm", "one"]);
    git(root, &["tag", "-a", "v1", "-m", "v1"]);
    let one = git(root, &["rev-parse", "HEAD"]);
    git(root, &["branch", "feature/x"]);
    write(root, "charts/app/Chart.yaml", "version: 2");
    git(root, &["commit", "-qam", "two"]);
    (one, git(root, &["rev-parse", "HEAD"]))
}

struct Bench {
    folder: tempfile::TempDir,
    workspace: Workspace,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let workspace = Workspace::create(&folder.path().join("state"), &ExecutionId::generate()).expect("made");
        Self { folder, workspace }
    }

    async fn checkout(&self, url: &str, git_ref: Option<&str>, path: &str, dest: &str) -> Result<Checkout, Error> {
        let (cancel, log, progress) = (Cancel::new(), JobLog::discard(), Progress::default());
        let cx = Cx { cancel: &cancel, log: &log, progress: &progress, workspace: &self.workspace };
        let source = Source { url: url.to_owned(), git_ref: git_ref.map(str::to_owned), path: path.to_owned(), recurse_submodules: true };
        let options = Options { local_base: Some(self.folder.path().to_owned()), ..Options::default() };
        checkout(&cx, &source, &options, &self.workspace.root().join(dest)).await
    }
}

#[tokio::test]
async fn a_folder_as_it_stands() {
    let bench = Bench::new();
    let root = bench.folder.path().join("repo");
    let (_, two) = repository(&root);
    write(&root, "charts/app/Chart.yaml", "version: 3, not committed");
    write(&root, "junk.tmp", "ignored");
    let done = bench.checkout("repo", None, "charts/app", "src").await.expect("copied");
    assert_eq!((done.source.kind, done.source.commit), (SourceKind::Folder, Some(two)));
    assert_eq!(std::fs::read_to_string(done.path.join("Chart.yaml")).expect("there"), "version: 3, not committed");
    assert!(!done.root.join("junk.tmp").exists() && !done.root.join(".git").exists() && done.root.join(".gitignore").exists());
}

#[tokio::test]
async fn commits_of_a_local_repository() {
    let bench = Bench::new();
    let root = bench.folder.path().join("repo");
    let (one, two) = repository(&root);
    let url = format!("file://{}", root.display());
    for (number, (name, commit, version)) in [
        ("main", &two, "2"),
        ("v1", &one, "1"),
        ("feature/x", &one, "1"),
        (&*one, &one, "1"),
        (&one[..9], &one, "1"),
        ("refs/heads/main", &two, "2"),
        ("HEAD", &two, "2"),
    ]
    .into_iter()
    .enumerate()
    {
        let done = bench.checkout(&url, Some(name), "charts/app", &format!("src{number}")).await;
        let done = done.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(done.source.commit.as_ref(), Some(commit), "{name}");
        assert_eq!(std::fs::read_to_string(done.path.join("Chart.yaml")).expect("there"), format!("version: {version}"), "{name}");
        assert!(!done.root.join(".git").exists(), "{name}");
        assert_eq!(done.source.kind, SourceKind::Commit, "{name}");
        assert!(done.source.commit_time.is_some(), "{name}");
    }
    // A folder inside of the repository: the same folder of the commit.
    let done = bench.checkout("repo/charts", Some("v1"), "app", "inner").await.expect("checked out");
    assert_eq!(std::fs::read_to_string(done.path.join("Chart.yaml")).expect("there"), "version: 1");
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let bench = Bench::new();
    let root = bench.folder.path().join("repo");
    repository(&root);
    for (url, name, path, expected) in [
        ("repo", Some("nope"), "", "a branch or tag 'nope' was not found"),
        (
            "repo",
            Some("0123456789abcdef0123456789abcdef01234567"),
            "",
            "the commit '0123456789abcdef0123456789abcdef01234567' was not found",
        ),
        ("repo", Some("abcdef1"), "", "a branch, a tag or a single commit 'abcdef1' was not found"),
        ("repo", Some("refs/pull/1/head"), "", "the ref 'refs/pull/1/head' was not found"),
        ("elsewhere", None, "", "the folder was not found"),
        ("repo", None, "charts/none", "the folder 'charts/none' was not found"),
        ("state", Some("main"), "", "is not a git repository; leave it out"),
    ] {
        let error = bench.checkout(url, name, path, &format!("dest-{}", name.unwrap_or("x").replace('/', "-"))).await.expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn submodules_of_a_local_repository() {
    let bench = Bench::new();
    repository(&bench.folder.path().join("library"));
    let root = bench.folder.path().join("repo");
    repository(&root);
    git(&root, &["submodule", "add", "-q", "../library", "vendor/library"]);
    git(&root, &["commit", "-qm", "submodule"]);
    let done = bench.checkout("repo", Some("main"), "vendor/library/charts/app", "src").await.expect("checked out");
    assert_eq!(std::fs::read_to_string(done.path.join("Chart.yaml")).expect("there"), "version: 2");
    assert!(!done.root.join("vendor/library/.git").exists());
}

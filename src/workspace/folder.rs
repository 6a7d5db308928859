//! One private folder and the lock that says it is in use.

use std::{
    fs::TryLockError,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use nix::unistd::{AccessFlags, access};

use super::{Error, remove};
use crate::{
    job::ExecutionId,
    process::{Command, Environment, is_childless, stop_execution},
};

/// Time between SIGTERM and SIGKILL unless told otherwise.
const KILL_GRACE: Duration = Duration::from_secs(10);

/// How long removing a workspace may take; what is left then is swept at the next start.
const REMOVAL: Duration = Duration::from_mins(1);

/// What a state folder consists of, besides files that are private themselves.
const ROOMS: &[&str] = &["cache", "journal", "logs", "receipts", "workspaces"];

/// Makes the state folder if there is none, readable by its owner alone. Where the folder itself is a volume that root gave to this user,
/// that holds for all folders in it.
///
/// # Errors
/// When it cannot be made, or is not ours to close to others.
pub fn open_state(state: &Path) -> Result<(), Error> {
    match private_folder(state) {
        Err(Error::Foreign(_)) if is_given(state) => ROOMS.iter().try_for_each(|room| private_folder(&state.join(room))),
        outcome => outcome,
    }
}

/// Whether root made the folder and lets this user write to it, as Kubernetes mounts its volumes: they are root's, and open to everybody or to the pod's
/// group. Where everybody may write and only the sticky bit keeps users apart, as in `/tmp`, nobody was given anything.
fn is_given(folder: &Path) -> bool {
    const STICKY: u32 = 0o1000;
    let roots = fs_err::metadata(folder).is_ok_and(|metadata| metadata.uid() == 0 && metadata.mode() & STICKY == 0);
    roots && access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// Where the workspaces of a state folder are.
pub(super) fn all(state: &Path) -> PathBuf {
    state.join("workspaces")
}

/// The file whose lock says that the workspace beside it is in use. Ids never begin with a dot, so the two cannot be confused.
pub(super) fn lock_file(root: &Path) -> PathBuf {
    root.with_file_name(format!(".{}.lock", root.file_name().unwrap_or_default().to_string_lossy()))
}

/// The execution that a name in the folder of workspaces stands for: itself, or the one it is the lock of.
pub(super) fn execution_of(name: &str) -> &str {
    name.strip_prefix('.').and_then(|name| name.strip_suffix(".lock")).unwrap_or(name)
}

/// Makes `folder` and its parents, readable by the owner alone; takes away what others may do to an existing one, and the set-group-id bit, which in a
/// volume of a pod everything below would inherit: folders of sources, and so those of images.
pub(super) fn private_folder(folder: &Path) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| std::io::Error::new(error.kind(), format!("the folder '{}' cannot be made: {error}", folder.display())))?;
    let metadata = fs_err::metadata(folder)?;
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(Error::Foreign(folder.to_owned()));
    }
    if metadata.mode() & 0o7077 != 0 {
        fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Takes the lock of a workspace; `None` when another process (or another value of this one) holds it.
pub(super) fn lock(root: &Path) -> Result<Option<fs_err::File>, Error> {
    let path = lock_file(root);
    loop {
        let file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        match file.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // Whoever held it before may have removed the file between our open and our lock: then it guards nothing.
        match std::fs::metadata(&path) {
            Ok(now) if now.ino() == file.metadata()?.ino() => return Ok(Some(file)),
            _ => {}
        }
    }
}

/// The private folder of one execution. Removed by [`Workspace::remove`], or as a last resort when dropped.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    execution: String,
    /// Whether any command may have run in it.
    commanded: AtomicBool,
    /// Between SIGTERM and SIGKILL for its commands.
    kill_grace: Duration,
    /// The lock; gone once the folder is.
    held: Mutex<Option<fs_err::File>>,
}

impl Workspace {
    /// Makes `<state>/workspaces/<execution>`, empty but for a private home and a folder for temporary files.
    /// What an earlier, killed attempt left there goes first.
    ///
    /// # Errors
    /// [`Error::InUse`] when a living runner has it, [`Error::Foreign`] or [`Error::Io`].
    pub fn create(state: &Path, execution: &ExecutionId) -> Result<Self, Error> {
        open_state(state)?;
        let state = fs_err::canonicalize(state)?;
        private_folder(&all(&state))?;
        let root = all(&state).join(execution.as_str());
        let held = lock(&root)?.ok_or_else(|| Error::InUse(root.clone()))?;
        if root.exists() {
            let _ = stop_execution(execution.as_str());
            remove::tree(&root, REMOVAL)?;
        }
        let workspace = Self {
            root,
            execution: execution.to_string(),
            commanded: AtomicBool::new(false),
            kill_grace: KILL_GRACE,
            held: Mutex::new(Some(held)),
        };
        for folder in [workspace.root().to_owned(), workspace.home(), workspace.tmp()] {
            private_folder(&folder)?;
        }
        Ok(workspace)
    }

    /// How long the workspace's commands may take to end after SIGTERM before they are killed.
    #[must_use]
    pub const fn with_kill_grace(mut self, grace: Duration) -> Self {
        self.kill_grace = grace;
        self
    }

    /// See [`Workspace::with_kill_grace`].
    #[must_use]
    pub const fn kill_grace(&self) -> Duration {
        self.kill_grace
    }

    /// The folder itself, absolute and without links.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The execution it belongs to.
    #[must_use]
    pub fn execution(&self) -> &str {
        &self.execution
    }

    /// The state folder it is in.
    #[must_use]
    pub fn state(&self) -> &Path {
        // `<state>/workspaces/<execution>`
        self.root.ancestors().nth(2).unwrap_or(&self.root)
    }

    /// Home of the tools that run for this execution.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// Their temporary files.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// A private folder of that name inside the workspace, made if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        let folder = self.root.join(name);
        private_folder(&folder)?;
        Ok(folder)
    }

    /// The environment of this execution's tools.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.commanded.store(true, Ordering::Relaxed);
        Environment::new(&self.execution, &self.home(), &self.tmp())
    }

    /// A command of this execution, run in the workspace unless told otherwise.
    #[must_use]
    pub fn command(&self, program: impl Into<std::ffi::OsString>) -> Command {
        Command::new(program, &self.environment()).cwd(&self.root).grace(self.kill_grace)
    }

    /// Ends what is left of the execution's processes and removes the folder, read-only parts included. Idempotent; takes a minute
    /// at most.
    ///
    /// # Errors
    /// When something cannot be removed; [`super::sweep()`] tries again at the next start.
    pub async fn remove(&self) -> Result<(), Error> {
        let held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(held) = held else { return Ok(()) };
        let (root, execution) = (self.root.clone(), self.execution());
        let execution = (self.commanded.load(Ordering::Relaxed) && !is_childless()).then(|| execution.to_owned());
        if execution.is_none() && remove::is_trifle(&root) {
            return discard(&root, None, held);
        }
        tokio::task::spawn_blocking(move || discard(&root, execution.as_deref(), held))
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }
}

/// Removes a workspace whose lock is `held`, and then the lock. The processes of `execution` end first, if it may have any: looking for
/// them reads the environment of every process there is.
pub(super) fn discard(root: &Path, execution: Option<&str>, held: fs_err::File) -> Result<(), Error> {
    if let Some(execution) = execution {
        let _ = stop_execution(execution);
    }
    remove::tree(root, REMOVAL)?;
    // Removed while locked: who waits for it sees that its file is no longer the one under the name.
    let _ = std::fs::remove_file(lock_file(root));
    drop(held);
    Ok(())
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(held) = held
            && let Err(error) = discard(&self.root, Some(&self.execution), held)
        {
            tracing::warn!(workspace = %self.root.display(), %error, "workspace left behind until the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("it exists").mode() & 0o7777
    }

    #[tokio::test]
    async fn is_private_exclusive_and_gone_afterwards() {
        let state = tempfile::tempdir().expect("a folder");
        let state = state.path().join("state");
        let id = ExecutionId::generate();
        let workspace = Workspace::create(&state, &id).expect("made");
        for folder in [&state, &all(&state), &workspace.root().to_owned(), &workspace.home(), &workspace.tmp()] {
            assert_eq!(mode(folder), 0o700, "{}", folder.display());
        }
        assert!(matches!(Workspace::create(&state, &id), Err(Error::InUse(_))));
        let sealed = workspace.folder("sealed").expect("made");
        std::fs::write(sealed.join("file"), "x").expect("written");
        std::fs::set_permissions(&sealed, std::fs::Permissions::from_mode(0o500)).expect("sealed");
        workspace.remove().await.expect("removed");
        workspace.remove().await.expect("removed again");
        assert_eq!(std::fs::read_dir(all(&state)).expect("readable").count(), 0);
        drop(Workspace::create(&state, &id).expect("made anew"));
        assert_eq!(std::fs::read_dir(all(&state)).expect("readable").count(), 0);
    }

    #[test]
    fn an_open_state_folder_is_closed_to_others() {
        let state = tempfile::tempdir().expect("a folder");
        for open in [0o755, 0o2700, 0o2777] {
            std::fs::set_permissions(state.path(), std::fs::Permissions::from_mode(open)).expect("opened");
            let workspace = Workspace::create(state.path(), &ExecutionId::generate()).expect("made");
            assert_eq!(mode(state.path()), 0o700);
            assert_eq!(mode(&workspace.folder("source").expect("made")), 0o700);
        }
    }
}

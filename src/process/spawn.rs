//! Turning a [`Command`] into a running child in a session of its own.

use std::{io, path::Path, process::Stdio};

use command_fds::{CommandFdExt as _, FdMapping};
use tokio::process::Child;

use super::{Command, Error, detach, environment::MARKER, group::Group, orphans};

impl Command {
    /// Starts it. Returns the child, its group, and the bytes its standard input is still to be fed with.
    pub(super) fn spawn(self) -> Result<(Child, Group, Vec<u8>), Error> {
        let program = self.name();
        let failed = |source| Error::Spawn { program: program.clone(), source };
        if let Some(folder) = self.cwd.as_deref().filter(|folder| !folder.is_dir()) {
            let text = format!("its folder '{}' does not exist", folder.display());
            return Err(failed(io::Error::new(io::ErrorKind::NotADirectory, text)));
        }
        let marker = self.environment.next_marker();

        #[expect(clippy::disallowed_methods, reason = "this is the one place the lint points everybody else to")]
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.args).env_clear().envs(self.environment.vars()).envs(&self.extra).env(MARKER, &marker);
        if let Some(folder) = &self.cwd {
            command.current_dir(folder);
        }
        command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        detach::into_own_session(&mut command);
        if !self.fds.is_empty() {
            let mappings = self.fds.into_iter().map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect();
            command.fd_mappings(mappings).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        }
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);

        let mut children = orphans::children();
        let child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound if !is_there(&self.program, self.environment.path()) => Error::Missing {
                remedy: self.remedy.clone().unwrap_or_else(|| "install it, or add the folder it is in to PATH".to_owned()),
                program: program.clone(),
            },
            _ => failed(source),
        })?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        children.insert(pid);
        drop(children);
        Ok((child, Group::new(pid, marker), self.stdin.unwrap_or_default()))
    }
}

/// Whether there is a file of that name, so that "not found" must have meant its interpreter.
fn is_there(program: &std::ffi::OsStr, path: &std::ffi::OsStr) -> bool {
    let file = Path::new(program);
    if file.components().count() > 1 { file.exists() } else { std::env::split_paths(path).any(|folder| folder.join(file).exists()) }
}

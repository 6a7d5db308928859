//! A session of its own for every child.

use std::{io, os::unix::process::CommandExt as _};

/// Lets the child call `setsid` before it becomes the program: it leads a session and a process group named by its pid, and has
/// no controlling terminal, so nothing it starts can prompt a person or be hit by the person's Ctrl-C.
#[expect(unsafe_code, reason = "`CommandExt::setsid` is not stable; `pre_exec` is the only other way to a session of one's own")]
pub(super) fn into_own_session(command: &mut std::process::Command) {
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are allowed. setsid(2) is one, and
    // turning its errno into an `io::Error` does not allocate.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from));
    }
}

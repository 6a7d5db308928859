//! Builds whose runner was killed.
//!
//! A polling runner cleans up after itself from its journal. One that runs job files has none: there, the next build finds by the notes of
//! [`super::choice`] what no living runner will clean up. Called by the executor before a build.

use super::{Handle, choice};
use crate::executor::Context;

/// What the names of handles begin with.
pub(super) const PREFIX: &str = "build-runner-";
/// Most builds that are cleaned up after at once.
const MOST: usize = 100;

/// Every noted handle, whichever backend works for it.
fn noted(state: &std::path::Path) -> Vec<String> {
    let notes = std::fs::read_dir(choice::cache_folder(state).join("running")).into_iter().flatten().flatten();
    notes.filter_map(|note| note.file_name().into_string().ok()).collect()
}

/// Handles that are noted while nobody has their workspace: it is made before the note, and removed after the clean-up.
pub(super) fn handles(cx: &Context, state: &std::path::Path) -> Vec<Handle> {
    let Some(workspaces) = cx.workspace.root().parent() else { return Vec::new() };
    let dead = |name: &String| name.strip_prefix(PREFIX).is_some_and(|execution| !workspaces.join(execution).exists());
    noted(state).into_iter().filter(dead).take(MOST).map(|name| Handle { name }).collect()
}

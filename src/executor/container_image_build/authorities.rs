//! Who has to have signed: `verification` of the plan, and the trust root of the runner.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use crate::{
    executor::{Context, shared::blocking},
    job::{Failure, FailureKind, Fault},
    plan::Verification,
    provenance::cosign::{Authorities, MAX_TRUSTED_ROOT},
};

/// Everybody whose signature counts. `root` is the runner's trust root, which is read only when an authority needs it.
pub(super) async fn read(cx: &Context, verification: &Verification, root: Option<PathBuf>) -> Result<Authorities, Failure> {
    let needs_root =
        verification.authorities.iter().filter_map(|authority| authority.keyless.as_ref()).any(|keyless| keyless.trusted_root.is_none());
    let text = match root.filter(|_| needs_root) {
        Some(path) => Some(cx.cancel.run(blocking(move || load(&path))).await???),
        None => None,
    };
    Authorities::of(verification, text.as_deref()).map_err(|error| Failure::new(FailureKind::InvalidPlan, error.to_string()))
}

fn load(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    // One byte more than is taken tells that there is more.
    let read = fs_err::File::open(path).and_then(|file| file.take(MAX_TRUSTED_ROOT as u64 + 1).read_to_string(&mut text));
    read.map_err(|error| Failure::from(error).context("setting trusted_root").blame(Fault::Agent))?;
    Ok(text)
}

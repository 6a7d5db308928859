//! A kustomization of a source to manifests, by the `kustomize` command (or kubectl's copy of it).
//!
//! In: the checked-out source and the plan. Out: what the command wrote, byte for byte. Every kustomization that will be read is looked at
//! first ([`tree`]): what leads out of the source, is fetched from elsewhere against the policy, or needs Helm without leave is refused
//! by file and line before anything runs, and the command reads them as they were understood ([`fair_copy`]). It gets a private environment;
//! exec and KRM functions stay off, as they are by default.
//! Patches of the plan are put on top of the result by a second run, in a folder of their own.
//! Called by the executor.

mod aliases;
mod command;
mod fair_copy;
mod helm;
mod patches;
mod place;
mod references;
mod tree;

use std::path::Path;

pub(super) use command::readiness;

use crate::{
    executor::{Context, shared::blocking},
    job::{Failure, FailureKind},
    plan::{KustomizeConfig, LoadRestrictor, RemoteBases as Wish},
    process,
};

use command::Kustomize;
use patches::Patch;
use tree::{Allowed, Findings};

/// What the runner's owner says about kustomizations that fetch what they are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RemoteBases {
    /// Never.
    Deny,
    /// Unless the plan says no.
    Allow,
    /// When the plan says yes.
    #[default]
    Plan,
}

/// A source and what to build of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// The whole source: a copy of its own, in which kustomizations are written anew.
    pub(super) root: &'a Path,
    /// The folder that the plan's paths are relative to first.
    pub(super) base: &'a Path,
    /// `kustomize_path`.
    pub(super) path: &'a str,
    pub(super) config: Option<&'a KustomizeConfig>,
    /// What the owner says.
    pub(super) owner: RemoteBases,
}

impl Request<'_> {
    fn allowed(&self) -> Allowed {
        let wish = self.config.and_then(|config| config.remote_bases);
        let remote = match self.owner {
            RemoteBases::Deny => false,
            RemoteBases::Allow => wish != Some(Wish::Deny),
            RemoteBases::Plan => wish == Some(Wish::Allow),
        };
        Allowed {
            remote,
            owner_forbids: self.owner == RemoteBases::Deny,
            helm: self.config.is_some_and(|config| config.enable_helm),
            any_file: self.config.is_some_and(|config| config.load_restrictor == LoadRestrictor::None),
        }
    }
}

/// Whether a folder has a kustomization.
pub(super) fn is_kustomization(folder: &Path) -> bool {
    !place::kustomization_files(folder).is_empty()
}

/// Builds the kustomization.
pub(super) async fn render(cx: &Context, request: Request<'_>) -> Result<String, Failure> {
    cx.step("check");
    let allowed = request.allowed();
    let (root, base, path) = (request.root.to_owned(), request.base.to_owned(), request.path.to_owned());
    let wanted = request.config.map(|config| config.patches.clone()).unwrap_or_default();
    let cancel = cx.cancel.clone();
    let look = move || {
        let folder = place::kustomization(&root, &base, &path)?;
        let patches =
            wanted.iter().enumerate().map(|(index, text)| Patch::read(&root, &base, index, text)).collect::<Result<Vec<_>, _>>()?;
        let findings = tree::inspect(&root, &folder, allowed, &cancel)?;
        fair_copy::write(&findings.copies)?;
        Ok::<_, Failure>((folder, patches, findings))
    };
    let (folder, patches, findings) = cx.cancel.run(blocking(look)).await???;
    for secret in &findings.secrets {
        cx.log.add_secret(secret);
    }
    let tool = Kustomize::find(cx, request.root);
    if findings.charts {
        tool.require_helm()?;
    }
    warn(cx, &findings);

    cx.step("kustomize");
    let text = text(tool.build(cx, &folder, allowed, findings.fetches()).await?)?;
    if patches.is_empty() {
        return Ok(text);
    }
    cx.step("patch");
    let (target, cancel) = (cx.workspace.folder("patched").map_err(|error| Failure::new(FailureKind::Io, error.to_string()))?, &cx.cancel);
    let written = target.clone();
    cancel.run(blocking(move || patches::write(&written, &text, &patches))).await???;
    self::text(tool.build(cx, &target, Allowed::default(), false).await?)
}

fn warn(cx: &Context, findings: &Findings) {
    if findings.remote > 0 {
        cx.log.warn(format_args!("{} entries are fetched from elsewhere and are not part of the commit", findings.remote));
    }
    if findings.remote_charts > 0 {
        cx.log.warn(format_args!(
            "{} Helm charts are fetched from their repositories and are not part of the commit",
            findings.remote_charts
        ));
    }
}

fn text(output: process::Finished) -> Result<String, Failure> {
    let program = output.program;
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::new(FailureKind::InvalidSource, format!("{program} wrote something that is not UTF-8 text")))
}

//! The build plans that the hosted control plane has too: container image, Helm, Terraform, Kubernetes manifests.

use std::collections::BTreeMap;

use super::{
    Build, Defect, Registry, Secret,
    envelope::{BuildPlan, require_source},
    macros::{choice, object},
    reader::{Object, Reader},
    syntax::{self, ImageName, SyntaxError},
};

object! {
    /// Copy of an external image.
    #[derive(Debug)]
    pub struct ContainerImagePullPlan {
        /// Image to copy, as it is pulled: `[HOST/]NAME[:TAG][@DIGEST]`; with `repo_config` only a name.
        image: String = ["image"],
        /// Its tag or digest; may be left out when `image` has one or `update_policy` chooses it.
        tag: Option<String> = ["tag"],
        /// Registry it comes from; worked out of `image` when absent.
        repo_config: Option<Registry> = ["repo_config"],
        /// Range of versions, of which the newest tag is taken; it goes before `tag`.
        update_policy: Option<String> = ["update_policy"],
        /// Signatures the image has to have.
        verification: Option<Verification> = ["verification"],
        /// Digest of the last build, to report that nothing changed.
        previous_source_digest: Option<String> = ["previous_source_digest"],
    }
    check check_pull;
}

fn check_pull(value: &ContainerImagePullPlan, object: &Object<'_>, r: &mut Reader<'_>) {
    let name = ImageName::split(&value.image);
    if value.repo_config.is_none() {
        object.check(r, "image", syntax::image(&value.image));
    } else {
        // The registry object says where; tag and digest still count.
        object.check(r, "image", name.check_version());
    }
    match &value.tag {
        Some(tag) => {
            object.check(r, "tag", syntax::tag_or_digest(tag));
            let other = if tag.contains(':') { name.digest } else { name.tag };
            if other.is_some_and(|other| other != tag) {
                object.report(r, "tag", Defect::Contradiction("is not the one that stands in image; keep one of the two"));
            }
        }
        None if value.update_policy.is_none() && name.tag.is_none() && name.digest.is_none() => {
            object.report(r, "tag", Defect::Missing { expected: "the tag of the image, or an update_policy that chooses one" });
        }
        None => {}
    }
    if let Some(range) = &value.update_policy {
        object.check(r, "update_policy", syntax::version_range(range));
        if name.digest.is_some() || value.tag.as_deref().is_some_and(|tag| tag.contains(':')) {
            let why = "has nothing to choose where image or tag is a digest; remove one of them";
            object.report(r, "update_policy", Defect::Contradiction(why));
        }
    }
    if let Some(digest) = &value.previous_source_digest {
        object.check(r, "previous_source_digest", syntax::digest(digest));
    }
}

object! {
    /// Who has to have signed.
    #[derive(Debug)]
    pub struct Verification {
        /// Any one of these suffices.
        authorities: Vec<Authority> = ["authorities"],
    }
    check check_verification;
}

fn check_verification(value: &Verification, object: &Object<'_>, r: &mut Reader<'_>) {
    if value.authorities.is_empty() {
        object.report(
            r,
            "authorities",
            Defect::Missing { expected: "a key or an identity whose signature counts, or remove verification" },
        );
    }
}

object! {
    /// Somebody whose signature counts: a key, or an identity.
    #[derive(Debug)]
    pub struct Authority {
        /// Name for messages.
        name: Option<String> = ["name"],
        /// A public key in PEM.
        key: Option<Secret> = ["key"],
        /// Identities in a certificate.
        keyless: Option<Keyless> = ["keyless"],
    }
    check check_authority;
}

fn check_authority(value: &Authority, object: &Object<'_>, r: &mut Reader<'_>) {
    if value.key.is_some() == value.keyless.is_some() {
        r.report(object.at, Defect::Contradiction("needs either key or keyless"));
    }
}

object! {
    /// Signatures made with a certificate of an identity.
    #[derive(Debug)]
    pub struct Keyless {
        /// Certificate authority: only the one at this address counts, of those in the trust root.
        url: Option<String> = ["url"],
        /// Identities that count.
        identities: Vec<KeylessIdentity> = ["identities"],
        /// Whom to believe about identities and times: a Sigstore `trusted_root.json`; that of the runner when absent.
        trusted_root: Option<Secret> = ["trusted_root"],
    }
    check check_keyless;
}

fn check_keyless(value: &Keyless, object: &Object<'_>, r: &mut Reader<'_>) {
    if value.identities.is_empty() {
        object.report(r, "identities", Defect::Missing { expected: "an identity that counts, with issuer and subject" });
    }
}

object! {
    /// An identity in a certificate.
    #[derive(Debug)]
    pub struct KeylessIdentity {
        /// Who vouches for it.
        issuer: Option<String> = ["issuer"],
        /// Who vouches for it, as a regular expression.
        issuer_regexp: Option<String> = ["issuer_regexp"],
        /// Who it is.
        subject: Option<String> = ["subject"],
        /// Who it is, as a regular expression.
        subject_regexp: Option<String> = ["subject_regexp"],
    }
    check check_identity;
}

fn check_identity(value: &KeylessIdentity, object: &Object<'_>, r: &mut Reader<'_>) {
    let pairs = [
        ("issuer", value.issuer.is_some(), value.issuer_regexp.is_some(), "issuer or issuer_regexp; without it anybody could vouch"),
        ("subject", value.subject.is_some(), value.subject_regexp.is_some(), "subject or subject_regexp; without it anybody would do"),
    ];
    for (name, exact, regex, expected) in pairs {
        match (exact, regex) {
            (false, false) => object.report(r, name, Defect::Missing { expected }),
            (true, true) => object.report(r, name, Defect::Contradiction("stands beside its regular expression; keep one of the two")),
            _ => {}
        }
    }
}

impl BuildPlan for ContainerImagePullPlan {
    const KEY: &'static str = "container_image_pull_plan";

    fn check(_: &Build<Self>, _: &Object<'_>, _: &mut Reader<'_>) {}
}

object! {
    /// A Helm chart.
    #[derive(Debug)]
    pub struct HelmBuildPlan {
        /// Labels of the artifact.
        labels: BTreeMap<String, String> = ["Labels", "labels"],
        /// A chart repository, when the chart does not come from git.
        helm_repo_config: Option<HelmRepoConfig> = ["HelmRepoConfig", "helm_repo_config"],
    }
}

object! {
    /// A chart in a chart repository.
    #[derive(Debug)]
    pub struct HelmRepoConfig {
        /// Address of the repository: http, https or oci.
        repo_url: String = ["RepoURL", "repo_url"],
        /// Name of the chart.
        chart: String = ["Chart", "chart"],
        /// Version or range of versions; the newest stable one when absent.
        version: Option<String> = ["Version", "version"],
    }
    check check_helm_repo;
    blank true;
}

fn check_helm_repo(value: &HelmRepoConfig, object: &Object<'_>, r: &mut Reader<'_>) {
    let wrong_scheme = "the scheme is not one of https, http, oci";
    object.check(r, "RepoURL", syntax::address(&value.repo_url, &["https", "http", "oci"], wrong_scheme));
    if let Some((user, password)) = syntax::userinfo(&value.repo_url) {
        r.secrets.push(if password.is_empty() { user } else { password }.into());
    }
    if value.chart.contains(char::is_whitespace) || value.chart.split('/').any(|part| matches!(part, "" | "." | "..")) {
        let rule = "write its name as the repository's index has it";
        object.report(r, "Chart", SyntaxError::Name { value: syntax::shown(&value.chart), what: "a chart name", rule });
    }
}

impl BuildPlan for HelmBuildPlan {
    const KEY: &'static str = "helm_build_plan";

    fn check(build: &Build<Self>, object: &Object<'_>, r: &mut Reader<'_>) {
        match (&build.git_source, &build.plan.helm_repo_config) {
            (None, None) => {
                let expected = "git_source, or helm_build_plan.HelmRepoConfig with RepoURL and Chart";
                object.report(r, "git_source", Defect::Missing { expected });
            }
            // The hosted control plane fills git_source in all the same; the repository wins there.
            (Some(_), Some(_)) if r.is_job_file() => {
                let why = "is given beside helm_build_plan.HelmRepoConfig; keep the one that the chart comes from";
                object.report(r, "git_source", Defect::Contradiction(why));
            }
            _ => {}
        }
    }
}

choice! {
    /// Whether files with values for variables (`*.tfvars`, `*.tfvars.json`) are packed.
    TerraformValues is "a tfvars policy" {
        /// They stay out: they are the values of one installation, and may be secret.
        Exclude = "exclude",
        /// They are packed.
        Include = "include",
    }
}

object! {
    /// A Terraform module.
    #[derive(Debug)]
    pub struct TerraformBuildPlan {
        /// Labels of the artifact.
        labels: BTreeMap<String, String> = ["Labels", "labels"],
        /// Whether files with values for variables are packed; they are not when absent.
        tfvars: TerraformValues = ["tfvars", "Tfvars"] or TerraformValues::Exclude,
    }
}

impl BuildPlan for TerraformBuildPlan {
    const KEY: &'static str = "terraform_build_plan";

    fn check(build: &Build<Self>, object: &Object<'_>, r: &mut Reader<'_>) {
        require_source(build, object, r);
    }
}

choice! {
    /// Where manifests come from.
    ManifestSource is "a source type" {
        /// Text in the plan.
        Inline = "inline",
        /// A kustomization in git.
        Kustomize = "kustomize",
        /// An artifact somebody else made.
        OciArtifact = "oci_artifact",
    }
}

choice! {
    /// Which files a kustomization may read.
    LoadRestrictor is "a load restrictor" {
        /// Any.
        None = "none",
        /// Those below its own folder.
        RootOnly = "rootOnly",
    }
}

choice! {
    /// Whether a kustomization may fetch bases and files from elsewhere.
    RemoteBases is "a policy for remote bases" {
        /// No: everything comes from the source.
        Deny = "deny",
        /// Yes, unless the owner of the runner forbids it.
        Allow = "allow",
    }
}

object! {
    /// Kubernetes manifests.
    #[derive(Debug)]
    pub struct KubernetesManifestBuildPlan {
        /// Labels of the artifact.
        labels: BTreeMap<String, String> = ["labels"],
        /// Where the manifests come from.
        source_type: ManifestSource = ["source_type"],
        /// The manifests, for `inline`.
        inline_manifest: Option<String> = ["inline_manifest"],
        /// Folder of the kustomization, for `kustomize`.
        kustomize_path: Option<String> = ["kustomize_path"],
        /// How to build the kustomization.
        kustomize_config: Option<KustomizeConfig> = ["kustomize_config"],
        /// The artifact, for `oci_artifact`.
        oci_artifact_source: Option<OciArtifactSource> = ["oci_artifact_source"],
    }
    check check_manifests;
}

fn check_manifests(value: &KubernetesManifestBuildPlan, object: &Object<'_>, r: &mut Reader<'_>) {
    let fields = [
        ("inline_manifest", ManifestSource::Inline, value.inline_manifest.is_some(), true, "the text of the manifests"),
        ("kustomize_path", ManifestSource::Kustomize, value.kustomize_path.is_some(), true, "the folder of the kustomization"),
        ("kustomize_config", ManifestSource::Kustomize, value.kustomize_config.is_some(), false, ""),
        (
            "oci_artifact_source",
            ManifestSource::OciArtifact,
            value.oci_artifact_source.is_some(),
            true,
            "an object with url, and tag or digest",
        ),
    ];
    for (name, owner, given, required, expected) in fields {
        if owner == value.source_type && required && !given {
            object.report(r, name, Defect::Missing { expected });
        }
        if owner != value.source_type && given && r.is_job_file() {
            object.report(r, name, Defect::Contradiction("does not go with this source_type; remove it or change source_type"));
        }
    }
    if let Some(path) = &value.kustomize_path {
        object.check(r, "kustomize_path", syntax::relative_path(path));
    }
}

object! {
    /// How to build a kustomization.
    #[derive(Debug)]
    pub struct KustomizeConfig {
        /// Patches put on top: files of the source, relative as `kustomize_path` is, or the text itself.
        patches: Vec<String> = ["patches"],
        /// Whether Helm charts may be inflated.
        enable_helm: bool = ["enable_helm"] or false,
        /// Which files may be read.
        load_restrictor: LoadRestrictor = ["load_restrictor"] or LoadRestrictor::RootOnly,
        /// Whether bases and files may be fetched from elsewhere; no when absent, unless the owner of the runner says otherwise.
        remote_bases: Option<RemoteBases> = ["remote_bases"],
    }
    check check_kustomize;
}

fn check_kustomize(value: &KustomizeConfig, object: &Object<'_>, r: &mut Reader<'_>) {
    if value.patches.iter().any(|patch| patch.trim().is_empty()) {
        object.report(r, "patches", Defect::Contradiction("has an empty patch; give the file or text of one, or remove it"));
    }
    if value.remote_bases == Some(RemoteBases::Allow) && (value.enable_helm || value.load_restrictor == LoadRestrictor::None) {
        let why = "goes with neither enable_helm nor load_restrictor none: what a remote base reads cannot be checked beforehand";
        object.report(r, "remote_bases", Defect::Contradiction(why));
    }
}

object! {
    /// A manifest artifact in a registry.
    #[derive(Debug)]
    pub struct OciArtifactSource {
        /// Repository, with or without `oci://`.
        url: String = ["url"],
        /// Its tag.
        tag: Option<String> = ["tag"],
        /// Its digest.
        digest: Option<String> = ["digest"],
        /// Credentials for it: a docker config file's content.
        credentials_ref: Option<Secret> = ["credentials_ref"],
    }
    check check_oci_artifact;
}

fn check_oci_artifact(value: &OciArtifactSource, object: &Object<'_>, r: &mut Reader<'_>) {
    object.check(r, "url", syntax::repository(value.url.strip_prefix("oci://").unwrap_or(&value.url)));
    if let Some(tag) = &value.tag {
        object.check(r, "tag", syntax::tag(tag));
    }
    if let Some(digest) = &value.digest {
        object.check(r, "digest", syntax::digest(digest));
    }
    if value.tag.is_none() && value.digest.is_none() {
        object.report(r, "tag", Defect::Missing { expected: "tag or digest" });
    }
}

impl BuildPlan for KubernetesManifestBuildPlan {
    const KEY: &'static str = "kubernetes_manifest_build_plan";

    fn check(build: &Build<Self>, object: &Object<'_>, r: &mut Reader<'_>) {
        if build.plan.source_type == ManifestSource::Kustomize {
            require_source(build, object, r);
        }
    }
}

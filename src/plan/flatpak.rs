//! `flatpak-build` and `flatpak-upload`.

use super::{
    Build, Defect, Secret,
    envelope::{BuildPlan, require_source},
    macros::{choice, object},
    reader::{Object, Reader},
    syntax::{self, SyntaxError},
};

object! {
    /// A Flatpak application or runtime from its manifest.
    #[derive(Debug)]
    pub struct FlatpakBuildPlan {
        /// Manifest in the repository, JSON or YAML.
        manifest: String = ["manifest"],
        /// Branch of the result, instead of the manifest's.
        branch: Option<String> = ["branch"],
        /// Branch of the result when the manifest names none.
        default_branch: Option<String> = ["default_branch"],
        /// Architecture; that of the machine when absent.
        arch: Option<String> = ["arch"],
        /// Subject of the commit.
        subject: Option<String> = ["subject"],
        /// Collection the result belongs to.
        collection_id: Option<String> = ["collection_id"],
        /// Where SDK and runtime come from.
        remotes: Vec<FlatpakRemote> = ["remotes"],
        /// Key that signs the commits.
        sign: Option<FlatpakSign> = ["sign"],
        /// Whether sources, ccache and build stages are kept per manifest.
        state_cache: bool = ["state_cache"] or true,
        /// Whether the modules' tests run.
        run_tests: bool = ["run_tests"] or false,
        /// Whether a single-file bundle is made too.
        bundle: bool = ["bundle"] or false,
        /// Where the result is published.
        publish: Option<FlatpakUploadPlan> = ["publish"],
    }
    check check_flatpak;
}

fn check_flatpak(value: &FlatpakBuildPlan, object: &Object<'_>, r: &mut Reader<'_>) {
    object.check(r, "manifest", syntax::relative_path(&value.manifest));
    let known = ["json", "yaml", "yml"];
    if !value.manifest.rsplit_once('.').is_some_and(|(_, extension)| known.contains(&extension)) {
        object.report(
            r,
            "manifest",
            Defect::Contradiction("is neither JSON nor YAML by its name; use a file that ends in .json, .yaml or .yml"),
        );
    }
    if let Some(arch) = &value.arch {
        object.check(r, "arch", syntax::plain_name(arch, "an architecture"));
    }
    if let Some(id) = &value.collection_id {
        object.check(r, "collection_id", app_id(id));
    }
    if value.publish.as_ref().is_some_and(|publish| publish.source.is_some()) {
        object.report(r, "publish", Defect::Contradiction("must not have a source, which is this build; remove publish.source"));
    }
    let mut names = Vec::new();
    for remote in &value.remotes {
        if names.contains(&&remote.name) {
            let name = syntax::shown(&remote.name);
            object.report(
                r,
                "remotes",
                Defect::Reference { problem: "a second remote is called", name, remedy: "give every remote its own name".into() },
            );
        }
        names.push(&remote.name);
    }
}

/// At least two parts, as D-Bus names have them.
fn app_id(text: &str) -> Result<(), SyntaxError> {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    if text.len() <= 255 && text.split('.').count() >= 2 && text.split('.').all(part) {
        return Ok(());
    }
    Err(SyntaxError::Name {
        value: syntax::shown(text),
        what: "a reverse-DNS name",
        rule: "write at least two parts with dots between them, such as org.example.App",
    })
}

object! {
    /// A Flatpak remote.
    #[derive(Debug)]
    pub struct FlatpakRemote {
        /// Name of it here.
        name: String = ["name"],
        /// Address; in a job file also a folder.
        url: String = ["url"],
        /// Its public key: base64 of the binary form.
        gpg_key: Option<String> = ["gpg_key"],
    }
    check check_remote;
}

fn check_remote(value: &FlatpakRemote, object: &Object<'_>, r: &mut Reader<'_>) {
    object.check(r, "name", syntax::plain_name(&value.name, "a remote name"));
    check_place(&value.url, "url", object, r);
}

/// An address, or a folder: whether a job may name one is not for the plan to say, see [`crate::plan::Decoded::folders`].
fn check_place(text: &str, name: &str, object: &Object<'_>, r: &mut Reader<'_>) {
    let local = !text.contains("://") || text.starts_with("file:///");
    if local {
        object.is_local_path(r, name);
    } else {
        object.check(r, name, syntax::address(text, &["https", "http"], "the scheme is not one of https, http, file"));
    }
}

object! {
    /// A key that signs.
    #[derive(Debug)]
    pub struct FlatpakSign {
        /// Its id.
        key_id: String = ["key_id"],
        /// The keyring it is in.
        gpg_home: Option<Secret> = ["gpg_home"],
    }
}

object! {
    /// An OSTree repository sent to a flat-manager server.
    #[derive(Debug)]
    pub struct FlatpakUploadPlan {
        /// Address of the server.
        server: String = ["server"],
        /// Token that lets us in.
        token: Secret = ["token"],
        /// Repository of the server that it is published in.
        repo: String = ["repo"],
        /// What is sent.
        source: Option<FlatpakSource> = ["source"],
        /// Patterns of refs; applications, runtimes and screenshots when empty.
        refs: Vec<String> = ["refs"],
        /// Application it belongs to.
        app_id: Option<String> = ["app_id"],
        /// Where people find the log.
        build_log_url: Option<String> = ["build_log_url"],
        /// Other ids that may be in the build.
        extra_ids: Vec<String> = ["extra_ids"],
        /// Type of token that downloads of it need.
        token_type: Option<i64> = ["token_type"],
        /// Why it is no longer maintained.
        end_of_life: Option<String> = ["end_of_life"],
        /// What takes its place.
        end_of_life_rebase: Option<String> = ["end_of_life_rebase"],
        /// A build of the server to go on with.
        build_id: Option<i64> = ["build_id"],
        /// Whether the build is committed.
        commit: bool = ["commit"] or true,
        /// Whether it is published.
        publish: bool = ["publish"] or true,
        /// Whether to wait until it is.
        wait: bool = ["wait"] or true,
        /// What happens to the server's build when this one fails.
        on_failure: OnFailure = ["on_failure"] or OnFailure::Purge,
    }
    check check_upload;
}

choice! {
    /// What happens to a server's build when its job fails.
    OnFailure is "a reaction" {
        /// It is removed.
        Purge = "purge",
        /// It stays, to be gone on with.
        Keep = "keep",
    }
}

object! {
    /// What is sent.
    #[derive(Debug)]
    pub struct FlatpakSource {
        /// OSTree repository: a folder (job files only) or an address.
        ostree_repo: String = ["ostree_repo"],
    }
    check check_source;
}

fn check_source(value: &FlatpakSource, object: &Object<'_>, r: &mut Reader<'_>) {
    check_place(&value.ostree_repo, "ostree_repo", object, r);
}

fn check_upload(value: &FlatpakUploadPlan, object: &Object<'_>, r: &mut Reader<'_>) {
    object.check(r, "server", syntax::address(&value.server, &["https", "http"], "the scheme is not one of https, http"));
    if let Some(url) = &value.build_log_url {
        object.check(r, "build_log_url", syntax::address(url, &["https", "http"], "the scheme is not one of https, http"));
    }
    for (name, id) in value.app_id.iter().map(|id| ("app_id", id)).chain(value.extra_ids.iter().map(|id| ("extra_ids", id))) {
        object.check(r, name, app_id(id));
    }
    if value.publish && !value.commit && value.build_id.is_none() {
        object.report(
            r,
            "commit",
            Defect::Contradiction("is false, but only a committed build can be published; set publish to false too"),
        );
    }
}

impl BuildPlan for FlatpakBuildPlan {
    const KEY: &'static str = "flatpak_build_plan";

    fn check(build: &Build<Self>, object: &Object<'_>, r: &mut Reader<'_>) {
        require_source(build, object, r);
    }
}

impl BuildPlan for FlatpakUploadPlan {
    const KEY: &'static str = "flatpak_upload_plan";

    fn check(build: &Build<Self>, object: &Object<'_>, r: &mut Reader<'_>) {
        if build.plan.source.is_none() && build.plan.build_id.is_none() {
            let expected = "flatpak_upload_plan.source with ostree_repo, or build_id to go on with a build";
            object.report(r, Self::KEY, Defect::Missing { expected });
        }
    }
}

//! From the plan to a [`Request`]: arguments, secrets as files, the credentials that base images may be pulled with.

use std::{
    collections::BTreeMap,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    CacheOptions, Network, RegistryCredential, Request,
    source::{self, Found},
};
use crate::{
    executor::{
        Context, DockerSettings,
        shared::{Source, blocking},
    },
    job::{Failure, FailureKind},
    oci::{self, Location, Repository},
    plan::{BuildNetwork, DockerBuildPlan, Registry},
};

/// The argument that dates everything in an image (reproducible-builds.org, "`SOURCE_DATE_EPOCH` specification").
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Makes the request of a checked-out source.
pub(crate) async fn make(cx: &Context, plan: &DockerBuildPlan, settings: &DockerSettings, source: &Source) -> Result<Request, Failure> {
    let Found { context, dockerfile, dockerfile_name } = {
        let (source, plan) = (source.clone(), plan.clone());
        cx.cancel.run(blocking(move || source::find(&source, &plan))).await???
    };
    let ssh_agent = match (plan.ssh, &settings.ssh_agent) {
        (false, _) => None,
        (true, Some(socket)) => {
            listens(socket).await?;
            // Tools run in folders of their own.
            Some(std::path::absolute(socket)?)
        }
        (true, None) => {
            let text = "ssh: this runner gives builds no ssh agent; set docker_ssh_agent to its socket, or leave ssh out of the plan";
            return Err(Failure::new(FailureKind::InvalidPlan, text));
        }
    };
    let cache = plan.cache.as_ref();
    let own = cx.oci.settings();
    Ok(Request {
        context,
        dockerfile,
        dockerfile_name,
        build_args: build_args(plan, source.stamp.epoch()),
        target: plan.target.clone(),
        labels: plan.labels.clone(),
        platforms: plan.platforms.clone(),
        secrets: secrets(cx, plan)?,
        ssh_agent,
        network: match plan.network {
            BuildNetwork::Default => Network::Default,
            BuildNetwork::None => Network::None,
            BuildNetwork::Host => Network::Host,
        },
        cache: CacheOptions {
            local: cache.is_none_or(|cache| cache.local),
            import: cache.map(|cache| cache.from.clone()).unwrap_or_default(),
            export: cache.and_then(|cache| cache.to.clone()),
        },
        sbom_generator: plan.sbom_generator.clone(),
        epoch: source.stamp.epoch(),
        registries: credentials(cx, &plan.registries).await?,
        plain_http_hosts: own.hosts.iter().filter(|(_, host)| host.plain_http).map(|(name, _)| name.clone()).collect(),
        ca_file: own.ca_file.clone(),
        out: cx.workspace.root().join("image"),
    })
}

/// Refuses an agent that is not there before a step asks it in vain.
async fn listens(socket: &Path) -> Result<(), Failure> {
    let Err(error) = tokio::net::UnixStream::connect(socket).await else { return Ok(()) };
    let place = socket.display();
    let text = format!(
        "ssh: no ssh agent listens at '{place}', as docker_ssh_agent has it: {error}; start it, or correct the setting of this runner"
    );
    Err(Failure::new(FailureKind::Io, text))
}

/// Those of the plan that have a value; null means the Dockerfile's default. What the plan says about the time wins.
fn build_args(plan: &DockerBuildPlan, epoch: u64) -> Vec<(String, String)> {
    let given = plan.build_args.iter().filter_map(|(name, value)| Some((name.clone(), value.as_ref()?.to_string())));
    let mut all: BTreeMap<String, String> = [(EPOCH.to_owned(), epoch.to_string())].into();
    all.extend(given);
    all.into_iter().collect()
}

/// Writes every secret into a file that only its owner can read, in a folder that goes with the workspace.
fn secrets(cx: &Context, plan: &DockerBuildPlan) -> Result<Vec<(String, PathBuf)>, Failure> {
    let folder = cx.workspace.folder("build-secrets")?;
    let mut files = Vec::new();
    for (number, (id, secret)) in plan.secrets.iter().enumerate() {
        let unresolved = || {
            Failure::new(
                FailureKind::InvalidPlan,
                format!("secrets.{id} names a Kubernetes Secret, which cannot be read here; give the value or a file"),
            )
        };
        let value = secret.value().ok_or_else(unresolved)?.expose_secret();
        cx.log.add_secret(value);
        // Ids differ, but may be '.' or differ in nothing but case.
        let file = folder.join(number.to_string());
        let mut open = fs_err::OpenOptions::new();
        open.write(true).create_new(true);
        open.options_mut().mode(0o600);
        std::io::Write::write_all(&mut open.open(&file)?, value.as_bytes())?;
        files.push((id.clone(), file));
    }
    Ok(files)
}

/// User name and password for every registry of the plan, cloud tokens fetched.
async fn credentials(cx: &Context, registries: &[Registry]) -> Result<Vec<RegistryCredential>, Failure> {
    let mut all: Vec<RegistryCredential> = Vec::new();
    for (number, registry) in registries.iter().enumerate() {
        let place = format!("registries[{number}]");
        let location = Location::from_plan(registry, None).map_err(oci::Error::from)?;
        let Repository::Registry(open) = cx.oci.open(&location)? else { continue };
        let login = open.login(cx.oci_cx()).await.map_err(|error| Failure::from(error).context(&place))?;
        if all.iter().any(|other| other.host == login.host) {
            let text = format!("{place} names {} a second time; a build can use one user name and password for a host", login.host);
            return Err(Failure::new(FailureKind::InvalidPlan, text));
        }
        let (username, password) = login.user.unwrap_or_else(|| (String::new(), SecretString::from("")));
        cx.log.add_basic_auth(&username, password.expose_secret());
        all.push(RegistryCredential { host: login.host, username, password, plain_http: login.plain_http });
    }
    Ok(all)
}

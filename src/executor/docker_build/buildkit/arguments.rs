//! The command line of `buildctl build`. Nothing secret stands in it: arguments are there for everybody to see.

use std::{ffi::OsString, path::Path};

use super::super::{
    Network, Request,
    flags::{assign, csv},
};

/// The open file that `buildctl` writes the image to.
pub(super) const EXPORT_FD: i32 = 3;

/// Arguments that build `request` at `address` and write it to [`EXPORT_FD`].
pub(super) fn build(request: &Request, address: &str) -> Vec<OsString> {
    let mut args: Vec<OsString> =
        ["--addr", address, "build", "--progress=rawjson", "--frontend", "dockerfile.v0"].into_iter().map(OsString::from).collect();
    let mut two = |flag: &str, value: OsString| args.extend([flag.into(), value]);
    let folder = request.dockerfile.parent().unwrap_or(Path::new("/"));
    two("--local", assign("context", request.context.as_os_str()));
    two("--local", assign("dockerfile", folder.as_os_str()));
    let mut opt = |name: &str, value: &str| two("--opt", format!("{name}={value}").into());
    opt("filename", &request.dockerfile.file_name().unwrap_or_default().to_string_lossy());
    for (name, value) in &request.build_args {
        opt(&format!("build-arg:{name}"), value);
    }
    for (key, value) in &request.labels {
        opt(&format!("label:{key}"), value);
    }
    if let Some(target) = &request.target {
        opt("target", target);
    }
    if !request.platforms.is_empty() {
        opt("platform", &request.platforms.join(","));
    }
    match request.network {
        Network::Default => {}
        Network::None | Network::Host => opt("force-network-mode", request.network.as_str()),
    }
    if let Some(generator) = &request.sbom_generator {
        opt("attest:sbom", &format!("generator={generator}"));
        // It says which digest the generator had; both are taken out of the layout again.
        opt("attest:provenance", "mode=min");
    }
    if request.network == Network::Host {
        two("--allow", "network.host".into());
    }
    for (id, file) in &request.secrets {
        two("--secret", csv(&[("id", id.as_ref()), ("src", file.as_os_str())]));
    }
    if let Some(socket) = &request.ssh_agent {
        two("--ssh", assign("default", socket.as_os_str()));
    }
    for reference in &request.cache.import {
        two("--import-cache", cache(request, reference, &[]));
    }
    if let Some(reference) = &request.cache.export {
        two("--export-cache", cache(request, reference, &[("mode", "max".as_ref())]));
    }
    two("--output", format!("type=oci,dest=/dev/fd/{EXPORT_FD},rewrite-timestamp=true").into());
    if !request.cache.local {
        args.push("--no-cache".into());
    }
    args
}

/// A cache in a registry (buildkit README, "Registry (push image and cache separately)").
fn cache(request: &Request, reference: &str, more: &[(&str, &std::ffi::OsStr)]) -> OsString {
    let mut fields: Vec<(&str, &std::ffi::OsStr)> = vec![("type", "registry".as_ref()), ("ref", reference.as_ref())];
    fields.extend(more);
    let host = reference.split('/').next().unwrap_or_default();
    let plain = request.registries.iter().any(|registry| registry.host == host && registry.plain_http);
    if plain || request.plain_http_hosts.iter().any(|plain| plain == host) {
        fields.push(("registry.insecure", "true".as_ref()));
    }
    csv(&fields)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::executor::docker_build::CacheOptions;

    /// A request for nothing in particular.
    pub(in super::super) fn request() -> Request {
        Request {
            context: "/w/source/app".into(),
            dockerfile: "/w/source/Dockerfile".into(),
            dockerfile_name: "Dockerfile".to_owned(),
            build_args: vec![("A".to_owned(), "b c=d".to_owned()), ("SOURCE_DATE_EPOCH".to_owned(), "7".to_owned())],
            target: None,
            cache: CacheOptions { local: true, ..CacheOptions::default() },
            epoch: 7,
            out: "/w/image".into(),
            ..super::super::super::tests::request()
        }
    }

    fn shown(request: &Request) -> String {
        build(request, "unix:///s").iter().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_wish_has_its_argument() {
        insta::assert_snapshot!(shown(&request()), @"--addr unix:///s build --progress=rawjson --frontend dockerfile.v0 --local context=/w/source/app --local dockerfile=/w/source --opt filename=Dockerfile --opt build-arg:A=b c=d --opt build-arg:SOURCE_DATE_EPOCH=7 --output type=oci,dest=/dev/fd/3,rewrite-timestamp=true");
        let everything = Request {
            target: Some("t".to_owned()),
            labels: [("k".to_owned(), "v".to_owned())].into(),
            platforms: vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()],
            secrets: vec![("id".to_owned(), "/w/a,b".into())],
            ssh_agent: Some("/agent".into()),
            network: Network::Host,
            sbom_generator: Some("h:5000/scan:1".to_owned()),
            cache: CacheOptions { local: false, import: vec!["h:5000/c:1".to_owned()], export: Some("i/c:2".to_owned()) },
            plain_http_hosts: vec!["h:5000".to_owned()],
            ..request()
        };
        let text = shown(&everything);
        for part in [
            "--opt label:k=v --opt target=t --opt platform=linux/amd64,linux/arm64 --opt force-network-mode=host --opt attest:sbom=generator=h:5000/scan:1 --opt attest:provenance=mode=min --allow network.host",
            "--secret id=id,\"src=/w/a,b\" --ssh default=/agent",
            "--import-cache type=registry,ref=h:5000/c:1,registry.insecure=true --export-cache type=registry,ref=i/c:2,mode=max",
            "rewrite-timestamp=true --no-cache",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}

//! The platform that an image of buildah says it is for.
//!
//! It is that of the request, whatever base images are for, as with the other backends. But up to version 1.40 buildah takes cached steps of one platform
//! for those of another (buildah pull request 6269), and their platform with them; so it is written anew.
//!
//! Called by the build. Pure.

use serde_json::{Value, json};

use super::super::{Request, dockerfile::Dockerfile};
use crate::job::Platform;

/// The platforms of a build's images, in the order of the request; nothing where buildah knows better.
pub(super) fn of(request: &Request, dockerfile: &Dockerfile) -> Vec<Platform> {
    if dockerfile.mentions("--platform=") {
        return Vec::new();
    }
    if request.platforms.is_empty() && dockerfile.is_from_scratch(&request.build_args, request.target.as_deref()) {
        return machine().into_iter().collect();
    }
    request.platforms.iter().map(|platform| parse(platform)).collect()
}

/// Writes a platform into the configuration of an image.
pub(super) fn write(config: &mut Value, platform: &Platform) {
    let Some(config) = config.as_object_mut() else { return };
    config.insert("os".to_owned(), json!(platform.os));
    config.insert("architecture".to_owned(), json!(platform.architecture));
    match &platform.variant {
        Some(variant) => drop(config.insert("variant".to_owned(), json!(variant))),
        None => drop(config.remove("variant")),
    }
}

/// The platform `os/architecture[/variant]`, by the names that images use (containerd, `platforms.Normalize`).
fn parse(text: &str) -> Platform {
    let mut parts = text.split('/').map(str::to_owned);
    let (os, architecture) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (architecture, variant) = match (architecture.as_str(), parts.next()) {
        ("x86-64", variant) => ("amd64".to_owned(), variant),
        ("i386", _) => ("386".to_owned(), None),
        ("aarch64" | "arm64", variant) => ("arm64".to_owned(), variant.filter(|variant| variant != "v8" && variant != "8")),
        ("armhf", _) | ("arm", None) => ("arm".to_owned(), Some("v7".to_owned())),
        ("armel", _) => ("arm".to_owned(), Some("v6".to_owned())),
        (_, variant) => (architecture, variant),
    };
    Platform { os, architecture, variant, os_version: None }
}

/// The platform of this machine, by the names that images use.
fn machine() -> Option<Platform> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        same @ ("arm" | "riscv64" | "s390x") => same,
        _ => return None,
    };
    Some(parse(&format!("linux/{architecture}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_for_the_platform_of_the_request() {
        let request = |platforms: &[&str]| Request {
            platforms: platforms.iter().map(|&platform| platform.to_owned()).collect(),
            target: None,
            ..super::super::super::tests::request()
        };
        let of = |text: &str, platforms: &[&str]| of(&request(platforms), &Dockerfile::parse(text));
        let written = |platform: &Platform| {
            let mut config = json!({"os": "linux", "architecture": "s390x", "variant": "x"});
            write(&mut config, platform);
            config
        };
        let wanted = ["linux/arm64/v8", "linux/aarch64", "linux/arm", "windows/x86-64", "linux/arm/v6"];
        let settled: Vec<Value> = of("FROM a", &wanted).iter().map(written).collect();
        let expected = [
            json!({"os": "linux", "architecture": "arm64"}),
            json!({"os": "linux", "architecture": "arm64"}),
            json!({"os": "linux", "architecture": "arm", "variant": "v7"}),
            json!({"os": "windows", "architecture": "amd64"}),
            json!({"os": "linux", "architecture": "arm", "variant": "v6"}),
        ];
        assert_eq!(settled, expected);
        assert_eq!(of("FROM scratch", &[]), machine().into_iter().collect::<Vec<_>>());
        assert!(of("FROM a", &[]).is_empty(), "the base image says it");
        assert!(of("FROM --platform=linux/amd64 a", &wanted).is_empty(), "the Dockerfile says it");
    }
}
